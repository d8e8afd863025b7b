"""Sound, pictures and video, read and written; only this file and `ffmpeg`, `muxing`, `film`, `damage` touch codecs.

Whatever cannot be read raises a `MediaError` whose message is `<path>: <reason>`.
"""

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import MediaError
from cmcgan_core.media import ffmpeg
from cmcgan_core.utils.files import atomic_write

if TYPE_CHECKING:
    from PIL.Image import Image

MediaKind = Literal["sound", "picture", "video"]

#: What a file is, by its suffix.
SUFFIXES: dict[MediaKind, tuple[str, ...]] = {
    "sound": (".aac", ".aif", ".aiff", ".au", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma"),
    "picture": (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    "video": (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"),
}

#: Samples of a channel that libsndfile reads at once.
SAMPLES_AT_ONCE = 1 << 18
#: Sound that is read whole is joined from blocks of this many seconds.
SECONDS_AT_ONCE = 60.0

#: What decoders are known to raise on a damaged file, besides errors of their own: they trust sizes and offsets in it.
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
    """What a file is, by its suffix; None for anything that is no medium."""
    return next((kind for kind, suffixes in SUFFIXES.items() if path.suffix.lower() in suffixes), None)


def read_sound(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """The sound of a sound file or a video, mixed to mono (the mean of the channels) and resampled.

    Args:
        path: any format that libsndfile or FFmpeg decodes.
        sample_rate: Hz, of the result.

    Returns:
        Waveform (L,), in [-1, 1] except where a float file exceeds it. Time 0 is the start of the file: where the sound
        of a video starts later than its picture, zeros come first; padding that the codec added is cut.

    Raises:
        MediaError: it cannot be decoded, holds no sound, or holds NaN or infinite samples.
    """
    return np.concatenate(list(sound_blocks(path, sample_rate, SECONDS_AT_ONCE)))


def sound_blocks(path: Path, sample_rate: int, seconds: float) -> Iterator[NDArray[np.float32]]:
    """The waveform of `read_sound` in blocks, in memory that does not grow with its length.

    Args:
        path: any format that libsndfile or FFmpeg decodes.
        sample_rate: Hz, of the result.
        seconds: length of a block; the last one may be shorter.

    Yields:
        Blocks (round(seconds * sample_rate),), at least one.

    Raises:
        MediaError: as `read_sound`, once the reading has come to the fault.
    """
    require_file(path)
    block = None
    with _decoding(path):
        for block in _regrouped(ffmpeg.resample(_decoded(path), sample_rate), round(seconds * sample_rate)):
            yield block
    if block is None:
        raise MediaError(f"{path}: holds no sound")


def track_kinds(path: Path) -> set[MediaKind]:
    """What a video holds by its header: "sound", "picture", both or neither.

    Raises:
        MediaError: it cannot be opened.
    """
    require_file(path)
    with _decoding(path):
        sound, picture = ffmpeg.has_tracks(path)
    there: dict[MediaKind, bool] = {"sound": sound, "picture": picture}
    return {kind for kind in there if there[kind]}


def sound_seconds(path: Path) -> float:
    """How long a sound file or a video lasts by its header, without decoding it; seconds.

    Raises:
        MediaError: it cannot be opened.
    """
    import soundfile

    require_file(path)
    with _decoding(path):
        try:
            return float(soundfile.info(path).duration)
        except (soundfile.LibsndfileError, OSError):
            return ffmpeg.header_seconds(path)


@dataclass(frozen=True)
class Strip:
    """The `number`-th, from 0, of `count` equal upright strips of a picture; all of it by default."""

    number: int = 0
    count: int = 1

    def cut(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The strip (H, W / count, 3) of a picture (H, W, 3)."""
        left, right = (picture.shape[1] * edge // self.count for edge in (self.number, self.number + 1))
        return picture[:, left:right]


def read_video(
    path: Path, hop: float, size: int | None = None, strips: tuple[Strip, ...] = (Strip(),)
) -> Iterator[tuple[float, list[NDArray[np.uint8]]]]:
    """The pictures of a video at 0, hop, 2 * hop, ... seconds, in one pass over the file.

    Args:
        path: any format that FFmpeg decodes; turned as its metadata say.
        hop: seconds.
        size: side of the pictures, (size, size, 3) each; None leaves them as they are, (H, W, 3).
        strips: the parts of the picture to deliver, each resized by itself.

    Yields:
        The time, and a picture for each strip: what is shown at that time, which is the last frame whose timestamp is
        not later. Times before the first frame and after the last one has gone are left out.

    Raises:
        MediaError: it cannot be decoded, or holds no pictures.
    """
    require_file(path)
    number, end = 0, None
    with _decoding(path):
        for start, end, frame in ffmpeg.decode_frames(path):
            number = max(number, math.ceil(start / hop - 1e-6))
            if number * hop < end - 1e-6:
                whole = ffmpeg.decode_picture(frame)
                pictures = [_resized(strip.cut(whole), size) for strip in strips]
            while number * hop < end - 1e-6:
                yield number * hop, pictures
                number += 1
    if end is None:
        raise MediaError(f"{path}: holds no pictures that can be decoded")


def read_picture(path: Path, size: int | None = None) -> NDArray[np.uint8]:
    """A picture as RGB: upright by its EXIF orientation, transparency on white, the first frame of an animation.

    Args:
        path: any format that Pillow reads.
        size: side of the result; all of the picture is resized, its aspect ignored. None leaves it as it is.

    Returns:
        Picture (size, size, 3), or (H, W, 3).

    Raises:
        MediaError: it cannot be decoded.
    """
    from PIL import Image

    require_file(path)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            if size is not None:
                # A large JPEG is decoded at a fraction of its size, still twice what is asked for: far cheaper.
                image.draft(image.mode, (2 * size, 2 * size))
            return fit_picture(image, size)
    except (*DECODER_ERRORS, Image.DecompressionBombError) as error:
        raise MediaError(f"{path}: is not a picture that can be decoded ({_short(error, path)})") from error


def fit_picture(image: "Image", size: int | None = None) -> NDArray[np.uint8]:
    """An image of Pillow as `read_picture` gives it."""
    from PIL import ImageOps

    return _resized(np.asarray(_on_white(ImageOps.exif_transpose(image))), size)


def write_sound(path: Path, waveform: NDArray[np.float32], sample_rate: int) -> None:
    """Write a waveform (L,) as 16-bit WAV or FLAC, whole or not at all; one that exceeds [-1, 1] is scaled down to fit.

    Raises:
        MediaError: the suffix is neither .wav nor .flac, a sample is NaN or infinite, or it cannot be written.
    """
    import soundfile

    if path.suffix.lower() not in (".wav", ".flac"):
        raise MediaError(f"{path}: sound is written as .wav or .flac")
    if not np.isfinite(waveform).all():
        raise MediaError(f"{path}: not written, as samples are not numbers (NaN or infinite)")
    peak = max(1.0, float(np.abs(waveform).max(initial=0.0)))
    with _writing(path) as temporary:
        soundfile.write(temporary, waveform / peak, sample_rate, "PCM_16", format=path.suffix[1:].upper())


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture (H, W, 3) or (H, W) in the format of the suffix, whole or not at all.

    Raises:
        MediaError: the suffix is of no picture format, or it cannot be written.
    """
    from PIL import Image

    if media_kind(path) != "picture":
        raise MediaError(f"{path}: pictures are written as .png, .jpg or .webp")
    with _writing(path) as temporary:
        Image.fromarray(picture).save(temporary, format=Image.registered_extensions()[path.suffix.lower()])


def require_file(path: Path) -> None:
    """Say plainly what a decoder would say obscurely."""
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        dangling = isinstance(error, FileNotFoundError) and path.is_symlink()
        reason = "is a link to a file that does not exist" if dangling else _short(error, path)
        raise MediaError(f"{path}: {reason}") from error
    if empty:
        raise MediaError(f"{path}: the file is empty")


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Name the file in whatever its decoder raises, so that one damaged file never ends the reading of many."""
    try:
        yield
    except DECODER_ERRORS as error:
        raise MediaError(f"{path}: cannot be decoded ({_short(error, path)})") from error


def _decoded(path: Path) -> Iterator[tuple[NDArray[np.float32], int]]:
    """A waveform in pieces (n,) and its rate, by libsndfile, or by FFmpeg from where libsndfile gives up."""
    import soundfile

    done = 0
    if media_kind(path) != "video":
        try:
            with soundfile.SoundFile(path) as file:
                while len(samples := file.read(SAMPLES_AT_ONCE, dtype="float32", always_2d=True)):
                    done += len(samples)
                    yield _finite(samples.mean(1), path), file.samplerate
            return
        except (soundfile.LibsndfileError, OSError):
            pass
    for channels, rate in ffmpeg.decode_sound(path):
        if done < channels.shape[1]:
            yield _finite(channels[:, done:].mean(0).astype(np.float32), path), rate
        done = max(0, done - channels.shape[1])


def _finite(waveform: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    if not np.isfinite(waveform).all():
        raise MediaError(f"{path}: holds samples that are not numbers (NaN or infinite)")
    return waveform


def _regrouped(pieces: Iterator[NDArray[np.float32]], length: int) -> Iterator[NDArray[np.float32]]:
    """Pieces (n,) joined and cut into blocks (length,), the last one shorter but not empty."""
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


def _on_white(image: "Image") -> "Image":
    """Any mode of Pillow as RGB."""
    from PIL import Image

    if image.mode.startswith("I"):
        # 16-bit grey: Pillow's own conversion clips it at 255.
        return Image.fromarray((np.asarray(image, np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        opaque = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    return image.convert("RGB")


def _resized(picture: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """A picture (H, W, 3) as (size, size, 3), bilinear and antialiased."""
    from PIL import Image

    if size is None or picture.shape[:2] == (size, size):
        return picture
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    import soundfile

    try:
        with atomic_write(path) as temporary:
            yield temporary
    except (OSError, soundfile.LibsndfileError) as error:
        raise MediaError(f"{path}: cannot be written ({_short(error, path)})") from error


def _short(error: Exception, path: Path) -> str:
    """What an exception says, in lower case and without the path."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = text.replace(f" {str(path)!r}", "")
    return text[:1].lower() + text[1:] or type(error).__name__


def loudness(sound: NDArray[np.float32]) -> float:
    """Root mean square of a waveform (L,) in dBFS: a full-scale square wave has 0, digital silence minus infinity."""
    power = float(np.square(sound, dtype=np.float64).mean())
    return 10 * math.log10(power) if power > 0 else -math.inf
