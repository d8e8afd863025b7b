"""`cmcgan demo`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cmcgan_cli.console import (
    RESUMES,
    Device,
    Json,
    Quiet,
    Seed,
    emit_json,
    note,
    out,
    print_line,
    progress_bar,
    resumable,
)


def demo(
    out_dir: Annotated[Path, typer.Option("--out", "-o", help="Folder for all results.")] = Path("cmcgan-demo"),
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            "-f",
            exists=True,
            help="A sound or a picture of yours for the shipped model. May be repeated.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Time for the training, with rendering and judging. 0 trains nothing. Default: 5.",
            show_default=False,
        ),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="The same as --minutes 1, which is too short to learn.")] = False,
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
    """Show what the shipped model can do, then train another one while you watch.

    Within half a minute there is a page: the shipped model turns sounds of 13 instruments into pictures, pictures into
    sounds, and a sound into a film. Then a new model is trained for a stated time. The cost of a step is measured
    first, so a slow machine takes fewer steps. The page shows how the pictures get better. Other commands do not use
    the new model unless you name it. After an interruption, the same command resumes.

    Examples:

      cmcgan demo

      cmcgan demo --minutes 0 --from sound.wav --from player.jpg

      cmcgan demo --minutes 20 --out /tmp/tour
    """
    from cmcgan_core.tour import FAST_MINUTES, MINUTES, Tour, run_demo

    if fast and minutes is not None:
        raise typer.BadParameter("give --fast or --minutes, not both", param_hint="--fast")
    tour = Tour(minutes=minutes if minutes is not None else FAST_MINUTES if fast else MINUTES)
    hint = "the same command without --overwrite resumes" if overwrite else RESUMES
    with resumable(hint), progress_bar(quiet=quiet) as on_progress:
        done = run_demo(
            out_dir,
            tour,
            files=files or (),
            soundfonts=tuple(soundfont or ()),
            seed=seed,
            device=device,
            overwrite=overwrite,
            tell=lambda sentence: note(sentence, quiet=quiet),
            on_progress=on_progress,
        )
    if as_json:
        emit_json(
            {
                "page": str(done.page),
                "seconds": done.seconds,
                "plan": asdict(done.plan) if done.plan else None,
                "sheets": [str(sheet) for sheet in done.sheets],
                "evaluation": done.evaluation.to_dict() if done.evaluation else None,
            }
        )
        return
    if done.evaluation:
        from cmcgan_cli.tables.evaluation import table1

        out().print(table1(done.evaluation))
    print_line(str(done.page))
    note(f"finished in {done.seconds:.0f} s; open {done.page} in a browser", quiet=quiet)
