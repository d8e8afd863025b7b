"""`cmcgan classify`."""

from pathlib import Path
from typing import Annotated

import typer

from cmcgan_cli.console import Checkpoint, Device, Json, Quiet, Seed, emit_json, note, out

#: What the terminal calls the modalities.
WORDS = {"audio": "sound", "visual": "picture"}
#: Classes that the terminal shows.
SHOWN = 3


def classify(
    sources: Annotated[
        list[Path],
        typer.Option(
            "--from", "-f", help="A sound, a picture, one of each (give --from twice), or a video.", show_default=False
        ),
    ],
    checkpoint: Checkpoint = None,
    seed: Seed = 0,
    samples: Annotated[int, typer.Option(min=1, help="How often to fill in the missing modality; averaged.")] = 1,
    at: Annotated[
        float | None,
        typer.Option(help="Second to attend to; by default a sound's loudest half second, and all of a video."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say which instrument is played, from a sound, a picture, both, or a video.

    The dynamic multimodal classification network: a missing modality is generated first. Of a video, half seconds are
    classified and averaged; one without a sound track is classified by its pictures. --json has all classes, and says
    whether the probabilities were calibrated on held-out recordings.

    Examples:

      cmcgan classify --from sound.wav

      cmcgan classify --from sound.wav --from player.jpg --json

      cmcgan classify --from performance.mp4
    """
    from cmcgan_core.checkpoint import find_checkpoint, load_checkpoint
    from cmcgan_core.classify import classify_files, classify_video, load_classifier
    from cmcgan_core.data.media import media_kind
    from cmcgan_core.device import choose_device
    from cmcgan_core.translate import Choices

    kinds = {media_kind(source): source for source in sources}
    if len(kinds) < len(sources) or None in kinds or ("video" in kinds and len(kinds) > 1):
        raise typer.BadParameter("give one sound, one picture, one of each, or one video", param_hint="--from")
    on = choose_device(device)
    generating = load_checkpoint(find_checkpoint(checkpoint), on)
    classifier = load_classifier(generating.path, on)
    note(f"model: {generating.path}", quiet=quiet)
    choices = Choices(samples=samples, seed=seed, at=at)
    if "video" in kinds:
        said = classify_video(generating, classifier, kinds["video"], choices)
    else:
        said = classify_files(generating, classifier, kinds.get("sound"), kinds.get("picture"), choices)
    if as_json:
        emit_json(
            {"input": [str(s) for s in sources], **said.__dict__, "seed": seed, "checkpoint": str(generating.path)}
        )
        return
    from rich.table import Table

    filled = f"; {WORDS[said.generated]} filled in by the generator" if said.generated else ""
    out().print(f"{' and '.join(WORDS[m] for m in said.given)} given{filled}", soft_wrap=True)
    table = Table("class", "probability")
    for name, probability in list(said.probabilities.items())[:SHOWN]:
        table.add_row(name, f"{probability:.3f}")
    out().print(table)
    averaged = f"mean over {said.chunks} half seconds; " if said.chunks > 1 else ""
    reliable = "calibrated on the validation split" if said.calibrated else "not calibrated (no validation split)"
    note(f"{averaged}probabilities {reliable}", quiet=quiet)
