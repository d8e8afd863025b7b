"""Look up exchangeable parts (encoders, losses, methods, ...) by name: the built-in ones and those of plugins.

A plugin is an ordinary Python package. Its `pyproject.toml` lists the parts that it provides as entry points, and a
part is imported only when it is used:

```toml
[project.entry-points."cmcgan.encoders"]
residual = "cmcgan_residual:ResidualEncoder"
```
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from cmcgan_core.errors import PluginError
from cmcgan_core.utils.schema import did_you_mean

T = TypeVar("T")

#: Every entry-point group that cmcgan reads, and a description of its entries.
GROUPS = {
    "cmcgan.encoders": "encoders: nn.Module classes that turn a modality into a code",
    "cmcgan.decoders": "decoders: nn.Module classes that turn a code and a latent into a modality",
    "cmcgan.discriminators": "discriminators: nn.Module classes that score pairs of a picture and a sound",
    "cmcgan.losses": "losses: functions of (generated, target) that can replace the L1 of eq. 3",
    "cmcgan.metrics": "metrics: figures of generated samples, `MapMetric`, `SetMetric` or `WaveformMetric`",
    "cmcgan.methods": "methods: what `cmcgan train` can train",
    "cmcgan.loggers": "loggers: where `cmcgan train --log` sends losses and samples",
    "cmcgan.representations": "representations: conversions of sound into a spectrogram, and back",
    "cmcgan.sources": "sources: layouts of recordings that `cmcgan prepare` reads",
    "cmcgan.commands": "commands: subcommands of `cmcgan`",
}


@dataclass(frozen=True)
class Plugin:
    """One entry point of an installed package.

    Attributes:
        group: the entry-point group, one of `GROUPS`.
        name: the name of the part in configurations and on the command line.
        package: the package that provides it, with its version.
        fault: why it cannot be used; None if it can, or if that was not tried.
    """

    group: str
    name: str
    package: str
    fault: str | None


class Registry(Generic[T]):
    """The parts of one kind by name: built-in ones, and those that plugins provide in one entry-point group.

    Args:
        group: the entry-point group, one of `GROUPS`.
        builtins: the parts that come with cmcgan. A plugin cannot replace them.
    """

    def __init__(self, group: str, builtins: Mapping[str, T]) -> None:
        self.group = group
        self.builtins = dict(builtins)

    def names(self) -> list[str]:
        """Return the names that `get` accepts: the built-in ones in their order, then those of plugins."""
        return [*self.builtins, *(p.name for p in self._entry_points() if p.name not in self.builtins)]

    def get(self, name: str) -> T:
        """Return the part with that name; import it if a plugin provides it.

        Raises:
            PluginError: the name is unknown (the message lists the known ones), two packages provide it, or its plugin
                cannot be imported.
        """
        if name in self.builtins:
            return self.builtins[name]
        matches = [p for p in self._entry_points() if p.name == name]
        if not matches:
            names, kind = self.names(), self.group.removeprefix("cmcgan.")
            raise PluginError(
                f"no {name!r} among the {kind}{did_you_mean(name, names)}; known: {', '.join(names)}; "
                "see: cmcgan plugins"
            )
        if len(matches) > 1:
            packages = " and ".join(_package_label(p) for p in matches)
            raise PluginError(f"{self.group}: {name!r} is provided by {packages}; uninstall one of them")
        part: T = load_entry_point(matches[0])
        return part

    def _entry_points(self) -> list[EntryPoint]:
        return list(entry_points(group=self.group))


def load_entry_point(entry_point: EntryPoint) -> Any:
    """Import and return the object that an entry point names.

    Raises:
        PluginError: the import raised an exception of any type, or tried to end the process.
    """
    try:
        return entry_point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin that calls sys.exit must not end the command, as if it had succeeded
        raise PluginError(
            f"plugin {entry_point.name!r} of {_package_label(entry_point)} does not load: "
            f"{type(error).__name__}: {error}"
        ) from error


def installed_plugins(*, load: bool) -> list[Plugin]:
    """Return every entry point of every group.

    Args:
        load: import them too, which may take seconds; `Plugin.fault` says which ones failed.
    """
    return [
        Plugin(group, entry_point.name, _package_label(entry_point), _load_fault(entry_point) if load else None)
        for group in GROUPS
        for entry_point in entry_points(group=group)
    ]


def _load_fault(entry_point: EntryPoint) -> str | None:
    """Return why an entry point cannot be imported, or None if it can."""
    try:
        load_entry_point(entry_point)
    except PluginError as error:
        return str(error)
    return None


def _package_label(entry_point: EntryPoint) -> str:
    """Return the name and the version of the package that provides an entry point."""
    return f"{entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else "an unnamed package"
