"""`cmcgan runs`: list, show, delete."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmcgan_cli.console import Command, Group, Json, emit_json, note, out, print_line

if TYPE_CHECKING:
    from rich.table import Table

    from cmcgan_core.evaluation.runs import RunDetails, RunSummary

#: Seconds in the units of ages, the largest first.
AGES = {"d": 86_400, "h": 3600, "min": 60}


class Runs(Group):
    """A group whose first command, `list`, needs no name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; without the name of a command, they are those of `list`."""
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


runs = typer.Typer(
    cls=Runs,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunName = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or its name in runs/.", show_default=False)]


@runs.callback()
def group() -> None:
    """List, show and delete runs. Without a command, `list` is used.

    To compare the figures of runs, use: cmcgan compare DATA RUN...

    Examples:

      cmcgan runs

      cmcgan runs studies/urmp-rivals

      cmcgan runs show urmp-small

      cmcgan runs delete urmp-small --dry-run
    """


@runs.command("list", cls=Command)
def list_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder with runs.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs in a folder, the newest first.

    "best" is the lowest validation loss, which can be compared only between runs of one recipe. S2I, I2S, accuracy and
    mAP are of the newest evaluation on the test split. --json prints one line for each run.

    Examples:

      cmcgan runs

      cmcgan runs list --json
    """
    from cmcgan_core.evaluation.runs import list_runs

    found = list_runs(folder)
    if as_json:
        for run in found:
            emit_json(asdict(run))
        return
    for data in dict.fromkeys(run.data for run in found):
        out().print(_run_table(data, [run for run in found if run.data == data]))
    for run in found:
        if run.fault:
            note(f"{run.path} is damaged: {run.fault}")
    if not found:
        note(f"{folder} holds no runs; train a model with: cmcgan train DATA")


@runs.command(cls=Command)
def show(run: RunName, as_json: Json = False) -> None:
    """Show the settings of a run, and for each figure of its log the first, the lowest and the last value.

    Examples:

      cmcgan runs show urmp-small

      cmcgan runs show studies/urmp-rivals/CMCGAN-0 --json
    """
    from cmcgan_core.evaluation.runs import describe_run, find_run_folder

    details = describe_run(find_run_folder(run))
    if as_json:
        emit_json(details.to_dict())
        return
    out().print(_settings_table(details))
    if details.history:
        out().print(_history_table(details))


@runs.command(cls=Command)
def delete(
    names: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders, or their names in runs/.", show_default=False),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be deleted, and delete nothing.")
    ] = False,
) -> None:
    """Delete runs, with their checkpoints, logs and samples.

    A run that is being trained is not deleted, nor is a folder that holds anything but a run.

    Examples:

      cmcgan runs delete urmp-small

      cmcgan runs delete runs/a runs/b --yes
    """
    from cmcgan_core.evaluation.runs import deletable_size, delete_run, find_run_folder

    sizes = {path: deletable_size(path) for path in map(find_run_folder, names)}
    for path, size in sizes.items():
        note(f"{path}  {_bytes(size)}")
    if dry_run:
        return
    if not yes and not typer.confirm(f"Delete {len(sizes)} run{'s' if len(sizes) > 1 else ''}?", err=True):
        raise typer.Exit(1)
    for path in sizes:
        print_line(f"deleted {path}, which frees {_bytes(delete_run(path))}")


def _run_table(data: str, found: "list[RunSummary]") -> "Table":
    """Return the table of the runs that are trained on one dataset."""
    from cmcgan_cli.tables.cells import new_table

    figures = list(dict.fromkeys(name for run in found for name in run.figures))
    names = ("preset", "steps", "state", "best", *figures, "size", "age")
    table = new_table(data or "no dataset", "run", *names)
    for column in table.columns[1:]:
        column.no_wrap = True
    for run in found:
        values = [f"{run.figures[name]:.3f}" if name in run.figures else "-" for name in figures]
        best = "-" if run.best is None else f"{run.best:.3f}"
        age = _age(time.time() - run.changed)
        table.add_row(run.path.name, run.preset or "-", _steps(run), run.state, best, *values, _bytes(run.size), age)
    return table


def _settings_table(details: "RunDetails") -> "Table":
    """Return the table of what a run is and of its settings."""
    from cmcgan_cli.tables.cells import new_table
    from cmcgan_core.utils.schema import flatten

    summary = details.summary
    facts = {
        "state": summary.state,
        "steps": _steps(summary),
        "training, s": "-" if details.seconds is None else f"{details.seconds:.0f}",
        "size": _bytes(summary.size),
        **details.info,
        **{f"{name} (test split)": f"{value:.3f}" for name, value in summary.figures.items()},
        **flatten(details.config.to_dict()),
    }
    table = new_table(str(summary.path), "setting", "value")
    for name, value in facts.items():
        table.add_row(name, str(value))
    return table


def _history_table(details: "RunDetails") -> "Table":
    """Return the table of the figures of a run's log."""
    from cmcgan_cli.tables.cells import new_table

    table = new_table("Log", "figure", "first", "lowest", "at step", "last")
    for name, trend in details.history.items():
        table.add_row(name, f"{trend.first:.3f}", f"{trend.lowest:.3f}", str(trend.step), f"{trend.last:.3f}")
    return table


def _steps(run: "RunSummary") -> str:
    """Return the number of steps: 600, or 200/600 of a run that is not finished."""
    return str(run.step) if run.step == run.steps else f"{run.step}/{run.steps or '?'}"


def _bytes(size: int) -> str:
    """Return a size with its unit: 512 B, 1.7 MB, 230 MB."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{value:.2g} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def _age(seconds: float) -> str:
    """Return an age in its largest unit: 3 d, 2 h, 5 min."""
    for unit, length in AGES.items():
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
