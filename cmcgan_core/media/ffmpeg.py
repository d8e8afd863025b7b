"""Decode sound and frames from any file that FFmpeg supports, using PyAV.

Time 0 is the start of the file: the earliest timestamp of all its streams.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import MediaError
from cmcgan_core.utils.files import error_reason

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, VideoFrame, VideoStream
    from av.container import InputContainer

#: Seconds by which a timestamp of sound may be off. A larger difference is a gap or an overlap.
JITTER = 0.02
#: Frames of sound, each of about 1,000 samples, that are joined into one piece; every piece has some overhead.
FRAMES_PER_PIECE = 64
#: The longest gap in the sound, in seconds, that is filled with zeros. A longer one means a broken timestamp.
LONGEST_GAP = 600.0


def decode_sound(path: Path) -> Iterator[tuple[NDArray[Any], int]]:
    """Yield the sound of a file in pieces, from time 0 on.

    Gaps between timestamps are filled with zeros, and overlaps are cut, so that each sample is at its own time.

    Yields:
        The samples (channels, n) in [-1, 1], and the sample rate in Hz, which is the same for all pieces.

    Raises:
        MediaError: the file cannot be decoded, or has no sound.
    """
    with open_input(path) as container:
        stream = sound_stream(container, path)
        rate, length = 0, 0
        held: list[NDArray[Any]] = []
        for frame in container.decode(stream):
            if rate not in (0, frame.sample_rate):
                raise ValueError("its sample rate changes")
            rate = frame.sample_rate
            start = length if frame.time is None else round((frame.time - first_timestamp(container)) * rate)
            held.append(_close_gap(_samples(frame), start - length, rate))
            length += held[-1].shape[1]
            if len(held) == FRAMES_PER_PIECE:
                yield np.concatenate(held, 1), rate
                held.clear()
        if held:
            yield np.concatenate(held, 1), rate
        _require_complete(path, container, stream, length / max(rate, 1))


def decode_frames(path: Path) -> Iterator[tuple[float, float, "VideoFrame"]]:
    """Yield the intact frames of a video in display order.

    Yields:
        The times in seconds at which the frame appears and disappears, and the frame.

    Raises:
        MediaError: the file cannot be decoded, or has no pictures.
    """
    with open_input(path) as container:
        stream = picture_stream(container, path)
        period = 1 / float(stream.base_rate or stream.average_rate or 25)
        previous: tuple[float, VideoFrame] | None = None
        for frame in container.decode(stream):
            if frame.time is None or frame.is_corrupt:
                continue
            start = frame.time - first_timestamp(container)
            if previous and start > previous[0]:
                yield previous[0], start, previous[1]
            previous = (start, frame)
        if previous:
            yield previous[0], previous[0] + period, previous[1]


def decode_picture(frame: "VideoFrame") -> NDArray[np.uint8]:
    """Return a frame as RGB (H, W, 3), rotated as its metadata say."""
    picture: NDArray[np.uint8] = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
    return picture


def has_sound_and_pictures(path: Path) -> tuple[bool, bool]:
    """Return whether the file has sound and whether it has pictures, according to its header.

    Raises:
        MediaError: the file cannot be opened.
    """
    with open_input(path) as container:
        return container.streams.best("audio") is not None, container.streams.best("video") is not None


def header_seconds(path: Path) -> float:
    """Return the duration of the file in seconds according to its header, or 0 if the header does not contain it.

    Raises:
        MediaError: the file cannot be opened.
    """
    with open_input(path) as container:
        return (container.duration or 0) / 1e6


def resample(pieces: Iterable[tuple[NDArray[np.float32], int]], sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Resample a waveform piece by piece, with an anti-aliasing filter.

    Args:
        pieces: the pieces (n,) of one waveform with L samples in all, each with its sample rate in Hz.
        sample_rate: the new sample rate, Hz.

    Yields:
        Pieces of the new waveform, with round(L * sample_rate / rate) samples in all.
    """
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate)
    count_in, count_out, rate = 0, 0, sample_rate
    for piece, rate in pieces:
        if rate == sample_rate:
            yield piece
            continue
        count_in += len(piece)
        for frame in resampler.resample(make_sound_frame(piece[None], rate)):
            count_out += frame.samples
            yield frame.to_ndarray()[0]
    missing = round(count_in * sample_rate / rate) - count_out
    # For a very short waveform the resampler returns too few samples.
    rest = np.concatenate([np.zeros(0, np.float32), *(frame.to_ndarray()[0] for frame in resampler.resample(None))])
    yield np.pad(rest[:missing], (0, max(0, missing - len(rest))))


