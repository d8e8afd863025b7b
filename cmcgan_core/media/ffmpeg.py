"""Decode sound and frames from any file that FFmpeg supports, using PyAV.

Only decoding says how long a stream is. See `packets` for the time axis, and `whole` for files that are cut off.
"""

import io
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from heapq import heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import MediaError
from cmcgan_core.media.packets import Timeline, read_packets
from cmcgan_core.media.whole import find_patches, require_whole
from cmcgan_core.utils.files import error_reason

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, VideoFrame, VideoStream
    from av.container import InputContainer
    from av.stream import Stream

#: Seconds by which a timestamp of sound may be off. A larger difference is a gap or an overlap.
JITTER = 0.02
#: Frames of sound, each of about 1,000 samples, that are joined into one piece; every piece has some overhead.
FRAMES_PER_PIECE = 64
#: The largest number of pixels of a picture or a frame. To decode one of this size takes up to about 1 GB.
MAX_PIXELS = 50_000_000
#: The possible sample rates in Hz. A small file of a lower one could last for years; a higher one takes much memory.
RATES = range(1000, 1_000_001)
#: Samples of the pieces that fill a gap, as many as an encoded frame has.
GAP_SAMPLES = 1024
#: The longest time in seconds that a gap in the sound, or the last picture, lasts. A longer one is an error.
LONGEST_GAP = 600.0
#: The longest sound or film in seconds, a week. Only damaged timestamps are later, and a reader would not end.
LONGEST_STREAM = 7 * 24 * 3600.0
#: Pictures that begin less than this number of seconds after time 0 are shown from time 0 on. In most containers with
#: sound, the first picture is a little late.
LATE_START = 0.5
#: Packets at the end of a file that may fail because it is cut off within one. More are of another codec.
LAST_PACKETS = 2
#: FFmpeg's names of the formats without timestamps. Those that FFmpeg makes up are wrong after a change of sample rate.
WITHOUT_TIMESTAMPS = ("aac", "ac3", "dts", "eac3", "mp3")
#: What the kinds of streams are called.
_WORDS = {"audio": "sound", "video": "pictures"}


def decode_sound(path: Path) -> Iterator[tuple[NDArray[Any], int]]:
    """Yield the sound of a file in pieces, from time 0 on.

    Gaps between timestamps are filled with zeros, and overlaps are cut, so that each sample is at its own time. If the
    file ends within a packet, the sound ends with the last whole one.

    Yields:
        The samples (channels, n) in [-1, 1], and the sample rate in Hz. Both channels and sample rate may change from
        one piece to the next, because recordings may be joined in the file.

    Raises:
        MediaError: the file cannot be decoded, has no sound, or is cut off.
    """
    with open_input(path) as container:
        stream = sound_stream(container, path)
        timeline = Timeline(container)
        held: list[NDArray[Any]] = []
        rate, end, timed = 0, 0.0, container.format.name not in WITHOUT_TIMESTAMPS
        for frame in _decode_sound_frames(container, stream, timeline):
            samples = _samples(frame)
            if held and (frame.sample_rate, len(samples)) != (rate, len(held[0])):
                _require_no_change(path, container)
                yield np.concatenate(held, 1), rate
                held.clear()
            rate = frame.sample_rate
            start = frame.time if timed and frame.time is not None else end
            for piece in _close_gap(samples, round((start - end) * rate), rate):
                held.append(piece)
                end += piece.shape[1] / rate
                if len(held) == FRAMES_PER_PIECE:
                    yield np.concatenate(held, 1), rate
                    held.clear()
            _require_time(end)
            timeline.end = max(timeline.end, end)
        if held:
            yield np.concatenate(held, 1), rate
        _require_all_samples(path, container, stream, end)


