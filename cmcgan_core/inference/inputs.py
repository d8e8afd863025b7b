"""Find the files that a user names: as files, folders, patterns or a list."""

import glob
import itertools
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from cmcgan_core.errors import ConfigError
from cmcgan_core.media.files import media_kind
from cmcgan_core.media.folders import find_media
from cmcgan_core.utils.files import exists, is_folder
from cmcgan_core.utils.names import is_ignored, is_made_by_system

#: The byte order marks of UTF-16.
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
#: The byte order mark of UTF-8, which some editors write at the start of a file.
UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Input:
    """A file to process.

    Attributes:
        path: the file. It is not checked whether it exists, or whether it can be read. It may also be a folder that
            cannot be read, so that whoever reads it names it.
        relative: the name that outputs are derived from: the path below the searched folder or pattern, the path in
            the list, or the file name. If two inputs would have the same one, they also have the names of the folders
            that tell them apart.
    """

    path: Path
    relative: Path


def expand(sources: Iterable[str], out: Path | None = None, listed: str = "") -> list[Input]:
    """Return the files that the sources name, in their order, each once.

    Args:
        sources: files; folders, which are searched recursively; patterns (`"clips/**/*.wav"`); or "-" for the files in
            `listed`. Folders and patterns give media files only, see `media.folders`, and the folders that cannot be
            read.
        out: folder for the outputs; files in it are not inputs.
        listed: file names, see `split_list`.

    Raises:
        ConfigError: a source is empty, a folder or a pattern contains no media file, or `out` is a folder that is
            searched.
    """
    real = cache(os.path.realpath)
    inputs: dict[Path, Input] = {}
    for source in sources:
        for item in _expand_source(source, out, listed):
            inputs.setdefault(Path(real(item.path.parent), item.path.name), item)
    return _tell_apart(inputs)


def read_list(data: bytes) -> str:
    """Return a list of file names, as it was read from standard input, for `expand` and `split_list`.

    Raises:
        ConfigError: it is UTF-16, as some shells write it.
    """
    odd, even = data[1::2], data[::2]
    if data.startswith(UTF16_MARKS) or (len(data) > 2 and (not any(odd) or not any(even))):
        raise ConfigError("the list of files is UTF-16; convert it first, for example with: iconv -f UTF-16 -t UTF-8")
    return os.fsdecode(data.removeprefix(UTF8_MARK))


def split_list(text: str) -> list[str]:
    r"""Return the file names in a list.

    Names are separated by NUL as by `find -print0`, or else by the end of a line: \n or \r\n. Any other character may
    be part of a name. The files that macOS makes are left out.
    """
    names = text.split("\0") if "\0" in text else [line.removesuffix("\r") for line in text.split("\n")]
    return [name for name in names if name.strip() and not is_made_by_system(Path(name).parts)]


def _expand_source(source: str, out: Path | None, listed: str) -> Sequence[Input]:
    """Return the files that one source names."""
    path = Path(source)
    if not source:
        raise ConfigError("an empty name is no input; name a file, a folder or a pattern")
    if source == "-":
        return [Input(Path(name), _relative_to_here(Path(name))) for name in split_list(listed)]
    if is_folder(path):
        return _search_folder(path, out)
    if glob.has_magic(source) and not exists(path):
        return _search_pattern(source)
    return [Input(path, Path(path.name))]


def _relative_to_here(path: Path) -> Path:
    """Return a listed path if it lies below the current folder, as `find .` prints it; otherwise its name."""
    return Path(path.name) if path.is_absolute() or ".." in path.parts else path


def _search_folder(folder: Path, out: Path | None) -> list[Input]:
    """Return the media files below a folder, except those below `out`, and the folders that cannot be read.

    Raises:
        ConfigError: there are none, or `out` is the folder itself.
    """
    excluded = None if out is None else os.path.realpath(out)
    if excluded == os.path.realpath(folder):
        raise ConfigError(
            f"{folder} would contain the results too, and the next call would read them as inputs; choose another --out"
        )
    unreadable: list[Path] = []
    media = find_media(folder, lambda error: unreadable.append(Path(error.filename)), lambda found: found == excluded)
    return _make_inputs(str(folder), folder, [*media, *unreadable])


def _search_pattern(pattern: str) -> list[Input]:
    """Return the media files that match a pattern, and the folders that cannot be read where they are searched.

    Raises:
        ConfigError: there are none.
    """
    root = _fixed_part(Path(pattern))
    files = (path for path in _glob(pattern) if media_kind(path) and not is_folder(path))
    found = [*files, *_find_unreadable(Path(pattern))]
    return _make_inputs(pattern, root, [path for path in found if not is_ignored(path.relative_to(root).parts)])


def _glob(pattern: str) -> Iterator[Path]:
    """Yield the paths that match a pattern, as the user typed it."""
    return map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207


def _find_unreadable(pattern: Path) -> set[Path]:
    """Return the folders that cannot be read, of those that contain what a part of a pattern can match."""
    searched: set[Path] = set()
    for number, part in enumerate(pattern.parts):
        if glob.has_magic(part):
            folder = Path(*pattern.parts[: number + (part == "**")])
            searched.update(_glob(f"{folder}/"))
    return {folder for folder in searched if not _is_readable(folder)}


def _is_readable(folder: Path) -> bool:
    """Return whether the entries of a folder can be listed."""
    try:
        os.scandir(folder).close()
    except OSError:
        return False
    return True


def _make_inputs(source: str, root: Path, paths: Iterable[Path]) -> list[Input]:
    """Return what was found below a folder as inputs, sorted.

    Raises:
        ConfigError: nothing was found.
    """
    inputs = [Input(path, path.relative_to(root)) for path in sorted(paths)]
    if not inputs:
        raise ConfigError(f"{source} holds no sound, picture or video with a known suffix")
    return inputs


def _tell_apart(inputs: Mapping[Path, Input]) -> list[Input]:
    """Return inputs, given by their absolute paths; those with one relative name get different ones."""
    folders: dict[Path, set[Path]] = defaultdict(set)
    for path, item in inputs.items():
        folders[item.relative].add(path.parent)
    return [
        replace(item, relative=path.relative_to(os.path.commonpath(same)))
        if len(same := folders[item.relative]) > 1
        else item
        for path, item in inputs.items()
    ]


def _fixed_part(pattern: Path) -> Path:
    """Return the folder at the start of a pattern, before the first part with a wildcard."""
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts[:-1])
    return Path(*fixed)
