"""Check that a file has all the bytes that its header announces, and that it is one recording.

FFmpeg reports neither. A number of bytes can be checked, while a duration in a header is often an estimate. A size
that was never filled in, because the recorder lost power or wrote to a pipe, announces nothing.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cmcgan_core.errors import MediaError

#: Bytes by which an announced size may be wrong: some programs count a header twice.
SLACK = 64
#: Bytes by which the size in a Xing header may be wrong: programs differ in the frames and tags that they count.
MP3_SLACK = 512
#: Sizes that programs write while they do not know the size are up to 64 KiB below these.
UNKNOWN_SIZES = (1 << 31, 1 << 32, 1 << 63, 1 << 64)
#: The number of bytes at the start of a file in which the metadata of an FLV file are searched.
FLV_METADATA = 1 << 16


@dataclass(frozen=True)
class _Chunks:
    """A format whose files are a sequence of chunks, each with an id and a size.

    Attributes:
        start: the position of the first chunk.
        head: the format of id and size for `struct`.
        content: the ids of the chunks that hold sound or pictures.
        opening: the id that begins a file; later it begins another recording. b"" if FFmpeg reads all of them.
        size_first: whether the size is in front of the id.
        whole: whether the size includes id and size.
        align: chunks begin at multiples of this number of bytes after the end of the one before.
        unknown: sizes that mean that the size is not known, see `UNKNOWN_SIZES`; 0 always does.
        outer: whether the file itself is such a chunk, with the id `opening`.
        empty: for formats of sound, the size that a program writes while it has written no sound yet.
    """

    start: int
    head: str
    content: tuple[bytes, ...]
    opening: bytes = b""
    size_first: bool = False
    whole: bool = False
    align: int = 1
    unknown: tuple[int, ...] = UNKNOWN_SIZES
    outer: bool = False
    empty: int | None = None


_WAV = _Chunks(12, "<4sI", (b"data",), b"RIFF", align=2, outer=True, empty=0)
_MP4 = _Chunks(0, ">I4s", (b"mdat", b"moov", b"moof"), b"ftyp", size_first=True, whole=True, unknown=())
_W64_OPENING = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
_W64 = _Chunks(40, "<16sQ", (_W64_DATA,), _W64_OPENING, whole=True, align=8, outer=True, empty=24)
_ASF_OPENING = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF = _Chunks(0, "<16sQ", (bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c"),), _ASF_OPENING, whole=True)

#: The formats of chunks by the first bytes at a position that fit.
_CHUNK_FORMATS = {
    (8, b"AVI "): _Chunks(12, "<4sI", (b"LIST",), align=2),
    (0, b"RIFF"): _WAV,
    (0, b"RF64"): _WAV,
    (0, b"FORM"): _Chunks(12, ">4sI", (b"SSND",), b"FORM", align=2, outer=True, empty=8),
    (0, b"caff"): _Chunks(8, ">4sQ", (b"data",), b"caff", empty=4),
    (0, _W64_OPENING): _W64,
    (0, _ASF_OPENING): _ASF,
    **{(4, box): _MP4 for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")},
}


def require_whole(path: Path) -> None:
    """Check that a file has all the bytes that its header announces, and is one recording if FFmpeg reads only one.

    Raises:
        MediaError: it is cut off or has no index, or a second recording follows the first one.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        length, opening = file.seek(0, 2), _read_at(file, 0, 40)
        if (form := _chunk_format(opening)) is not None:
            _check_chunks(path, file, form, length)
        for magic, find_end in _END_FINDERS.items():
            if opening.startswith(magic) and (end := find_end(file)) is not None:
                _require_bytes(path, length, end, MP3_SLACK if find_end is _mp3_end else SLACK)
                if find_end is _au_end and _read_at(file, end, len(magic)) == magic:
                    raise _joined(path, end)