def _decode_sound_frames(
    container: "InputContainer", stream: "AudioStream", timeline: Timeline
) -> Iterator["AudioFrame"]:
    """Yield the frames of a stream of sound.

    Raises:
        av.FFmpegError: a packet before the end of the file cannot be decoded, or no packet can be.
    """
    import av

    # In joined MP3 files, the tags between the recordings are packets too.
    may_skip = container.format.name == "mp3"
    failure: av.FFmpegError | None = None
    failed, decoded = 0, False
    for packet in read_packets(container, [stream], timeline):
        try:
            frames = cast("list[AudioFrame]", packet.decode())
        except av.FFmpegError as error:
            failure, failed = failure or error, failed + 1
            continue
        if frames and failure and not may_skip:
            raise failure
        decoded = decoded or bool(frames)
        yield from frames
    if failure and (not decoded or (failed > LAST_PACKETS and not may_skip)):
        raise failure


def decode_frames(path: Path) -> Iterator[tuple[float, float, "VideoFrame"]]:
    """Yield the intact frames of a video in display order.

    Yields:
        The times in seconds at which the frame appears and disappears, and the frame. A first frame that is less than
        `LATE_START` late appears at 0. The last one is shown for as long as its file says.

    Raises:
        MediaError: the file cannot be decoded, or has no pictures.
    """
    with open_input(path) as container:
        stream = picture_stream(container, path)
        period = 1 / float(stream.base_rate or stream.average_rate or 25)
        shown: tuple[float, VideoFrame] | None = None
        for start, frame in decode_pictures(container, stream):
            if frame is None or frame.is_corrupt:
                continue
            if shown:
                yield shown[0], start, shown[1]
            shown = (start if shown or start >= LATE_START else 0.0, frame)
        if shown:
            yield shown[0], shown[0] + shown_seconds(shown[1], period), shown[1]


def decode_pictures(container: "InputContainer", stream: "VideoStream") -> Iterator[tuple[float, "VideoFrame | None"]]:
    """Yield increasing times in seconds and the frames that appear then; None if the decoder fails."""
    import av

    # AVI stores only decoding times. In display order, each frame takes the earliest one that is left.
    unordered = container.format.name == "avi" and stream.codec_context.has_b_frames
    due: list[float] = []  # a heap of the decoding times of packets, if frames have no times of their own
    failed: list[float] = []  # a heap of the times of packets that could not be decoded
    last = -np.inf
    for packet in read_packets(container, [stream]):
        time = packet.dts if unordered else packet.pts
        seconds = None if time is None else float(time * packet.time_base)
        frames: list[VideoFrame] = []
        try:
            frames = packet.decode()
        except av.FFmpegError:
            if seconds is not None:
                heappush(failed, seconds)
        else:
            if unordered and seconds is not None:
                heappush(due, seconds)
        for frame in frames:
            start = heappop(due) if due else frame.time
            if start is None or start <= last:
                continue
            _require_time(start)
            while failed and failed[0] < start:
                yield heappop(failed), None
            yield start, frame
            last = start
    yield from ((time, None) for time in sorted(failed) if time > last)


def _require_time(seconds: float) -> None:
    """Raise a `ValueError` if a time is after the end of the longest stream."""
    if seconds > LONGEST_STREAM:
        raise ValueError(f"it would last more than {LONGEST_STREAM / 3600:.0f} hours")


def shown_seconds(frame: "VideoFrame", period: float) -> float:
    """Return for how many seconds the last frame of a film is shown: `period` if the file does not tell it."""
    seconds = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    return seconds if 0 < seconds <= LONGEST_GAP else period


def decode_picture(frame: "VideoFrame") -> NDArray[np.uint8]:
    """Return a frame as RGB (H, W, 3), rotated and mirrored as its metadata say."""
    picture = cast("NDArray[np.uint8]", frame.to_ndarray(format="rgb24"))
    x_from_x, y_from_x, x_from_y, y_from_y = _display_matrix(frame)
    if abs(x_from_x) < abs(y_from_x):  # a quarter turn exchanges the sides
        picture = picture.transpose(1, 0, 2)
        x_from_x, y_from_y = x_from_y, y_from_x
    return picture[:: -1 if y_from_y < 0 else 1, :: -1 if x_from_x < 0 else 1]


