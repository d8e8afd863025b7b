"""Find the files that a user names: as files, folders, patterns or a list."""

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
    """A file to process.

    Attributes:
        path: the file. It is not checked whether it exists.
        relative: the name that outputs are derived from: the path below the searched folder or pattern, the path in
            the list, or the file name.
    """

    path: Path
    relative: Path


def expand(sources: Iterable[str], out: Path | None = None, listed: str = "") -> list[Input]:
    """Return the files that the sources name, in their order, each once.

    Args:
        sources: files; folders, which are searched recursively; patterns (`"clips/**/*.wav"`); or "-" for the files in
            `listed`. Folders and patterns give media files only, recognised by their suffix, and no hidden ones.
        out: folder for the outputs; files in it are not inputs.
        listed: file names, one per line, or separated by NUL as by `find -print0`.

    Raises:
        ConfigError: a folder or a pattern contains no media file, or `out` is a folder that is searched.
    """
    inputs: dict[Path, Input] = {}
    for source in sources:
        for item in _expand_source(source, out, listed):
            inputs.setdefault(item.path.absolute(), item)
    return list(inputs.values())


def split_list(text: str) -> list[str]:
    """Return the file names in a list; see `expand`."""
    names = text.split("\0") if "\0" in text else text.splitlines()
    return [name for name in names if name.strip()]


def _expand_source(source: str, out: Path | None, listed: str) -> Sequence[Input]:
    """Return the files that one source names."""
    path = Path(source)
    if source == "-":
        return [Input(Path(name), _relative_to_here(Path(name))) for name in split_list(listed)]
    if path.is_dir():
        return _select_media(source, path, _walk(path, out))
    if glob.has_magic(source) and not path.exists():
        paths = map(Path, glob.iglob(source, recursive=True))  # noqa: PTH207 - the pattern as the user typed it
        return _select_media(source, _fixed_part(path), paths)
    return [Input(path, Path(path.name))]


def _relative_to_here(path: Path) -> Path:
    """Return a listed path if it lies below the current folder, as `find .` prints it; otherwise its name."""
    return Path(path.name) if path.is_absolute() or ".." in path.parts else path


def _select_media(source: str, root: Path, paths: Iterable[Path]) -> list[Input]:
    """Return the media files among paths below `root`, without hidden ones.

    Raises:
        ConfigError: there are none.
    """
    media = [Input(path, path.relative_to(root)) for path in sorted(paths) if media_kind(path) and path.is_file()]
    visible = [item for item in media if not any(part.startswith(".") for part in item.relative.parts)]
    if not visible:
        raise ConfigError(f"{source} holds no sound, picture or video with a known suffix")
    return visible


def _walk(folder: Path, out: Path | None) -> Iterator[Path]:
    """Yield all files below a folder, except those below `out`.

    Raises:
        ConfigError: `out` is the folder itself.
    """
    excluded = out.resolve() if out is not None else None
    if excluded == folder.resolve():
        raise ConfigError(
            f"{folder} would contain the results too, and the next call would read them as inputs; choose another --out"
        )
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if (Path(path) / name).resolve() != excluded]
        yield from (Path(path) / name for name in files)


def _fixed_part(pattern: Path) -> Path:
    """Return the folder at the start of a pattern, before the first part with a wildcard."""
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts[:-1])
    return Path(*fixed)
