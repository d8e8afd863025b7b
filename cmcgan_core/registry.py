"""Named parts: a literal dict of built-ins, then what installed plugins add through entry points.

A plugin is an ordinary package whose `pyproject.toml` names what it adds; nothing is imported before it is asked for:

```toml
[project.entry-points."cmcgan.encoders"]
residual = "cmcgan_residual:ResidualEncoder"
```
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from cmcgan_core.errors import PluginError

T = TypeVar("T")

#: Every entry-point group that cmcgan reads, and what its entries are.
GROUPS = {
    "cmcgan.encoders": "encoders: nn.Module classes that turn a modality into a code",
    "cmcgan.losses": "losses: functions of (generated, target) that may stand for the L1 of eq. 3",
    "cmcgan.metrics": "metrics: figures of generated samples, `MapMetric` or `SetMetric`",
    "cmcgan.methods": "methods: what `cmcgan train` can train",
    "cmcgan.representations": "representations: how sound becomes a picture of sound, and back",
    "cmcgan.sources": "sources: layouts of recordings that `cmcgan prepare` reads",
    "cmcgan.commands": "commands: subcommands of `cmcgan`",
}


@dataclass(frozen=True)
class Plugin:
    """One entry point of an installed package.

    Attributes:
        group: entry-point group, one of `GROUPS`.
        name: the name that a configuration or a command line uses.
        package: the distribution that brings it, with its version.
        fault: why it cannot be used, or None where it can.
    """

    group: str
    name: str
    package: str
    fault: str | None


class Registry(Generic[T]):
    """Built-in parts by name, extended by the entry points of one group.

    Args:
        group: entry-point group, one of `GROUPS`.
        builtins: the parts that come with cmcgan; a plugin cannot take one of their names.
    """

    def __init__(self, group: str, builtins: Mapping[str, T]) -> None:
        self.group = group
        self.builtins = dict(builtins)

    def names(self) -> list[str]:
        """Names that `get` knows: built-ins in their order, then those of plugins."""
        return [*self.builtins, *(p.name for p in self._entry_points() if p.name not in self.builtins)]

    def get(self, name: str) -> T:
        """The part of that name.

        Raises:
            PluginError: nobody provides the name (the message lists who is known), or its plugin does not load.
        """
        if name in self.builtins:
            return self.builtins[name]
        found = [p for p in self._entry_points() if p.name == name]
        if not found:
            close = difflib.get_close_matches(name, self.names(), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            known = ", ".join(self.names())
            raise PluginError(f"{self.group} has no {name!r}{hint} (known: {known}; see: cmcgan plugins)")
        if len(found) > 1:
            packages = " and ".join(_package(p) for p in found)
            raise PluginError(f"{self.group}: {name!r} is provided by {packages}; uninstall one of them")
        return load(found[0])  # type: ignore[no-any-return]

    def _entry_points(self) -> list[EntryPoint]:
        return list(entry_points(group=self.group))


def load(entry_point: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises:
        PluginError: its package fails to import, whatever it raised.
    """
    try:
        return entry_point.load()
    except Exception as error:
        raise PluginError(
            f"plugin {entry_point.name!r} of {_package(entry_point)} does not load: {type(error).__name__}: {error}"
        ) from error


def installed_plugins() -> list[Plugin]:
    """All entry points of all groups, each tried; one that does not load carries its fault."""
    plugins = []
    for group in GROUPS:
        for entry_point in entry_points(group=group):
            try:
                load(entry_point)
                fault = None
            except PluginError as error:
                fault = str(error)
            plugins.append(Plugin(group, entry_point.name, _package(entry_point), fault))
    return plugins


def _package(entry_point: EntryPoint) -> str:
    return f"{entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else "an unnamed package"
