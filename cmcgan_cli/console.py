"""What the commands share: output, progress, option types, and the search for the newest run.

Results go to standard output. Everything else goes to standard error.

On standard output, paths are printed as the bytes that they are, so that a script gets the file's own name. JSON is
ASCII, with escapes. On standard error, control characters are shown as escapes.
"""

import codecs
import csv
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from cmcgan_core.checkpoint import Trained
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

    return Console(highlight=False, markup=False, emoji=False)


@cache
def err() -> "Console":
    """Return the console for progress, notes, warnings and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only; no progress, no notes.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of all random numbers.")]
Device = Annotated[str, typer.Option(help="auto (cuda, else cpu), cpu, cuda (cuda:1 for the second) or mps.")]


def parse_run(name: str) -> Path:
    """Return the path that the name of a run means, see `run_folder.named_run`.

    Raises:
        typer.BadParameter: the name is empty.
    """
    from cmcgan_core.run_folder import named_run

    if not name:
        raise typer.BadParameter("an empty name is no file or folder")
    return named_run(name)


Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Address of a Dask scheduler, for example tcp://host:8786, whose workers do the work; local starts one "
        "worker for each core of this machine.",
        show_default=False,
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        "-c",
        parser=parse_run,
        metavar="RUN",
        help="A run folder or its name in runs/, a checkpoint file, or box. Default: the newest run here, else box.",
    ),
]


class FullSentence:
    """Shows the whole first sentence of its help in the list of commands; by default, long ones are cut off."""

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first sentence, whatever its length."""
        text: str = super().get_short_help_str(limit=10_000)  # type: ignore[misc]
        return text


class Group(FullSentence, typer.core.TyperGroup):
    """A command with subcommands."""


class Command(FullSentence, typer.core.TyperCommand):
    """A command that refuses empty paths. A script with an unset variable passes one, and it would mean this folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments.

        Raises:
            typer.BadParameter: a path is empty.
        """
        rest = super().parse_args(ctx, args)
        for parameter in self.params:
            value = ctx.params.get(parameter.name)
            if parameter.type.name == "path" and "" in (value if isinstance(value, list | tuple) else [value]):
                raise typer.BadParameter("an empty name is no file or folder", ctx, parameter)
        return rest


def require_names(sources: list[str] | None) -> list[str] | None:
    """Return the values of an option; refuse an empty one, which a script with an unset variable passes.

    Raises:
        typer.BadParameter: one is empty.
    """
    if "" in (sources or ()):
        raise typer.BadParameter("an empty name is no input; name a file, a folder or a pattern")
    return sources


Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[INPUT]...",
        help="Sounds, pictures, videos, folders or patterns; - for a list of files on standard input.",
        show_default=False,
        callback=require_names,
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        "-f",
        help="Names an input too. May be repeated.",
        show_default=False,
        callback=require_names,
    ),
]


