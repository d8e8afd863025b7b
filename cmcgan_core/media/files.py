"""Read sound, pictures and video; write sound and pictures.

A file that cannot be read raises a `MediaError` with the message `<path>: <reason>`.
"""

import math
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import MediaError
from cmcgan_core.media import ffmpeg, muxing
from cmcgan_core.utils.files import atomic_write, error_reason, is_folder

if TYPE_CHECKING:
    from PIL.Image import Image

MediaKind = Literal["sound", "picture", "video"]

#: The suffixes of each kind of file.
SUFFIXES: dict[MediaKind, tuple[str, ...]] = {
    "sound": (
        *(".aac", ".ac3", ".aif", ".aiff", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka", ".mp2", ".mp3", ".oga"),
        *(".ogg", ".opus", ".w64", ".wav", ".wma"),
    ),
    "picture": (*(".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"),),
    "video": (
        *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf"),
        *(".ogv", ".ts", ".vob", ".webm", ".wmv"),
    ),
}

#: The suffixes of sound that is written without loss.
LOSSLESS = (".wav", ".flac")
#: The formats of pictures that are read, whatever the suffix, by Pillow's names. For EPS, Pillow would start a program.
PICTURE_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
#: Length in seconds of the blocks from which `read_sound` joins a whole sound.
SECONDS_PER_BLOCK = 60.0
#: Level below which half a second counts as silent, in dBFS.
SILENT_DBFS = -60.0

#: The number of the EXIF entry that says how a picture is turned.
EXIF_ORIENTATION = 0x0112

#: Built-in exceptions that decoders raise on damaged files, because they trust the sizes and offsets in the file.
DECODER_ERRORS = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def media_kind(path: Path) -> MediaKind | None:
    """Return the kind of a file by its suffix, or None if it is not a media file."""
    return next((kind for kind, suffixes in SUFFIXES.items() if path.suffix.lower() in suffixes), None)


def require_media(path: Path) -> MediaKind:
    """Return the kind of a file by its suffix, if the file can be read.

    Raises:
        MediaError: the suffix is not that of a media file, or see `require_file`.
    """
    kind = media_kind(path)
    if kind is None:
        if is_folder(path):
            raise MediaError(f"{path}: {_folder_fault(path)}")
        raise MediaError(f"{path}: is neither a sound, a picture nor a video with a known suffix")
    require_file(path)
    return kind


def media_fault(paths: Iterable[Path]) -> MediaError | None:
    """Return why one of several files is no media file or cannot be opened; None if all can be opened."""
    try:
        for path in paths:
            require_media(path)
    except MediaError as error:
        return error
    return None


def read_sound(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """Return the sound of a sound file or a video, mixed to mono (the mean of the channels) and resampled.

    Args:
        path: a file in any format that FFmpeg decodes.
        sample_rate: sample rate of the result, Hz.

    Returns:
        Waveform (L,) in [-1, 1]; samples of a float file can exceed this range. Time 0 is the start of the file: if the
        sound of a video starts later than its pictures, the waveform starts with zeros. Padding added by the codec is
        removed.

    Raises:
        MediaError: the file cannot be decoded, has no sound, or contains NaN or infinite samples.
    """
    waveform = np.zeros(0, np.float32)
    for block in sound_blocks(path, sample_rate, SECONDS_PER_BLOCK):
        # In place, because to join all blocks at the end would take twice the memory.
        waveform.resize(len(waveform) + len(block), refcheck=False)
        waveform[-len(block) :] = block
    return waveform


def sound_blocks(path: Path, sample_rate: int, seconds: float) -> Iterator[NDArray[np.float32]]:
    """Yield the waveform of `read_sound` in blocks; memory does not grow with the length of the sound.

    Args:
        path: a file in any format that FFmpeg decodes.
        sample_rate: sample rate of the result, Hz.
        seconds: length of a block.

    Yields:
        Blocks (round(seconds * sample_rate),), at least one. The last one may be shorter.

    Raises:
        MediaError: as `read_sound`, when the reading reaches the fault.
    """
    require_file(path)
    block = None
    with _decoding(path):
        for block in _regroup(ffmpeg.resample(_decode_mono(path), sample_rate), round(seconds * sample_rate)):
            yield block
    if block is None:
        raise MediaError(f"{path}: holds no sound")


def track_kinds(path: Path) -> set[MediaKind]:
    """Return what a video contains: "sound", "picture", both or neither. A track without a packet does not count.

    Raises:
        MediaError: the file cannot be opened.
    """
    require_file(path)
    with _decoding(path):
        sound, picture = ffmpeg.has_sound_and_pictures(path)
    present: dict[MediaKind, bool] = {"sound": sound, "picture": picture}
    return {kind for kind in present if present[kind]}


def announced_seconds(path: Path) -> float:
    """Return the duration of a sound file or a video in seconds according to its header; 0 if it does not tell it.

    Only decoding says how long a file is. A header can be wrong by any factor, so the result may only announce how much
    work there is.

    Raises:
        MediaError: the file cannot be opened.
    """
    require_file(path)
    with _decoding(path):
        return ffmpeg.header_seconds(path)


def lasts_longer(path: Path, seconds: float) -> bool:
    """Return whether the sound of a file lasts longer than a time; decodes no more of it than that.

    Raises:
        MediaError: as `read_sound`, if the reading reaches the fault.
    """
    require_file(path)
    decoded = 0.0
    with _decoding(path):
        for waveform, rate in _decode_mono(path):
            decoded += len(waveform) / rate
            # Less than a sample is a rounding error.
            if decoded > seconds + 0.5 / rate:
                return True
    return False


@dataclass(frozen=True)
class Strip:
    """One of several vertical strips of equal width; by default the whole picture.

    Attributes:
        number: the position of the strip from the left, starting at 0.
        count: the number of strips.
    """

    number: int = 0
    count: int = 1

    def cut(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the strip (H, W / count, 3) of a picture (H, W, 3)."""
        left, right = (picture.shape[1] * edge // self.count for edge in (self.number, self.number + 1))
        return picture[:, left:right]


def read_video(
    path: Path, hop: float, size: int | None = None, strips: tuple[Strip, ...] = (Strip(),)
) -> Iterator[tuple[float, list[NDArray[np.uint8]]]]:
    """Yield the pictures of a video at 0, hop, 2 * hop, ... seconds, in one pass over the file.

    Args:
        path: a file in any format that FFmpeg decodes. Its pictures are rotated as its metadata say.
        hop: seconds between two pictures.
        size: side of the pictures, which are resized to (size, size, 3); None keeps their size (H, W, 3).
        strips: the parts of each picture to return; each is resized on its own.

    Yields:
        The time in seconds, and one picture for each strip. The picture is the last frame whose timestamp is not later
        than that time. Times before the first frame and after the end of the last one are left out.

    Raises:
        MediaError: the file cannot be decoded, or has no pictures.
    """
    require_file(path)
    number, end = 0, None
    with _decoding(path):
        for start, end, frame in ffmpeg.decode_frames(path):
            number = max(number, math.ceil(start / hop - 1e-6))
            if number * hop < end - 1e-6:
                whole = ffmpeg.decode_picture(frame)
                pictures = [_resize(strip.cut(whole), size) for strip in strips]
            while number * hop < end - 1e-6:
                yield number * hop, pictures
                number += 1
    if end is None:
        raise MediaError(f"{path}: holds no pictures that can be decoded")


def read_picture(path: Path, size: int | None = None) -> NDArray[np.uint8]:
    """Return a picture file as RGB.

    The picture is upright (its EXIF orientation is applied), transparent areas become white, and of an animation the
    first frame is returned.

    Args:
        path: a file in one of `PICTURE_FORMATS`.
        size: side of the result. The whole picture is resized to it; the aspect ratio is not kept. None keeps its size.

    Returns:
        Picture (size, size, 3), or (H, W, 3) if `size` is None.

    Raises:
        MediaError: the file cannot be decoded, or is decoded at more than `ffmpeg.MAX_PIXELS`.
    """
    from PIL import Image

    require_file(path)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=PICTURE_FORMATS) as image:
            if size is not None:
                # Decode a large JPEG at a fraction of its size, at least twice `size`, which is far cheaper.
                image.draft(image.mode, (2 * size, 2 * size))
            ffmpeg.require_pixels(*image.size)
            return fit_picture(image, size)
    except (*DECODER_ERRORS, Image.DecompressionBombError) as error:
        raise MediaError(f"{path}: is not a picture that can be decoded ({error_reason(error, path)})") from error


def fit_picture(image: "Image", size: int | None = None) -> NDArray[np.uint8]:
    """Return a Pillow image in the form of `read_picture`: (size, size, 3), or (H, W, 3) if `size` is None."""
    return _resize(np.asarray(_to_rgb(_turn_upright(image))), size)


def write_sound(path: Path, waveform: NDArray[np.float32], sample_rate: int) -> None:
    """Write a waveform (L,) atomically; if it exceeds [-1, 1], all of it is scaled down to fit.

    WAV and FLAC have 16 bits; the formats of `muxing.SOUND_CONTAINERS` are lossy.

    Raises:
        MediaError: the suffix is not one of these formats, a sample is NaN or infinite, or the file cannot be written.
    """
    import soundfile

    suffix = path.suffix.lower()
    if suffix not in (*LOSSLESS, *muxing.SOUND_CONTAINERS):
        raise MediaError(f"{path}: sound is written as {', '.join((*LOSSLESS, *muxing.SOUND_CONTAINERS))}")
    if not np.isfinite(waveform).all():
        raise MediaError(f"{path}: not written, as samples are not numbers (NaN or infinite)")
    peak = max(1.0, float(np.abs(waveform).max(initial=0.0)))
    if (container := muxing.SOUND_CONTAINERS.get(suffix)) is not None:
        with muxing.open_output(path, container) as out:
            muxing.mux(out, [muxing.encode_sound(out, container, [(waveform[None] / peak, sample_rate)])])
        return
    with _writing(path) as temporary:
        name, format_ = _soundfile_name(temporary), suffix[1:].upper()
        soundfile.write(name, waveform / peak, sample_rate, "PCM_16", format=format_)


def write_picture(path: Path, picture: NDArray[np.uint8], *, compress: bool = True) -> None:
    """Write a picture (H, W, 3) or (H, W) atomically, in the format of the suffix.

    Args:
        path: the file.
        picture: the picture.
        compress: whether to compress a PNG file. If not, all PNG files of one size in pixels have one size in bytes.

    Raises:
        MediaError: the suffix is not a picture format, or the file cannot be written.
    """
    from PIL import Image

    if media_kind(path) != "picture":
        raise MediaError(f"{path}: pictures are written as .png, .jpg or .webp")
    with _writing(path) as temporary:
        options = {} if compress else {"compress_level": 0}
        Image.fromarray(picture).save(temporary, format=Image.registered_extensions()[path.suffix.lower()], **options)


def loudness(sound: NDArray[np.float32]) -> float:
    """Return the root mean square of a waveform (L,) in dBFS.

    A full-scale square wave has 0 dBFS, digital silence minus infinity.
    """
    power = float(np.square(sound, dtype=np.float64).mean())
    return 10 * math.log10(power) if power > 0 else -math.inf


def require_file(path: Path) -> None:
    """Check that a file can be read and is not empty, because a decoder's message would not be clear.

    Raises:
        MediaError: the file is missing, a folder, a pipe or a device, unreadable or empty.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise MediaError(f"{path}: {_folder_fault(path)}")
        if not stat.S_ISREG(mode):  # to open a pipe would wait for whoever writes to it
            raise MediaError(f"{path}: is not a regular file")
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        dangling = isinstance(error, FileNotFoundError) and path.is_symlink()
        reason = "is a link to a file that does not exist" if dangling else error_reason(error, path)
        raise MediaError(f"{path}: {reason}") from error
    if empty:
        raise MediaError(f"{path}: the file is empty")


def _folder_fault(path: Path) -> str:
    """Return why a folder cannot be used as a file: that it is one, or that it cannot be searched either."""
    try:
        next(path.iterdir(), None)
    except OSError as error:
        return f"the folder cannot be read ({error_reason(error, path)})"
    return "is a directory, not a file"


def _soundfile_name(path: Path) -> Path | bytes:
    """Return a path in the form that soundfile opens: names that are not text as bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turn any exception of a decoder into a `MediaError`, so that one damaged file never stops a run over many."""
    try:
        yield
    except DECODER_ERRORS as error:
        raise MediaError(f"{path}: cannot be decoded ({error_reason(error, path)})") from error


def _decode_mono(path: Path) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield a waveform in pieces (n,), each with its sample rate."""
    for channels, rate in ffmpeg.decode_sound(path):
        mono = channels[0] if len(channels) == 1 else channels.mean(0)
        yield _require_finite(mono.astype(np.float32, copy=False), path), rate


def _require_finite(waveform: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    """Return the waveform, or raise a `MediaError` if a sample is NaN or infinite."""
    if not np.isfinite(waveform).all():
        raise MediaError(f"{path}: holds samples that are not numbers (NaN or infinite)")
    return waveform


def _regroup(pieces: Iterator[NDArray[np.float32]], length: int) -> Iterator[NDArray[np.float32]]:
    """Join pieces (n,) and cut them into blocks (length,); the last one may be shorter but is not empty."""
    held: list[NDArray[np.float32]] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count >= length:
            joined = np.concatenate(held)
            count %= length
            yield from joined[: len(joined) - count].reshape(-1, length)
            held = [joined[len(joined) - count :]]
    if count:
        yield np.concatenate(held)


def _turn_upright(image: "Image") -> "Image":
    """Return an image with its EXIF orientation applied. EXIF data that cannot be read have no orientation."""
    from PIL.Image import Transpose

    try:
        orientation = image.getexif().get(EXIF_ORIENTATION)
    except DECODER_ERRORS:
        orientation = None
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _to_rgb(image: "Image") -> "Image":
    """Return an image of any Pillow mode as RGB, with transparent areas in white."""
    from PIL import Image

    if image.mode.startswith("I"):
        # 16-bit grey. Pillow's own conversion would clip it at 255.
        return Image.fromarray((np.asarray(image, np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        # Floats up to 1, as in most files, or up to 255.
        levels = np.nan_to_num(np.asarray(image))
        scale = 255 if levels.max() <= 1 else 1
        return Image.fromarray((scale * levels).round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        opaque = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    return image.convert("RGB")


def _resize(picture: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) resized to (size, size, 3), bilinear and antialiased; None keeps its size."""
    from PIL import Image

    if size is None or picture.shape[:2] == (size, size):
        return picture
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """Yield a temporary file that becomes `path`, and turn a failure to write it into a `MediaError`."""
    import soundfile

    try:
        with atomic_write(path) as temporary:
            yield temporary
    except (OSError, soundfile.LibsndfileError) as error:
        raise MediaError(f"{path}: cannot be written ({error_reason(error, path)})") from error
