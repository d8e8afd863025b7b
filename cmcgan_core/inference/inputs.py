"""From what a user names (files, folders, patterns, a list) to the files that are meant."""

import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmcgan_core.errors import ConfigError
from cmcgan_core.media.files import media_kind


@dataclass(frozen=True)
class Input:
    """A file to work on.

    Attributes:
        path: of the file, which may turn out not to exist.
        relative: its name, or its path below the folder or the pattern that it was found by, or as it was listed;
            results are named so.
    """

    path: Path
    relative: Path


def expand(sources: Iterable[str], out: Path | None = None, listed: str = "") -> list[Input]:
    """The files that are meant, in the order given, each once.

    Args:
        sources: files; folders, which are searched with all that is below them; patterns (`"clips/**/*.wav"`); "-" for
            the files in `listed`. In folders, and where a pattern has matched, only media are taken, by their suffix,
            and nothing hidden.
        out: folder that results go to; what lies in it is no input.
        listed: names of files, one a line, or separated by NUL as by `find -print0`.

    Raises:
        ConfigError: a folder or a pattern holds no medium, or `out` is a folder that is searched.
    """
    found: dict[Path, Input] = {}
    for source in sources:
        for one in _meant(source, out, listed):
            found.setdefault(one.path.absolute(), one)
    return list(found.values())


def split_list(text: str) -> list[str]:
    """Names of files out of a list of them; see `expand`."""
    names = text.split("\0") if "\0" in text else text.splitlines()
    return [name for name in names if name.strip()]


def _meant(source: str, out: Path | None, listed: str) -> Sequence[Input]:
    path = Path(source)
    if source == "-":
        return [Input(Path(name), _listed_name(Path(name))) for name in split_list(listed)]
    if path.is_dir():
        return _found(source, path, _below(path, out))
    if glob.has_magic(source) and not path.exists():
        return _found(source, _fixed_part(path), map(Path, glob.iglob(source, recursive=True)))  # noqa: PTH207 - as typed
    return [Input(path, Path(path.name))]


def _listed_name(path: Path) -> Path:
    """Where a listed file lies below the folder that we are in, as `find` names it; elsewhere its name alone."""
    return Path(path.name) if path.is_absolute() or ".." in path.parts else path


def _found(source: str, root: Path, paths: Iterable[Path]) -> list[Input]:
    """The media among paths below `root`."""
    found = [Input(path, path.relative_to(root)) for path in sorted(paths) if media_kind(path) and path.is_file()]
    shown = [one for one in found if not any(part.startswith(".") for part in one.relative.parts)]
    if not shown:
        raise ConfigError(f"{source} holds no sound, picture or video that is known by its suffix")
    return shown


def _below(folder: Path, out: Path | None) -> Iterator[Path]:
    """All that is below a folder, but for what is below `out`."""
    made = out.resolve() if out is not None else None
    if made == folder.resolve():
        raise ConfigError(
            f"{folder} is where results would go, and they would be read as inputs the next time; choose another --out"
        )
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if (Path(path) / name).resolve() != made]
        yield from (Path(path) / name for name in files)


def _fixed_part(pattern: Path) -> Path:
    """The folder that a pattern begins with, before anything in it that may vary."""
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts[:-1])
    return Path(*fixed)
