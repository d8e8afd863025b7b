"""Sound and frames out of anything that FFmpeg decodes, by PyAV; `media` is its only user.

Time 0 is the start of the file: the earliest timestamp of any of its streams.
"""

from collections.abc import Iterator
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
#: A longer hole in the sound is taken for a broken timestamp; seconds.
LONGEST_GAP = 600.0


def decode_sound(path: Path) -> tuple[NDArray[np.float32], int]:
    """Waveform (L,) from time 0 on, the mean of the channels, and its sample rate; each frame lies where its time says.

    Raises:
        MediaError: it cannot be decoded, or has no sound.
    """
    with _opened(path) as container:
        stream = cast("AudioStream | None", container.streams.best("audio"))
        if stream is None:
            raise MediaError(f"{path}: has no sound")
        rate, length = 0, 0
        parts = [np.zeros(0, np.float32)]
        for frame in container.decode(stream):
            rate = frame.sample_rate
            start = length if frame.time is None else round((frame.time - _origin(container)) * rate)
            parts.append(_aligned(_mono(frame), start - length, rate))
            length += len(parts[-1])
        _require_all(path, container, stream, length / max(rate, 1))
    return np.concatenate(parts), rate


def decode_frames(path: Path) -> Iterator[tuple[float, float, "VideoFrame"]]:
    """The frames in the order in which they are shown, each with the times at which it appears and goes; seconds.

    Raises:
        MediaError: it cannot be decoded, or has no pictures.
    """
    with _opened(path) as container:
        stream = cast("VideoStream | None", container.streams.best("video"))
        if stream is None:
            raise MediaError(f"{path}: has no pictures")
        # Files are decoded in parallel, one thread each: cheaper in all than several threads a file.
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        period = 1 / float(stream.base_rate or stream.average_rate or 25)
        timed = (
            (f.time - _origin(container), f)
            for f in container.decode(stream)
            if f.time is not None and not f.is_corrupt
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
    with _opened(path) as container:
        return container.streams.best("audio") is not None, container.streams.best("video") is not None


def header_seconds(path: Path) -> float:
    """How long the file lasts by its header; 0 where it does not tell.

    Raises:
        MediaError: it cannot be opened.
    """
    with _opened(path) as container:
        return (container.duration or 0) / 1e6


def resample(waveform: NDArray[np.float32], rate: int, sample_rate: int) -> NDArray[np.float32]:
    """A waveform (L,) at `rate` Hz, anti-aliased, as one (round(L * sample_rate / rate),) at `sample_rate` Hz."""
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform[None]), format="flt", layout="mono")
    frame.sample_rate = rate
    parts = [part.to_ndarray()[0] for part in (*resampler.resample(frame), *resampler.resample(None))]
    length = round(len(waveform) * sample_rate / rate)
    # Of very few samples the resampler makes none.
    resampled = np.concatenate([np.zeros(0, np.float32), *parts])[:length]
    return np.pad(resampled, (0, length - len(resampled)))


@contextmanager
def _opened(path: Path) -> Iterator["InputContainer"]:
    import av

    try:
        with av.open(str(path)) as container:
            yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, (av.FFmpegError, OSError)) and error.strerror else str(error)
        raise MediaError(f"{path}: cannot be decoded ({reason[:1].lower()}{reason[1:]})") from error


def _origin(container: "InputContainer") -> float:
    return (container.start_time or 0) / 1e6


def _require_all(path: Path, container: "InputContainer", stream: "AudioStream", decoded: float) -> None:
    """FFmpeg ends quietly where a file is cut off; tell by what its header promised, where it promises anything."""
    if stream.duration and stream.time_base and container.duration:
        promised = min(float(stream.duration * stream.time_base), container.duration / 1e6)
        if decoded < promised - 1:
            raise MediaError(f"{path}: is cut off: its sound ends after {decoded:.1f} s of {promised:.1f} s")


def _aligned(part: NDArray[np.float32], gap: int, rate: int) -> NDArray[np.float32]:
    """A stretch of sound that starts `gap` samples after the last one ended: zeros before it, or its overlap cut."""
    if gap > LONGEST_GAP * rate:
        raise ValueError(f"its sound has a hole of {gap / rate:.0f} s")
    if gap > JITTER * rate:
        return np.concatenate([np.zeros(gap, np.float32), part])
    return part[-gap:] if gap < -JITTER * rate else part


def _mono(frame: "AudioFrame") -> NDArray[np.float32]:
    samples: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        samples = samples / 128 - 1
    elif samples.dtype.kind == "i":
        samples = samples / float(-np.iinfo(samples.dtype).min)
    mono: NDArray[np.float32] = samples.mean(0).astype(np.float32)
    return mono