#: Control characters except the end of a line.
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def prepare_streams() -> None:
    """Set up standard output for paths, see above; replace a stream that the caller closed by an empty one."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Not closed: the next file that is opened would get the number of the closed stream.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    codecs.register_error("path-bytes", _encode_as_bytes)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="path-bytes")


def _encode_as_bytes(error: UnicodeError) -> tuple[bytes, int]:
    """Encode what standard output cannot encode as a path would be, for `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return error.object[error.start : error.end].encode("utf-8", "surrogateescape"), error.end


def print_line(text: str) -> None:
    """Print a line on standard output, exactly as it is: rich would replace emoji codes, tabs and other characters."""
    if not _is_first_process():
        return
    # A progress bar replaces standard output by a stream that writes to the terminal.
    stream: TextIO = getattr(sys.stdout, "rich_proxied_file", sys.stdout)
    stream.write(text + "\n")
    stream.flush()


def print_row(cells: Iterable[object]) -> None:
    """Print a row of CSV on standard output."""
    text = io.StringIO()
    # By its default line end, the writer puts names with any line end in quotes.
    csv.writer(text).writerow(cells)
    print_line(text.getvalue().removesuffix("\r\n"))


def emit_json(result: object) -> None:
    """Print one JSON document on one line of standard output, in ASCII."""
    print_line(json.dumps(result, default=str))


def note(message: str, *, quiet: bool = False) -> None:
    """Print a line for people on standard error."""
    if not quiet and _is_first_process():
        _print_on_stderr(message)


def note_model(trained: "Trained", *, quiet: bool) -> None:
    """Name the checkpoint that a command uses, and its step if the training was not at its end."""
    about = trained.about
    step = "" if about.finished else f" (step {about.step} of {about.steps})"
    note(f"model: {trained.path}{step}", quiet=quiet)


def _is_first_process() -> bool:
    """Return whether this is the process that prints, of those that torchrun has started; alone, it is."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK") == "0"


def note_error(message: object) -> None:
    """Print an error on standard error."""
    _print_on_stderr(f"error: {message}", "red")


def _print_on_stderr(message: str, style: str | None = None) -> None:
    err().print(_show_controls(message), style=style, soft_wrap=True)


def _show_controls(text: str) -> str:
    """Return a text with control characters as escapes, so that a file's name cannot change the terminal."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def require_one_format(*, as_json: bool, as_csv: bool) -> None:
    """Refuse --json and --csv together.

    Raises:
        typer.BadParameter: both are given.
    """
    if as_json and as_csv:
        raise typer.BadParameter("give --json or --csv, not both", param_hint="--csv")


def require_inputs(inputs: list[str] | None, sources: list[str] | None) -> list[str]:
    """Return all inputs: the arguments, and the values of --from.

    Raises:
        typer.BadParameter: there are none.
    """
    if named := [*(inputs or ()), *(sources or ())]:
        return named
    raise typer.BadParameter("name a sound, a picture, a video, a folder or a pattern", param_hint="INPUT")


def read_listed(sources: Iterable[str]) -> str:
    """Return the list of files on standard input if "-" is one of the sources, else an empty list.

    Raises:
        ConfigError: see `inputs.read_list`.
    """
    from cmcgan_core.inference.inputs import read_list

    return read_list(sys.stdin.buffer.read()) if "-" in sources else ""


def note_unlike(counts: Mapping[str, int], total: int, *, quiet: bool = False) -> None:
    """Print how many of several inputs are "unlike" the training data and how many are "silent", if any is."""
    if counts["unlike"]:
        note(f"unlike the training data: {counts['unlike']} of {total} inputs", quiet=quiet)
    if counts["silent"]:
        note(f"silent: {counts['silent']} of {total} inputs", quiet=quiet)


@contextmanager
def resumable(hint: str | Callable[[], str] = RESUMES) -> Iterator[None]:
    """On Ctrl-C, print how to resume, and exit with code 130.

    Args:
        hint: what is printed, or a function that returns it, for a hint that depends on what was saved by then.
    """
    from cmcgan_core.errors import Interrupted

    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        note(f"{str(stop) or 'stopped'}; {hint if isinstance(hint, str) else hint()}")
        raise typer.Exit(130) from None


def find_run(checkpoint: Path | None) -> Path:
    """Find the checkpoint that `--checkpoint` names; by default the newest run here, else the shipped model.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    from cmcgan_core.run_folder import BOX, find_checkpoint, newest_runs

    return find_checkpoint(checkpoint or next(iter(newest_runs()), BOX))


def require_dataset(root: Path) -> None:
    """Refuse a folder that is no prepared dataset.

    Raises:
        DataError: it has no valid `dataset.toml`.
    """
    from cmcgan_core.data.index import explain_read_errors, read_about

    with explain_read_errors(root, "dataset.toml"):
        read_about(root)


def require_device(name: str) -> None:
    """Refuse a device that this machine lacks. Torch, which imports slowly, is asked only if a device is named.

    Raises:
        ConfigError: see `utils.device.choose_device`.
    """
    if name not in ("auto", "cpu"):
        from cmcgan_core.utils.device import choose_device

        choose_device(name)


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator["OnProgress"]:
    """Show progress on standard error: bars on a terminal, else a line every ten seconds."""
    if quiet or not _is_first_process():
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
            return Text(f"{_number(task.speed or 0)}/s")

    columns = (
        TextColumn("{task.description}", markup=False),
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
                tasks[progress.stage] = bars.add_task(_show_controls(progress.stage), unit=progress.unit, values="")
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
            rate = f", {_number(done / elapsed)} {progress.unit}/s" if done and elapsed > 1 else ""
            left = ""
            if progress.total and done and progress.done < progress.total:
                left = f", {elapsed / done * (progress.total - progress.done):.0f} s left"
            total = f"/{progress.total}" if progress.total else ""
            note(f"{progress.stage}: {progress.done}{total} {progress.unit}{rate}{left} {_figures(progress)}".rstrip())

    return draw


def _figures(progress: "Progress") -> str:
    return "  ".join(f"{name} {_number(value)}" for name, value in progress.values.items())


def _number(value: float) -> str:
    """Return a number with three digits, or all digits of a larger whole part: 0.123, 12.3, 1140."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"  # .3g makes 1e+03 of larger values
