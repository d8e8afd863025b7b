"""Names of files: which ones a system made, which ones are too long, names as text, and names that come from data.

A name is a string in which each byte that is not valid text is a surrogate, as `os.fsdecode` returns it. Such a name
can be opened, compared and sorted like any other.

Class names and ids are read from files that others may have written. A class called `../home` must not lead out of the
folder that a command writes.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

from cmcgan_core.errors import DataError
from cmcgan_core.utils.schema import show
from cmcgan_core.utils.system import WINDOWS, windows_name_fault

#: Longest name of a file in bytes, without its folder, on all usual file systems.
MAX_NAME_BYTES = 255
#: The end of the name of a spectrogram that `cmcgan generate` draws next to a sound. It is no picture of a player.
SPECTROGRAM_SUFFIX = ".lms.png"
#: Folders that operating systems and storage devices make, among them copies and thumbnails of media.
SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
#: Files that macOS makes next to the user's own: folder settings, and attributes of the file NAME in `._NAME`.
_MACOS_FILE = re.compile(r"\.DS_Store|\._.+")
#: Bytes that are not text, control characters, and each % that would be read as the escape of one.
_TO_ESCAPE = re.compile(r"[\udc80-\udcff\x00-\x1f\x7f]|%(?=25|7F|[0189A-F][0-9A-F])")
#: What `to_text` writes in place of such a character.
_ESCAPED = re.compile(r"%(25|7F|[0189A-F][0-9A-F])")
#: Longest name from data in bytes; the rest of `MAX_NAME_BYTES` is for suffixes and numbers that commands add.
MAX_DATA_NAME_BYTES = 200
#: Unicode categories that no name contains: control characters, line and paragraph separators, halves of surrogates.
FORBIDDEN = ("Cc", "Cs", "Zl", "Zp")


def is_ignored(parts: Iterable[str]) -> bool:
    """Return whether a path is ignored in a searched folder: hidden files, a system's own, and drawn spectrograms.

    Args:
        parts: the parts of the path below the searched folder.
    """
    return any(part.startswith(".") or part in SYSTEM_FOLDERS or part.endswith(SPECTROGRAM_SUFFIX) for part in parts)


def is_made_by_system(parts: Iterable[str]) -> bool:
    """Return whether a path belongs to the operating system, because one of its parts does."""
    return any(part in SYSTEM_FOLDERS or _MACOS_FILE.fullmatch(part) for part in parts)


def folder_name(path: Path) -> str:
    """Return the name of a folder as the user typed it: a link keeps its own name, `.` is the current folder."""
    return os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119 - pathlib follows links, or keeps `..`


def is_too_long(path: Path) -> bool:
    """Return whether the name of a file, without its folder, is too long for a file system."""
    return len(os.fsencode(path.name)) > MAX_NAME_BYTES


def shorten(path: Path) -> Path:
    """Return a path whose name is not too long: the start of the name, and a hash of the whole name without suffix."""
    if not is_too_long(path):
        return path
    digest = blake2b(os.fsencode(path.stem), digest_size=8).hexdigest()
    # A character takes at most four bytes.
    return path.with_name(f"{path.stem[:50]}-{digest}{path.suffix}")


def to_text(name: str) -> str:
    r"""Return a name as one line of valid text, for files that must be UTF-8, such as tables and TOML.

    A byte that is not text, or is a control character, becomes `%` and two hexadecimal digits. To keep different names
    different, a `%` that could be read as such an escape becomes `%25`. All other names stay as they are.

    Examples:
        >>> to_text("p\udce9.jpg"), to_text("p%E9.jpg"), to_text("50 %.jpg")
        ('p%E9.jpg', 'p%25E9.jpg', '50 %.jpg')
    """
    return _TO_ESCAPE.sub(lambda match: f"%{ord(match[0]) & 0xFF:02X}", name)


def from_text(text: str) -> str:
    r"""Return the name that a text of `to_text` stands for.

    Examples:
        >>> from_text("p%E9.jpg") == "p\udce9.jpg", from_text("p%25E9.jpg"), from_text("50 %.jpg")
        (True, 'p%E9.jpg', '50 %.jpg')
    """

    def unescape(match: re.Match[str]) -> str:
        byte = int(match[1], 16)
        return chr(byte if byte < 0x80 else 0xDC00 + byte)

    return _ESCAPED.sub(unescape, text)


def name_fault(name: str, longest: int = MAX_DATA_NAME_BYTES) -> str | None:
    """Return why a text cannot name a file or a folder, or None if it can.

    Letters of all scripts, digits, spaces and punctuation are allowed, except slashes, backslashes and what Windows
    refuses if this is Windows.

    Args:
        name: the text.
        longest: the largest number of bytes.

    Returns:
        The end of a sentence that begins with the name, for example "contains a slash".
    """
    if not name.strip():
        return "is empty"
    if name in (".", ".."):
        return "means a folder"
    if "/" in name or "\\" in name:
        return "contains a slash or a backslash"
    if any(unicodedata.category(character) in FORBIDDEN for character in name):
        return "contains a control character, or is not valid text"
    if len(name.encode()) > longest:
        return f"is longer than {longest} bytes"
    return windows_name_fault(name) if WINDOWS else None


def path_below(folder: Path, name: str, longest: int = MAX_DATA_NAME_BYTES) -> Path:
    """Return the path of a file or a folder that is directly in `folder`; for `longest`, see `name_fault`.

    Raises:
        DataError: the name cannot be that of a file, see `name_fault`.
    """
    if fault := name_fault(name, longest):
        raise DataError(f"{show(name)} cannot be a name in {folder}: it {fault}; rename it")
    return folder / name


def require_names(names: Iterable[str], kind: str) -> None:
    """Check that names from data can name files and folders.

    Args:
        names: the names.
        kind: what they name, for the message.

    Raises:
        ValueError: one cannot; the message has no file.
    """
    for name in names:
        if fault := name_fault(name):
            raise ValueError(f"the {kind} {show(name)} {fault}")


def require_classes(classes: Sequence[str]) -> None:
    """Check that the classes of a dataset or a model differ, and can name files and folders.

    Raises:
        ValueError: they do not; the message has no file.
    """
    require_names(classes, "class")
    if len(set(classes)) < len(classes):
        raise ValueError("two of its classes are the same")
