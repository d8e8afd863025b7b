"""`cmcgan export`."""

from pathlib import Path
from typing import Annotated

import typer

from cmcgan_cli.console import Checkpoint, Json, Quiet, emit_json, note, out

#: What there is to export.
DIRECTIONS = ("a2v", "v2a")


def export(
    direction: Annotated[str, typer.Option(help="a2v: sound to picture; v2a: picture to sound.", show_default=False)],
    out_path: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write (.onnx); DIRECTION.onnx by default.")
    ] = None,
    checkpoint: Checkpoint = None,
    hops: Annotated[
        int | None,
        typer.Option(min=1, max=2, help="1: A2V or V2A; 2: the paper's A-A-V or V-V-A; by default the model's own."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one direction of a model as ONNX, which runs without torch and without cmcgan.

    The file is kept only if onnxruntime makes of it what torch makes of the model; one of that name is replaced.
    docs/export.md shows how to use it. Needs: pip install 'cmcgan[onnx]'.

    Examples:

      cmcgan export --direction a2v

      cmcgan export --direction v2a --checkpoint runs/urmp-small --hops 1 --out v2a.onnx --json
    """
    if direction not in DIRECTIONS:
        raise typer.BadParameter(f"{direction!r} is neither a2v nor v2a", param_hint="--direction")

    from cmcgan_core.checkpoint import find_checkpoint
    from cmcgan_core.inference.onnx import export_onnx

    found = find_checkpoint(checkpoint)
    note(f"model: {found}", quiet=quiet)
    made = export_onnx(found, direction, out_path or Path(f"{direction}.onnx"), hops)
    if as_json:
        emit_json(made.__dict__)
        return
    out().print(str(made.out), soft_wrap=True)
    for name, shape in made.shapes.items():
        note(f"{name}: ({', '.join(map(str, shape))})", quiet=quiet)
    note(f"onnxruntime's maps differ from torch's by at most {made.difference:.1g}", quiet=quiet)
