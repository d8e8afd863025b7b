"""The Typer app: commands, plugin commands, errors to exit codes.

Exit codes: 0 done, 1 an expected error or a part that failed, 2 a wrong command line, 130 interrupted.
"""

import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from cmcgan_cli.classify import classify
from cmcgan_cli.console import err
from cmcgan_cli.demo import demo
from cmcgan_cli.doctor import doctor
from cmcgan_cli.evaluate import evaluate
from cmcgan_cli.export import export
from cmcgan_cli.generate import generate
from cmcgan_cli.human_eval import human_eval
from cmcgan_cli.plugins import plugins
from cmcgan_cli.prepare import prepare
from cmcgan_cli.study import study
from cmcgan_cli.train import train
from cmcgan_core import __version__
from cmcgan_core.errors import CmcganError

#: Built-in commands, in the order of a user's first day.
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "prepare": prepare,
    "train": train,
    "generate": generate,
    "classify": classify,
    "evaluate": evaluate,
    "study": study,
    "export": export,
    "plugins": plugins,
    "doctor": doctor,
}
#: Built-in commands that have commands of their own.
GROUPS: dict[str, typer.Typer] = {"human-eval": human_eval}


class Commands(typer.core.TyperGroup):
    """Built-in commands, then those of plugins, which are imported only when they are called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Built-ins in their order, then plugins."""
        return [*COMMANDS, *GROUPS, *_plugin_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A built-in, or for a plugin a line of help that needs no import."""
        if cmd_name in _plugin_commands():
            package = _plugin_commands()[cmd_name].dist
            return typer.core.TyperCommand(cmd_name, help=f"A plugin, from {package.name if package else 'a package'}.")
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command to call; here a plugin is imported."""
        if args and args[0] in _plugin_commands():
            return args[0], _load(_plugin_commands()[args[0]]), args[1:]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    # Plain help starts twice as fast as Typer's rich help, and pastes better.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"cmcgan {__version__}\n")
        raise typer.Exit


@app.callback()
def cmcgan(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turn sound into picture and picture into sound.

    Examples:

      cmcgan demo

      cmcgan prepare urmp/

      cmcgan train prepared/urmp

      cmcgan generate --from sound.wav
    """


def main() -> None:
    """Run the command line; expected errors become one line on standard error."""
    # OpenMP's threads spin while they wait for each other, 30 times longer than this by default; where other programs
    # run too, that makes a training step many times slower (docs/benchmarks.md). No spinning at all is no better.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # Names of files that are no UTF-8 become escapes, which JSON has too, rather than a crash or a broken document.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except CmcganError as error:
        err().print(f"error: {error}", style="red", soft_wrap=True)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has heard enough (`| head`); nothing more can be written, so neither at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _plugin_commands() -> dict[str, EntryPoint]:
    return {e.name: e for e in entry_points(group="cmcgan.commands") if e.name not in {*COMMANDS, *GROUPS}}


def _load(entry_point: EntryPoint) -> Any:
    from cmcgan_core.registry import load_entry_point

    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(entry_point.name)(load_entry_point(entry_point))
    return typer.main.get_command(single)
