"""`cmcgan export`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cmcgan_cli.console import Checkpoint, Json, Quiet, emit_json, find_run, note, print_line
from cmcgan_core.modality import Direction


def export(
    direction: Annotated[Direction, typer.Option(help="a2v: sound to picture; v2a: picture to sound.")],
    out_path: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write (.onnx). Default: DIRECTION.onnx.")
    ] = None,
    checkpoint: Checkpoint = None,
    hops: Annotated[
        int | None,
        typer.Option(min=1, max=2, help="1: A2V or V2A; 2: the paper's A-A-V or V-V-A. Default: the model's own."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one direction of a model as an ONNX file, which runs without torch and without cmcgan.

    The file is kept only if onnxruntime and torch give the same results. An existing file is replaced. docs/export.md
    shows how to use the file. This needs: pip install 'cmcgan[onnx]'.

    Examples:

      cmcgan export --direction a2v

      cmcgan export --direction v2a --checkpoint runs/urmp-small --hops 1 --out v2a.onnx --json
    """
    run = find_run(checkpoint)
    from cmcgan_core.inference.onnx import export_onnx

    note(f"model: {run}", quiet=quiet)
    exported = export_onnx(run, direction, out_path or Path(f"{direction}.onnx"), hops)
    if as_json:
        emit_json(asdict(exported))
        return
    print_line(str(exported.out))
    for name, shape in exported.shapes.items():
        note(f"{name}: ({', '.join(map(str, shape))})", quiet=quiet)
    note(f"the results of onnxruntime and torch differ by at most {exported.difference:.1g}", quiet=quiet)