def make_sound_frame(channels: NDArray[np.float32], rate: int) -> "AudioFrame":
    """Return samples (channels, n) as a frame of planar floats, with FFmpeg's default channel layout."""
    import av

    samples = np.ascontiguousarray(channels, np.float32)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=f"{len(channels)}c")
    frame.sample_rate = rate
    return frame


@contextmanager
def open_input(path: Path) -> Iterator["InputContainer"]:
    """Open a file for reading.

    Raises:
        MediaError: the file cannot be opened, or decoding it in the block fails; the message names the file.
    """
    import av

    try:
        with av.open(str(path)) as container:
            yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be decoded ({error_reason(error)})") from error


def sound_stream(container: "InputContainer", path: Path) -> "AudioStream":
    """Return the best sound stream of an open file, as FFmpeg ranks them.

    Raises:
        MediaError: the file has no sound.
    """
    stream = cast("AudioStream | None", container.streams.best("audio"))
    if stream is None:
        raise MediaError(f"{path}: has no sound")
    return stream


def picture_stream(container: "InputContainer", path: Path) -> "VideoStream":
    """Return the best picture stream of an open file, as FFmpeg ranks them, set up to be decoded by one thread.

    One thread for two reasons. Many files are decoded in parallel, which costs less in total than several threads for
    each file. And with several threads a decoder reports an error late, or for the wrong frame.

    Raises:
        MediaError: the file has no pictures.
    """
    stream = cast("VideoStream | None", container.streams.best("video"))
    if stream is None:
        raise MediaError(f"{path}: has no pictures")
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    return stream


def first_timestamp(container: "InputContainer") -> float:
    """Return the earliest timestamp of all streams, in seconds. It is time 0 of the file."""
    return (container.start_time or 0) / 1e6


def _require_complete(path: Path, container: "InputContainer", stream: "AudioStream", decoded: float) -> None:
    """Raise a `MediaError` if fewer seconds of sound were decoded than the header promises.

    FFmpeg reports no error if a file is cut off. Without a duration in the header, nothing is checked.
    """
    if stream.duration and stream.time_base and container.duration:
        promised = min(float(stream.duration * stream.time_base), container.duration / 1e6)
        if decoded < promised - 1:
            raise MediaError(f"{path}: is cut off: its sound ends after {decoded:.1f} s of {promised:.1f} s")


def _close_gap(piece: NDArray[Any], gap: int, rate: int) -> NDArray[Any]:
    """Return sound (channels, n) with zeros in front to fill a gap, or without the start that overlaps.

    Args:
        piece: the sound.
        gap: samples between the end of the previous piece and the timestamp of this one; negative for an overlap.
        rate: sample rate, Hz.
    """
    if gap > LONGEST_GAP * rate:
        raise ValueError(f"its sound has a gap of {gap / rate:.0f} s")
    if gap > JITTER * rate:
        return np.pad(piece, ((0, 0), (gap, 0)))
    return piece[:, -gap:] if gap < -JITTER * rate else piece


def _samples(frame: "AudioFrame") -> NDArray[Any]:
    """Return the samples (channels, n) of a frame as floats in [-1, 1]."""
    samples: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return samples / 128 - 1
    return samples / float(-np.iinfo(samples.dtype).min) if samples.dtype.kind == "i" else samples
