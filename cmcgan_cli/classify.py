"""`cmcgan classify`."""

from pathlib import Path
from typing import Annotated

import typer

from cmcgan_cli.console import Checkpoint, Device, Json, Quiet, Seed, emit_json, note, out


def classify(
    sources: Annotated[
        list[Path],
        typer.Option(
            "--from", "-f", help="A sound, a picture, or one of each (give --from twice).", show_default=False
        ),
    ],
    checkpoint: Checkpoint = None,
    seed: Seed = 0,
    samples: Annotated[int, typer.Option(min=1, help="How often to fill in the missing modality; averaged.")] = 1,
    at: Annotated[
        float | None, typer.Option(help="Second of the sound to listen to; by default its loudest half second.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say which instrument is played, from a sound, a picture, or both.

    The dynamic multimodal classification network: a missing modality is generated first.

    Examples:

      cmcgan classify --from sound.wav

      cmcgan classify --from sound.wav --from player.jpg --json
    """
    from cmcgan_core.checkpoint import find_checkpoint, load_checkpoint
    from cmcgan_core.classify import classify_files, load_classifier
    from cmcgan_core.data.media import media_kind
    from cmcgan_core.device import choose_device
    from cmcgan_core.generate import Choices

    kinds = {media_kind(source): source for source in sources}
    if len(kinds) < len(sources) or not kinds.keys() <= {"sound", "picture"}:
        raise typer.BadParameter("give one sound, one picture, or one of each", param_hint="--from")
    on = choose_device(device)
    generating = load_checkpoint(find_checkpoint(checkpoint), on)
    classifier = load_classifier(generating.path, on)
    note(f"model: {generating.path}", quiet=quiet)
    choices = Choices(samples=samples, seed=seed, at=at)
    said = classify_files(generating, classifier, kinds.get("sound"), kinds.get("picture"), choices)
    if as_json:
        emit_json(
            {"input": [str(s) for s in sources], **said.__dict__, "seed": seed, "checkpoint": str(generating.path)}
        )
        return
    from rich.table import Table

    filled = f", {said.generated} generated" if said.generated else ""
    table = Table("class", "probability", title=f"{' and '.join(said.given)} given{filled}")
    for name, probability in list(said.probabilities.items())[:5]:
        table.add_row(name, f"{probability:.3f}")
    out().print(table)