def is_upright(frame: "VideoFrame") -> bool:
    """Return whether a frame is shown as it is coded, neither rotated nor mirrored."""
    x_from_x, y_from_x, _, y_from_y = _display_matrix(frame)
    return x_from_x > abs(y_from_x) and y_from_y > 0


def _display_matrix(frame: "VideoFrame") -> tuple[int, int, int, int]:
    """Return the display matrix of a frame: x from x, y from x, x from y, y from y."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    matrix = np.frombuffer(cast("Any", data), np.int32)
    return int(matrix[0]), int(matrix[1]), int(matrix[3]), int(matrix[4])


def has_sound_and_pictures(path: Path) -> tuple[bool, bool]:
    """Return whether the file has sound and whether it has pictures; a track without a packet does not count.

    Raises:
        MediaError: the file cannot be opened, or FFmpeg does not know the codec of its sound or pictures.
    """
    with open_input(path) as container:
        streams = {kind: stream for kind in ("audio", "video") if (stream := _best_stream(container, path, kind))}
        found: set[str] = set()
        for packet in container.demux(list(streams.values())) if streams else ():
            if packet.size:
                found.add(packet.stream.type)
            if found == streams.keys():
                break
        return "audio" in found, "video" in found


def header_seconds(path: Path) -> float:
    """Return the duration of the file in seconds according to its header, or 0 if the header does not contain it.

    It can be wrong by any factor.

    Raises:
        MediaError: the file cannot be opened.
    """
    with open_input(path) as container:
        return (container.duration or 0) / 1e6


def resample(pieces: Iterable[tuple[NDArray[np.float32], int]], sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Resample a waveform piece by piece, with an anti-aliasing filter.

    Args:
        pieces: the pieces (n,) of one waveform, each with its sample rate in Hz.
        sample_rate: the new sample rate, Hz.

    Yields:
        Pieces of the new waveform. L samples in a row of one rate become round(L * sample_rate / rate) samples.
    """
    for rate, run in itertools.groupby(pieces, key=lambda piece: piece[1]):
        run_pieces = (piece for piece, _ in run)
        yield from run_pieces if rate == sample_rate else _resample_run(run_pieces, rate, sample_rate)


