"""What the commands share: output, progress, option types, and the search for the newest run.

Results go to standard output. Everything else goes to standard error.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from cmcgan_core.progress import OnProgress, Progress


#: What an interrupted command says, unless it says something else.
RESUMES = "the same command resumes"
#: Largest number of finished stages that are shown above the current ones.
SHOWN = 6


#: What is said of an input that `Classified.unlike_training` marks.
UNLIKE_TRAINING = "is unlike the training data, so it may show none of the classes"


@cache
def out() -> "Console":
    """Return the console for results, which a script may read; made at the first use, because rich imports slowly."""
    from rich.console import Console

    return Console(highlight=False, markup=False)


@cache
def err() -> "Console":
    """Return the console for progress, notes, warnings and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False)


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only; no progress, no notes.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of all random numbers.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda (cuda:1 for the second).")]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        "-c",
        help="A run folder or its name in runs/, a checkpoint file, or box. Default: the newest run here, else box.",
    ),
]

Sources = Annotated[
    list[str],
    typer.Option(
        "--from",
        "-f",
        help="A sound, a picture, a video, a folder, a pattern, or - for a list of files on standard input. May be "
        "repeated.",
        show_default=False,
    ),
]


def emit_json(result: object) -> None:
    """Print one JSON document on one line of standard output."""
    sys.stdout.write(json.dumps(result, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def note(message: str, *, quiet: bool = False) -> None:
    """Print a line for people on standard error."""
    if not quiet:
        err().print(message, soft_wrap=True)


def note_unlike(counts: Mapping[str, int], total: int, *, quiet: bool = False) -> None:
    """Print how many of several inputs are "unlike" the training data and how many are "silent", if any is."""
    if counts["unlike"]:
        note(f"unlike the training data: {counts['unlike']} of {total} inputs", quiet=quiet)
    if counts["silent"]:
        note(f"silent: {counts['silent']} of {total} inputs", quiet=quiet)


@contextmanager
def resumable(hint: str = RESUMES) -> Iterator[None]:
    """On Ctrl-C, print how to resume, and exit with code 130."""
    from cmcgan_core.errors import Interrupted

    try:
        yield
    except Interrupted as stop:
        note(f"{stop}; {hint}")
        raise typer.Exit(130) from None
    except KeyboardInterrupt:
        note(f"stopped; {hint}")
        raise typer.Exit(130) from None


def find_run(checkpoint: Path | None) -> Path:
    """Find the checkpoint that `--checkpoint` names; by default the newest run here, else the shipped model.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    from cmcgan_core.checkpoint import BOX, find_checkpoint, newest_runs

    return find_checkpoint(checkpoint or next(iter(newest_runs()), BOX))


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator["OnProgress"]:
    """Show progress on standard error: bars on a terminal, else a line every ten seconds."""
    if quiet:
        yield lambda progress: None
    elif err().is_terminal:
        with _bars() as draw:
            yield draw
    else:
        yield _lines()


@contextmanager
def _bars() -> Iterator["OnProgress"]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0:.3g}/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
    )
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, console=err()) as bars:

        def draw(progress: "Progress") -> None:
            if progress.stage not in tasks:
                for stale in [task for task in bars.tasks if task.finished][:-SHOWN]:
                    bars.update(stale.id, visible=False)
                tasks[progress.stage] = bars.add_task(progress.stage, unit=progress.unit, values="")
            elif progress.done < bars.tasks[tasks[progress.stage]].completed:
                bars.reset(tasks[progress.stage])
            bars.update(tasks[progress.stage], completed=progress.done, total=progress.total, values=_figures(progress))

        yield draw


def _lines(every: float = 10.0) -> "Callable[[Progress], None]":
    last: dict[str, float] = {}
    seen: dict[str, int] = {}
    #: When each stage started, and how much was done then.
    begun: dict[str, tuple[float, int]] = {}

    def draw(progress: "Progress") -> None:
        now = time.monotonic()
        if progress.stage not in seen or progress.done < seen[progress.stage]:
            begun[progress.stage] = now, progress.done
        seen[progress.stage] = progress.done
        finished = progress.done == progress.total
        if finished or now - last.get(progress.stage, -every) >= every:
            last[progress.stage] = now
            elapsed, done = now - begun[progress.stage][0], progress.done - begun[progress.stage][1]
            rate = f", {done / elapsed:.3g} {progress.unit}/s" if done and elapsed > 1 else ""
            left = ""
            if progress.total and done and not finished:
                left = f", {elapsed / done * (progress.total - progress.done):.0f} s left"
            total = f"/{progress.total}" if progress.total else ""
            note(f"{progress.stage}: {progress.done}{total} {progress.unit}{rate}{left} {_figures(progress)}".rstrip())

    return draw


def _figures(progress: "Progress") -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in progress.values.items())
