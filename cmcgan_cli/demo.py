"""`cmcgan demo`."""

from pathlib import Path
from typing import Annotated

import typer

from cmcgan_cli.console import RESUMES, Device, Json, Quiet, Seed, emit_json, note, out, progress_bar, resumable


def demo(
    out_dir: Annotated[Path, typer.Option("--out", "-o", help="Folder for all results.")] = Path("cmcgan-demo"),
    fast: Annotated[bool, typer.Option("--fast", help="Finish in under two minutes, with worse pictures.")] = False,
    soundfont: Annotated[
        list[Path] | None,
        typer.Option(
            help="An .sf2 or .sf3 file that plays a share of the pieces (needs pyfluidsynth or tinysoundfont). "
            "May be repeated.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing demonstration.")] = False,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a demonstration: render performances, train on them, generate in both directions, evaluate, and write a page.

    It takes several minutes on two CPU cores. After an interruption, the same command resumes.

    Examples:

      cmcgan demo

      cmcgan demo --fast --out /tmp/tour
    """
    from cmcgan_cli.tables.evaluation import table1, table2
    from cmcgan_core.tour import FAST, FULL, run_demo

    hint = "the same command without --overwrite resumes" if overwrite else RESUMES
    with resumable(hint), progress_bar(quiet=quiet) as on_progress:
        done = run_demo(
            out_dir,
            FAST if fast else FULL,
            soundfonts=tuple(soundfont or ()),
            seed=seed,
            device=device,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    if as_json:
        emit_json({"page": str(done.page), "seconds": done.seconds, "evaluation": done.evaluation.to_dict()})
        return
    out().print(table1(done.evaluation))
    out().print(table2(done.evaluation))
    out().print(str(done.page), soft_wrap=True)
    note(f"finished in {done.seconds:.0f} s; open {done.page} in a browser", quiet=quiet)