def _resample_run(pieces: Iterable[NDArray[np.float32]], rate: int, sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Resample the pieces (n,) of a waveform of one sample rate."""
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate)
    count_in, count_out = 0, 0
    for piece in pieces:
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


def file_url(path: Path) -> str:
    """Return a path as FFmpeg takes it for a file, even if it begins like the address of a protocol (`take:1.wav`)."""
    return f"file:{path}"


@contextmanager
def open_input(path: Path) -> Iterator["InputContainer"]:
    """Open a file for reading.

    Raises:
        MediaError: the file cannot be opened, is cut off, or decoding it in the block fails; the message names the
            file.
    """
    import av

    try:
        require_whole(path)
        patches = find_patches(path)
        with (
            _PatchedFile(path, patches) if patches else nullcontext(file_url(path)) as source,
            av.open(source, "r") as container,
        ):
            yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be decoded ({error_reason(error)})") from error


class _PatchedFile(io.FileIO):
    """A file for reading, in which the bytes at some positions are replaced."""

    def __init__(self, path: Path, patches: Mapping[int, bytes]) -> None:
        super().__init__(path)
        self._bytes = {at: byte for start, patch in patches.items() for at, byte in enumerate(patch, start)}

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes."""
        start = self.tell()
        data = bytearray(super().read(size))
        for at, byte in self._bytes.items():
            if start <= at < start + len(data):
                data[at - start] = byte
        return bytes(data)


def sound_stream(container: "InputContainer", path: Path) -> "AudioStream":
    """Return the best sound stream of an open file, as FFmpeg ranks them.

    Raises:
        MediaError: the file has no sound, or FFmpeg does not know its codec.
    """
    stream = _best_stream(container, path, "audio")
    if stream is None:
        raise MediaError(f"{path}: has no sound")
    return cast("AudioStream", stream)


def picture_stream(container: "InputContainer", path: Path) -> "VideoStream":
    """Return the best picture stream of an open file, as FFmpeg ranks them, set up to be decoded by one thread.

    One thread for two reasons. Many files are decoded in parallel, which costs less in total than several threads for
    each file. And with several threads a decoder reports an error late, or for the wrong frame.

    Raises:
        MediaError: the file has no pictures, or FFmpeg does not know their codec.
        ValueError: the pictures are larger than `MAX_PIXELS`.
    """
    stream = cast("VideoStream | None", _best_stream(container, path, "video"))
    if stream is None:
        raise MediaError(f"{path}: has no pictures")
    require_pixels(stream.width, stream.height)
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # the size may change later in the file
    return stream


def require_pixels(width: int, height: int) -> None:
    """Check that a picture or a frame is not larger than `MAX_PIXELS`.

    Raises:
        ValueError: it is larger; the message has no file.
    """
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {MAX_PIXELS // 10**6} million; make it smaller")


def _best_stream(container: "InputContainer", path: Path, kind: Literal["audio", "video"]) -> "Stream | None":
    """Return the best stream of a kind, as FFmpeg ranks them; None if there is none. A cover is no stream of pictures.

    Raises:
        MediaError: FFmpeg does not know its codec.
    """
    from av.stream import Disposition

    # FFmpeg ranks no stream of sound that begins after the part of the file that it examines.
    streams = (container.streams.best(kind), *(stream for stream in container.streams if stream.type == kind))
    best = next((s for s in streams if s and not s.disposition & Disposition.attached_pic), None)
    if best and best.codec_context is None:
        raise MediaError(f"{path}: cannot be decoded (FFmpeg does not know the codec of its {_WORDS[kind]})")
    return best


def _require_no_change(path: Path, container: "InputContainer") -> None:
    """Raise a `MediaError` where the channels or the sample rate change, if FFmpeg does not keep the order then."""
    if container.format.name == "flac":
        raise MediaError(f"{path}: holds several recordings, with other channels or sample rates; split the file")


def _require_all_samples(path: Path, container: "InputContainer", stream: "AudioStream", decoded: float) -> None:
    """Raise a `MediaError` if a FLAC file holds fewer seconds of sound than its header says.

    FFmpeg reports no error if a file is cut off. Other headers name no exact number of samples, see `whole`.
    """
    if container.format.name == "flac" and stream.duration and stream.time_base:
        announced = float(stream.duration * stream.time_base)
        if decoded < announced - JITTER:
            raise MediaError(f"{path}: is cut off: its sound ends after {decoded:.1f} s of {announced:.1f} s")


def _close_gap(sound: NDArray[Any], gap: int, rate: int) -> Iterator[NDArray[Any]]:
    """Yield zeros that fill a gap, then the sound (channels, n), without its start if that overlaps.

    Args:
        sound: the sound.
        gap: samples between the end of the previous sound and the timestamp of this one; negative for an overlap.
        rate: sample rate, Hz.
    """
    if gap > LONGEST_GAP * rate:
        raise ValueError(f"its sound has a gap of {gap / rate:.0f} s")
    if gap > JITTER * rate:
        for first in range(0, gap, GAP_SAMPLES):
            yield np.zeros((len(sound), min(GAP_SAMPLES, gap - first)), sound.dtype)
    yield sound[:, -gap:] if gap < -JITTER * rate else sound


def _samples(frame: "AudioFrame") -> NDArray[Any]:
    """Return the samples (channels, n) of a frame as floats in [-1, 1].

    Raises:
        ValueError: the sample rate is not in `RATES`.
    """
    if frame.sample_rate not in RATES:
        raise ValueError(f"its sample rate, {frame.sample_rate} Hz, is not from {RATES[0]} to {RATES[-1]} Hz")
    samples: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return samples.astype(np.float32) / 128 - 1
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / np.float32(-np.iinfo(samples.dtype).min)
    return samples
