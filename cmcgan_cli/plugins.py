"""The command `cmcgan plugins`: list the installed plugins."""

from dataclasses import asdict
from typing import Annotated

import typer

from cmcgan_cli.console import Json, emit_json, note, out


def plugins(
    check: Annotated[
        bool, typer.Option("--check", help="Load every part too. The exit code is 1 if one does not load.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the parts that installed plugins add, with their packages.

    Examples:

      cmcgan plugins

      cmcgan plugins --check --json
    """
    from cmcgan_core.registry import GROUPS, installed_plugins

    installed = installed_plugins(load=check)
    if as_json:
        emit_json([asdict(plugin) for plugin in installed])
    elif installed:
        from cmcgan_cli.tables.cells import new_table

        table = new_table(None, "kind", "name", "package", *(["state"] if check else []))
        for plugin in installed:
            state = [plugin.fault or "ok"] if check else []
            style = "red" if plugin.fault else None
            table.add_row(_kind(plugin.group), plugin.name, plugin.package, *state, style=style)
        out().print(table)
    else:
        note("no plugins are installed; docs/plugins.md shows how to write one. They can add:")
        for description in GROUPS.values():
            note(f"  {description}")
    if any(plugin.fault for plugin in installed):
        raise typer.Exit(1)


def _kind(group: str) -> str:
    """Return what an entry-point group holds, in the singular: "encoder" of "cmcgan.encoders"."""
    name = group.removeprefix("cmcgan.")
    return "loss" if name == "losses" else name.removesuffix("s")
