"""`cmcgan generate`."""

from pathlib import Path
from typing import Annotated

import typer

from cmcgan_cli.console import Checkpoint, Device, Json, Quiet, Seed, emit_json, err, note, out

Sources = Annotated[
    list[Path], typer.Option("--from", "-f", help="A sound or a picture; may be repeated.", show_default=False)
]


def generate(
    sources: Sources,
    out_path: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results, or the name of a single one (.png or .wav).")
    ] = Path(),
    checkpoint: Checkpoint = None,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="How many to make of each input.")] = 1,
    seed: Seed = 0,
    at: Annotated[
        float | None, typer.Option(help="Second of the sound to listen to; by default its loudest half second.")
    ] = None,
    hops: Annotated[
        int | None,
        typer.Option(min=1, max=2, help="1: A2V or V2A; 2: the paper's A-A-V or V-V-A; by default the model's own."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace results that exist; by default they are skipped.")] = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn a sound into a picture, or a picture into a sound.

    A sound gives NAME.png, a picture NAME.wav and its spectrogram NAME.lms.png. With several inputs a bad one is named
    and the others are made; the exit code is then 1. --json prints one line a result.

    Examples:

      cmcgan generate --from sound.wav

      cmcgan generate --from player.jpg --out made/ --samples 4 --seed 7

      cmcgan generate --from a.flac --from b.jpg --out made/ --checkpoint runs/urmp-small --json
    """
    from cmcgan_core.checkpoint import find_checkpoint, load_checkpoint
    from cmcgan_core.device import choose_device
    from cmcgan_core.errors import MediaError
    from cmcgan_core.generate import Choices, generate_file, refuse_collisions

    if out_path.suffix in (".png", ".wav") and len(sources) > 1:
        raise typer.BadParameter("several inputs need a folder", param_hint="--out")
    refuse_collisions(sources, out_path, samples)
    trained = load_checkpoint(find_checkpoint(checkpoint), choose_device(device))
    note(f"model: {trained.path}", quiet=quiet)
    choices = Choices(samples, seed, hops, at, overwrite)
    failed = False
    for source in sources:
        try:
            made = generate_file(trained, source, out_path, choices)
        except MediaError as error:
            failed = True
            err().print(f"error: {error}", style="red", soft_wrap=True)
            continue
        if as_json:
            emit_json(made.__dict__ | {"outputs": [str(path) for path in made.outputs]})
        else:
            for path in made.outputs:
                out().print(str(path), soft_wrap=True)
        if made.skipped:
            note(f"{source}: its results exist already; replace them with --overwrite", quiet=quiet)
    if failed:
        raise typer.Exit(1)
