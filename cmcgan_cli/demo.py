"""`cmcgan demo`."""

from pathlib import Path
from typing import Annotated

import typer

from cmcgan_cli.console import Device, Json, Quiet, Seed, emit_json, note, out, progress_bar, resumable


def demo(
    out_dir: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything that is made.")] = Path(
        "cmcgan-demo"
    ),
    fast: Annotated[bool, typer.Option("--fast", help="In under two minutes, with worse pictures.")] = False,
    soundfont: Annotated[
        Path | None,
        typer.Option(help="Render with this .sf2 (needs pyfluidsynth or tinysoundfont).", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Begin anew where there is a tour already.")] = False,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take a tour: render performances, train on them, generate both ways, evaluate, make a page.

    Several minutes on two CPU cores. Interrupted, the same command goes on where it stopped.

    Examples:

      cmcgan demo

      cmcgan demo --fast --out /tmp/tour
    """
    from cmcgan_cli.evaluate import table1, table2
    from cmcgan_core.tour import FAST, FULL, run_demo

    stopped = "stopped; the same command goes on where it was"
    with resumable(stopped), progress_bar(quiet=quiet) as draw:
        done = run_demo(
            out_dir,
            FAST if fast else FULL,
            soundfont=soundfont,
            seed=seed,
            device=device,
            overwrite=overwrite,
            on_progress=draw,
        )
    if done.evaluation is None:
        note(stopped)
        raise typer.Exit(130)
    if as_json:
        emit_json({"page": str(done.page), "seconds": done.seconds, "evaluation": done.evaluation.to_dict()})
        return
    out().print(table1(done.evaluation))
    out().print(table2(done.evaluation))
    out().print(str(done.page), soft_wrap=True)
    note(f"made in {done.seconds:.0f} s; open {done.page} in a browser", quiet=quiet)
