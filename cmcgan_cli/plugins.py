"""The command `cmcgan plugins`: list the installed plugins."""

from dataclasses import asdict

import typer

from cmcgan_cli.console import Json, emit_json, note, out


def plugins(as_json: Json = False) -> None:
    """List the parts that installed plugins add, with their packages. The exit code is 1 if a plugin does not load.

    Example:

      cmcgan plugins --json
    """
    from cmcgan_core.registry import GROUPS, installed_plugins

    installed = installed_plugins()
    if as_json:
        emit_json([asdict(plugin) for plugin in installed])
    elif installed:
        from rich.table import Table

        table = Table("kind", "name", "package", "state")
        for plugin in installed:
            kind = _kind(plugin.group)
            state, style = plugin.fault or "ok", "red" if plugin.fault else None
            table.add_row(kind, plugin.name, plugin.package, state, style=style)
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
