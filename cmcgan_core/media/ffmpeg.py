"""Sound and frames out of anything that FFmpeg decodes, by PyAV; `media`, `film` and `damage` are its users.

Time 0 is the start of the file: the earliest timestamp of any of its streams.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import MediaError

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, VideoFrame, VideoStream
    from av.container import InputContainer

#: Timestamps of sound may be off by this many seconds before they count as a gap or an overlap.
JITTER = 0.02
#: Frames of sound, of about a thousand samples each, that are handed on as one piece: each piece costs a little.
FRAMES_AT_ONCE = 64
#: A longer hole in the sound is taken for a broken timestamp; seconds.
LONGEST_GAP = 600.0


def decode_sound(path: Path) -> Iterator[tuple[NDArray[Any], int]]:
    """The channels (C, n) piece by piece from time 0 on, and their sample rate; each piece lies where its time says.

    Raises:
        MediaError: it cannot be decoded, or has no sound.
    """
    with open_input(path) as container:
        stream = cast("AudioStream | None", container.streams.best("audio"))
        if stream is None:
            raise MediaError(f"{path}: has no sound")
        rate, length = 0, 0
        held: list[NDArray[Any]] = []
        for frame in container.decode(stream):
            if rate not in (0, frame.sample_rate):
                raise ValueError("its sample rate changes")
            rate = frame.sample_rate
            start = length if frame.time is None else round((frame.time - origin(container)) * rate)
            held.append(_aligned(_channels(frame), start - length, rate))
            length += held[-1].shape[1]
            if len(held) == FRAMES_AT_ONCE:
                yield np.concatenate(held, 1), rate
                held.clear()
        if held:
            yield np.concatenate(held, 1), rate
        _require_all(path, container, stream, length / max(rate, 1))


def decode_frames(path: Path) -> Iterator[tuple[float, float, "VideoFrame"]]:
    """The frames in the order in which they are shown, each with the times at which it appears and goes; seconds.

    Raises:
        MediaError: it cannot be decoded, or has no pictures.
    """
    with open_input(path) as container:
        stream = cast("VideoStream | None", container.streams.best("video"))
        if stream is None:
            raise MediaError(f"{path}: has no pictures")
        # Files are decoded in parallel, one thread each: cheaper in all than several threads a file.
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        period = 1 / float(stream.base_rate or stream.average_rate or 25)
        timed = (
            (f.time - origin(container), f) for f in container.decode(stream) if f.time is not None and not f.is_corrupt
        )
        shown: tuple[float, VideoFrame] | None = None
        for start, frame in timed:
            if shown and start > shown[0]:
                yield shown[0], start, shown[1]
            shown = (start, frame)
        if shown:
            yield shown[0], shown[0] + period, shown[1]


def decode_picture(frame: "VideoFrame") -> NDArray[np.uint8]:
    """A frame as RGB (H, W, 3), turned as its metadata say."""
    picture: NDArray[np.uint8] = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
    return picture


def has_tracks(path: Path) -> tuple[bool, bool]:
    """Whether the file has sound, and whether it has pictures, by its header.

    Raises:
        MediaError: it cannot be opened.
    """
    with open_input(path) as container:
        return container.streams.best("audio") is not None, container.streams.best("video") is not None


def header_seconds(path: Path) -> float:
    """How long the file lasts by its header; 0 where it does not tell.

    Raises:
        MediaError: it cannot be opened.
    """
    with open_input(path) as container:
        return (container.duration or 0) / 1e6


def resample(pieces: Iterable[tuple[NDArray[np.float32], int]], sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Pieces (n,) of one waveform with its rate, anti-aliased, as pieces of round(L * sample_rate / rate) samples."""
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate)
    taken, given, rate = 0, 0, sample_rate
    for piece, rate in pieces:
        if rate == sample_rate:
            yield piece
            continue
        taken += len(piece)
        for part in resampler.resample(sound_frame(piece[None], rate)):
            given += part.samples
            yield part.to_ndarray()[0]
    length = round(taken * sample_rate / rate) - given
    # Of very few samples the resampler makes none.
    rest = np.concatenate([np.zeros(0, np.float32), *(part.to_ndarray()[0] for part in resampler.resample(None))])
    yield np.pad(rest[:length], (0, max(0, length - len(rest))))


def sound_frame(channels: NDArray[np.float32], rate: int) -> "AudioFrame":
    """Samples (C, n) as a frame of planar floats, in the usual order of so many channels."""
    import av

    samples = np.ascontiguousarray(channels, np.float32)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=f"{len(channels)}c")
    frame.sample_rate = rate
    return frame


@contextmanager
def open_input(path: Path) -> Iterator["InputContainer"]:
    """The file, to be read; what FFmpeg says against it is a MediaError that names it."""
    import av

    try:
        with av.open(str(path)) as container:
            yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be decoded ({reason(error)})") from error


def reason(error: Exception) -> str:
    """What an exception of FFmpeg or of the system says, in lower case."""
    text = str(getattr(error, "strerror", None) or error)
    return text[:1].lower() + text[1:]


def origin(container: "InputContainer") -> float:
    """The timestamp that is time 0: the earliest of any stream; seconds."""
    return (container.start_time or 0) / 1e6


def _require_all(path: Path, container: "InputContainer", stream: "AudioStream", decoded: float) -> None:
    """FFmpeg ends quietly where a file is cut off; tell by what its header promised, where it promises anything."""
    if stream.duration and stream.time_base and container.duration:
        promised = min(float(stream.duration * stream.time_base), container.duration / 1e6)
        if decoded < promised - 1:
            raise MediaError(f"{path}: is cut off: its sound ends after {decoded:.1f} s of {promised:.1f} s")


def _aligned(piece: NDArray[Any], gap: int, rate: int) -> NDArray[Any]:
    """Sound (C, n) that starts `gap` samples after the last one ended: zeros before it, or its overlap cut."""
    if gap > LONGEST_GAP * rate:
        raise ValueError(f"its sound has a hole of {gap / rate:.0f} s")
    if gap > JITTER * rate:
        return np.pad(piece, ((0, 0), (gap, 0)))
    return piece[:, -gap:] if gap < -JITTER * rate else piece


def _channels(frame: "AudioFrame") -> NDArray[Any]:
    """The samples (C, n) of a frame as floats in [-1, 1]."""
    samples: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return samples / 128 - 1
    return samples / float(-np.iinfo(samples.dtype).min) if samples.dtype.kind == "i" else samples
