"""The Typer app: commands, plugin commands, errors to exit codes.

Exit codes: 0 success; 1 an expected error, or some inputs failed; 2 a wrong command line; 130 interrupted.
"""

import errno
import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer

from cmcgan_cli.classify import classify
from cmcgan_cli.compare import compare
from cmcgan_cli.console import Command, note, note_error, prepare_streams
from cmcgan_cli.demo import demo
from cmcgan_cli.doctor import doctor
from cmcgan_cli.evaluate import evaluate
from cmcgan_cli.export import export
from cmcgan_cli.export_data import export_data
from cmcgan_cli.generate import generate
from cmcgan_cli.human_eval import human_eval
from cmcgan_cli.page import page
from cmcgan_cli.plugins import plugins
from cmcgan_cli.prepare import prepare
from cmcgan_cli.retrieve import retrieve
from cmcgan_cli.runs import runs
from cmcgan_cli.study import study
from cmcgan_cli.train import train
from cmcgan_core import __version__
from cmcgan_core.errors import CmcganError, Interrupted

#: Built-in commands, in the order in which a new user needs them.
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "app": page,
    "prepare": prepare,
    "train": train,
    "generate": generate,
    "classify": classify,
    "retrieve": retrieve,
    "evaluate": evaluate,
    "compare": compare,
    "study": study,
    "export": export,
    "export-data": export_data,
    "plugins": plugins,
    "doctor": doctor,
}
#: Built-in commands that have subcommands.
GROUPS: dict[str, typer.Typer] = {"runs": runs, "human-eval": human_eval}

#: The errors of a write to standard output: the disk is full, the reader is gone, or the device fails.
OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE)


class Commands(typer.core.TyperGroup):
    """The built-in commands, then the commands of plugins. A plugin is imported only when its command is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """List the built-in commands in their order, then those of plugins."""
        return [*COMMANDS, *GROUPS, *_plugin_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a built-in command; for a plugin, a stand-in with a line of help, which needs no import."""
        if cmd_name in _plugin_commands():
            package = _plugin_commands()[cmd_name].dist
            return typer.core.TyperCommand(cmd_name, help=f"A plugin, from {package.name if package else 'a package'}.")
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to call; a plugin is imported here."""
        if args and args[0] in _plugin_commands():
            return args[0], _load(_plugin_commands()[args[0]]), args[1:]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    # Plain help starts twice as fast as Typer's rich help, and is easier to copy.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    app.command(_name, cls=Command)(_command)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"cmcgan {__version__}\n")
        raise typer.Exit


@app.callback()
def cmcgan(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turn sound into pictures and pictures into sound.

    Examples:

      cmcgan demo

      cmcgan prepare urmp/

      cmcgan train prepared/urmp

      cmcgan generate --from sound.wav
    """


@app.command("version", hidden=True)
def version() -> None:
    """Print the version, as --version does."""
    _show_version(wanted=True)


@app.command("help", hidden=True)
def show_help(
    context: typer.Context, commands: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]...")] = None
) -> None:
    """Print the help of a command, as COMMAND --help does."""
    app([*(commands or []), "--help"], prog_name=context.find_root().info_name)


def main() -> None:
    """Run the command line. An expected error becomes one line on standard error."""
    # OpenMP's threads spin while they wait for each other; by default 30 times longer than this. If other programs run
    # too, that makes a training step many times slower (docs/benchmarks.md). No spinning at all is not faster.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # torch's profiler (`train --profile`) otherwise prints its own events, and an error where there is no GPU.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    prepare_streams()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except Interrupted as stop:
        note(f"{stop}; the same command resumes")
        sys.exit(130)
    except CmcganError as error:
        note_error(error)
        sys.exit(1)
    except OSError as error:
        if error.errno not in OUTPUT_ERRORS or error.filename is not None:
            raise
        # Redirect the rest, so that the flush at exit does not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno != errno.EPIPE:  # else the reader closed the pipe, as `| head` does
            note_error(f"the output cannot be written ({str(error.strerror).lower()})")
        sys.exit(1)


def _plugin_commands() -> dict[str, EntryPoint]:
    return {e.name: e for e in entry_points(group="cmcgan.commands") if e.name not in {*COMMANDS, *GROUPS}}


def _load(entry_point: EntryPoint) -> Any:
    from cmcgan_core.registry import load_entry_point

    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(entry_point.name, cls=Command)(load_entry_point(entry_point))
    return typer.main.get_command(single)