def find_patches(path: Path) -> dict[int, bytes]:
    """Return what makes a file of sound whose size was never filled in extend to its end.

    FFmpeg reads such a file of some formats as it is; of others, it refuses it or takes it for empty.

    Returns:
        The bytes to place at each position; nothing if the size is known or is not needed.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        length, opening = file.seek(0, 2), _read_at(file, 0, 40)
        if opening.startswith(b".snd") and _is_unknown(int.from_bytes(opening[8:12], "big")):
            return {8: b"\xff" * 4}
        form = _chunk_format(opening)
        if form is None or form.empty is None:
            return {}
        for name, position, end in _walk(file, form):
            if name in form.content and end is None:
                names = {position: name, 0: form.opening} if form.outer else {position: name}
                return {at: _pack_head(form, name, length - at) for at, name in names.items()}
    return {}


def _pack_head(form: _Chunks, name: bytes, length: int) -> bytes:
    """Return the id and the size of a chunk of a length, or the largest size if that is too large for the format."""
    head = struct.Struct(form.head)
    size_bytes = head.size - len(name)
    return head.pack(name, min(length if form.whole else length - head.size, (1 << 8 * size_bytes) - 1))


def _chunk_format(opening: bytes) -> _Chunks | None:
    """Return the format of chunks of a file that begins with these bytes, or None if it is not one."""
    forms = (form for (at, magic), form in _CHUNK_FORMATS.items() if opening[at:].startswith(magic))
    return next(forms, None)


def _is_unknown(size: int, unknown: tuple[int, ...] = UNKNOWN_SIZES) -> bool:
    """Return whether a size in a header is one that programs write while they do not know it."""
    return size == 0 or any(0 <= limit - size < 1 << 16 for limit in unknown)


def _check_chunks(path: Path, file: BinaryIO, form: _Chunks, length: int) -> None:
    """Raise a `MediaError` if a chunk of sound or pictures is cut off or missing, or another recording follows."""
    names = set()
    for name, position, end in _walk(file, form):
        names.add(name)
        if name in form.content and end is not None:
            _require_bytes(path, length, end, SLACK)
        if name == form.opening and position > 0:
            raise _joined(path, position)
    if form is _MP4 and b"moov" not in names:
        raise MediaError(f"{path}: was never finished: it has no index (moov), so it cannot be decoded")


def _joined(path: Path, position: int) -> MediaError:
    """Return the error for a file in which another recording begins at a position."""
    return MediaError(
        f"{path}: holds several recordings, and only the first one can be read; split the file at byte {position:,}"
    )


def _walk(file: BinaryIO, form: _Chunks) -> Iterator[tuple[bytes, int, int | None]]:
    """Yield the id, the position and the end of each chunk, up to the end of the file or a chunk of unknown size."""
    position, head, data_size = form.start, struct.Struct(form.head), 0
    while True:
        file.seek(position)
        raw = file.read(head.size)
        if len(raw) < head.size:
            return
        name, size = head.unpack(raw)[:: -1 if form.size_first else 1]
        begin = position if form.whole else position + head.size
        if name == b"ds64":  # in RF64, where 32 bits are too few for the size of the data
            data_size = int.from_bytes(file.read(16)[8:], "little")
        elif name == b"data" and size == 0xFFFFFFFF and data_size:
            size = data_size
        elif form is _MP4 and size == 1:
            size = int.from_bytes(file.read(8), "big")
        if name == form.opening:
            yield name, position, position
        if _is_unknown(size, form.unknown) or (name in form.content and size == form.empty):
            yield name, position, None
            return
        yield name, position, begin + size
        position = begin + size + -(begin + size) % form.align


def _require_bytes(path: Path, length: int, announced: int, slack: int) -> None:
    """Raise a `MediaError` if a file of a length has fewer bytes than announced."""
    if length + slack < announced:
        raise MediaError(f"{path}: is cut off: it has {length:,} of the {announced:,} bytes that its header announces")


def _au_end(file: BinaryIO) -> int | None:
    """Return the end of the data of an AU file; None if its header does not tell it."""
    start, size = struct.unpack(">4xII16x", _read_at(file, 0, 28))
    return None if _is_unknown(size) else start + size


def _matroska_end(file: BinaryIO) -> int | None:
    """Return the end of the first segment of a Matroska or WebM file; None if its header does not tell it."""
    begin, size = _ebml_element(file, 0)
    segment, size = _ebml_element(file, begin + (size or 0))
    return None if size is None else segment + size


def _ebml_element(file: BinaryIO, position: int) -> tuple[int, int | None]:
    """Return where the content of an EBML element with an id of four bytes begins, and its size if it is known."""
    raw = _read_at(file, position + 4, 8)
    length = 9 - raw[0].bit_length()
    if length > 8:
        return position, None
    bits = 7 * length
    size = int.from_bytes(raw[:length], "big") & ((1 << bits) - 1)
    return position + 4 + length, None if size == (1 << bits) - 1 else size


def _mp3_end(file: BinaryIO) -> int | None:
    """Return the end of an MP3 file according to its Xing header; None if it has none."""
    start = 0
    head = _read_at(file, 0, 10)
    if head.startswith(b"ID3"):  # a tag, whose size has seven bits in each byte
        start = 10 + sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(head[6:])))
    frame = _read_at(file, start, 200)
    place = next((at for name in (b"Xing", b"Info") if (at := frame.find(name)) >= 0), -1)
    if not (frame[0] == 0xFF and frame[1] >= 0xE0 and 0 <= place <= 40):
        return None
    flags = int.from_bytes(frame[place + 4 : place + 8], "big")
    at = place + 8 + 4 * (flags & 1)
    return start + int.from_bytes(frame[at : at + 4], "big") if flags & 2 else None


def _flv_end(file: BinaryIO) -> int | None:
    """Return the size of an FLV file according to its metadata; None if they do not tell it."""
    metadata = _read_at(file, 0, FLV_METADATA)
    place = metadata.find(b"\0\x08filesize\0")
    size = struct.unpack(">d", metadata[place + 11 : place + 19])[0] if place >= 0 else 0.0
    return int(size) if 0 < size < 1 << 62 else None


def _read_at(file: BinaryIO, position: int, size: int) -> bytes:
    """Return the bytes at a position; behind the end of the file they are zeros."""
    file.seek(position)
    return file.read(size).ljust(size, b"\0")


#: How the end of a file is found, by the bytes that it begins with.
_END_FINDERS: dict[bytes, Callable[[BinaryIO], int | None]] = {
    b".snd": _au_end,
    b"\x1a\x45\xdf\xa3": _matroska_end,
    b"FLV": _flv_end,
    b"ID3": _mp3_end,
    b"\xff": _mp3_end,
}
