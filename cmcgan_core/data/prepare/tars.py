"""Read the samples of tar files in the WebDataset format.

Source: the format's description at https://github.com/webdataset/webdataset.

The names in a tar file are only names: nothing is written to the paths that they say. A file is read from its place in
the tar file, when it is needed.
"""

import re
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cmcgan_core.errors import MediaError
from cmcgan_core.media.files import DECODER_ERRORS
from cmcgan_core.utils.files import error_reason

#: The key of a sample, which has no dot after its last slash, and the suffix of one of its files.
_NAME = re.compile(r"(?:\./)*((?:.*/)?[^./][^.]*)\.([^/]+)")
#: Files whose names begin and end with two underscores describe the tar file.
_ABOUT_TAR = re.compile(r"__[^/]*__(/|$)")
#: How compressed files begin: gzip, bzip2, xz, zstd.
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
#: The size of a block of a tar file in bytes. A block of zeros ends the file.
_BLOCK = 512
#: The number of bytes that are copied together.
_PIECE = 1 << 20


class Member(NamedTuple):
    """A file in a tar file."""

    suffix: str  #: without the first dot, in lower case
    offset: int  #: where its content begins in the tar file
    size: int  #: bytes


@dataclass(frozen=True)
class TarSample:
    """The files of a tar file whose names are the same except for the suffix.

    Attributes:
        key: the name without the suffix.
        members: the files by suffix; of two files of one name, the first one.
        repeated: the suffixes that occur more than once.
    """

    key: str
    members: dict[str, Member] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)


class ScannedTar(NamedTuple):
    """The samples of a tar file."""

    samples: list[TarSample]  #: in the order of their first files
    fault: str | None  #: what is wrong with the file; completes a sentence that starts with it


def scan_tar(path: Path) -> ScannedTar:
    """Find the samples of a tar file. Only the headers of its files are read.

    What comes before a damaged place is used, because a tar file cannot be read beyond it.
    """
    samples: dict[str, TarSample] = {}
    fault = None
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            size = path.stat().st_size
            try:
                _collect(tar, size, samples)
                fault = _find_end_fault(file.seek(tar.offset), file.read(_BLOCK), size)
            except (*DECODER_ERRORS, tarfile.TarError) as error:
                fault = f"is damaged or cut ({error_reason(error)}); what comes before is used"
    except (*DECODER_ERRORS, tarfile.TarError) as error:
        fault = _open_fault(path, error)
    return ScannedTar([sample for sample in samples.values() if sample.members], fault)


def read_member(path: Path, member: Member) -> bytes:
    """Return the content of a file in a tar file.

    Raises:
        MediaError: the tar file cannot be read, or has been cut.
    """
    return b"".join(_read_blocks(path, member))


@contextmanager
def copied_member(path: Path, member: Member) -> Iterator[Path]:
    """Copy a file out of a tar file into a temporary folder while the block runs, and yield its path.

    Args:
        path: the tar file.
        member: a file whose suffix is that of a media file.

    Raises:
        MediaError: the tar file cannot be read, or has been cut.
    """
    with tempfile.TemporaryDirectory(prefix="cmcgan-") as folder:
        copy = Path(folder, f"sample.{member.suffix}")
        with copy.open("wb") as out:
            for block in _read_blocks(path, member):
                out.write(block)
        yield copy


def _read_blocks(path: Path, member: Member) -> Iterator[bytes]:
    """Yield the content of a file in a tar file in pieces.

    Raises:
        MediaError: the tar file cannot be read, or has been cut.
    """
    try:
        with path.open("rb") as file:
            file.seek(member.offset)
            left = member.size
            while left:
                block = file.read(min(left, _PIECE))
                if not block:
                    raise MediaError(f"{path}: ends too early")
                left -= len(block)
                yield block
    except OSError as error:
        raise MediaError(f"{path}: {error_reason(error, path)}") from error


def _collect(tar: tarfile.TarFile, size: int, samples: dict[str, TarSample]) -> None:
    """Add the files of a tar file of a size in bytes to the samples, by key; stop where it is damaged or cut."""
    while (entry := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # else the memory grows with the number of files
        name = _NAME.fullmatch(entry.name)
        if not entry.isreg() or entry.issparse() or name is None or _ABOUT_TAR.match(entry.name):
            continue
        if entry.offset_data + entry.size > size:
            raise EOFError("its last file is not complete")
        key, suffix = name[1], sys.intern(name[2].lower())
        sample = samples.setdefault(key, TarSample(key))
        if suffix in sample.members:
            sample.repeated.add(suffix)
        else:
            sample.members[suffix] = Member(suffix, entry.offset_data, entry.size)


def _find_end_fault(offset: int, block: bytes, size: int) -> str | None:
    """Return why reading a tar file ended too early, or None. tarfile stops at a damaged header without an error.

    Args:
        offset: where reading ended.
        block: what is there.
        size: the size of the tar file in bytes.
    """
    if len(block) < _BLOCK:
        return "has no end, so it may be cut; what is there is used"
    if any(block):
        return f"is damaged at byte {offset} of {size}; what comes before is used"
    return None


def _open_fault(path: Path, error: Exception) -> str:
    """Return why a file cannot be opened as a tar file."""
    try:
        with path.open("rb") as file:
            head = file.read(6)
    except OSError as reason:
        return f"cannot be read ({error_reason(reason)})"
    if not head:
        return "is empty"
    if head.startswith(_COMPRESSED):
        return "is compressed; decompress it first"
    return f"is no tar file ({error_reason(error)})"
