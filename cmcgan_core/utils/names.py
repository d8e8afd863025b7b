"""Check names that come from data before they become paths.

Class names and ids are read from files that others may have written. A class called `../home` must not lead out of the
folder that a command writes.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from cmcgan_core.errors import DataError
from cmcgan_core.utils.schema import show

#: Longest name in bytes. File systems allow 255; the rest is for suffixes and numbers that commands add.
LONGEST = 200
#: Unicode categories that no name contains: control characters, line and paragraph separators, halves of surrogates.
FORBIDDEN = ("Cc", "Cs", "Zl", "Zp")


def name_fault(name: str, longest: int = LONGEST) -> str | None:
    """Return why a text cannot name a file or a folder, or None if it can.

    Letters of all scripts, digits, spaces and punctuation are allowed, except slashes and backslashes.

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
    return None


def path_below(folder: Path, name: str, longest: int = LONGEST) -> Path:
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
