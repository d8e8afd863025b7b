"""`cmcgan plugins`."""

import typer

from cmcgan_cli.console import Json, emit_json, note, out


def plugins(as_json: Json = False) -> None:
    """List what installed plugins add, from which package, and what failed to load and why.

    Example:

      cmcgan plugins --json
    """
    from cmcgan_core.registry import GROUPS, installed_plugins

    found = installed_plugins()
    if as_json:
        emit_json([plugin.__dict__ for plugin in found])
    elif found:
        from rich.table import Table

        table = Table("kind", "name", "package", "state")
        for plugin in found:
            kind = plugin.group.removeprefix("cmcgan.")[:-1]
            table.add_row(
                kind, plugin.name, plugin.package, plugin.fault or "ok", style="red" if plugin.fault else None
            )
        out().print(table)
    else:
        note("no plugins are installed; docs/plugins.md shows how to write one. They can add:")
        for what in GROUPS.values():
            note(f"  {what}")
    if any(plugin.fault for plugin in found):
        raise typer.Exit(1)
