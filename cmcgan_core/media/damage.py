"""Which pictures of a film are damaged: black, of one colour, corrupt or missing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from cmcgan_core.errors import MediaError
from cmcgan_core.media import ffmpeg
from cmcgan_core.media.files import require_file

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

Fault = Literal["corrupt", "missing"]
Reason = Literal["black", "one colour", "corrupt", "missing"]

#: A pixel is dark up to this luma, of 0 to 255.
DARK = 20
#: A picture with no more than this share of its pixels above that is black; a lamp in the night is more.
LIGHT_SHARE = 0.005
#: A picture is of one colour if none of its channels spans more than this, of 0 to 255, noise and outliers left aside.
CONTRAST = 6
#: Contrast is measured on a picture averaged down to this width and height.
MEASURED_SIZE = 64
#: Timestamps may be this many frames apart and more before pictures count as missing.
LONGEST_STEP = 4
#: Frames by which the rate of a film is told.
FRAMES_TIMED = 250


@dataclass(frozen=True)
class DamagedInterval:
    """Frames in a row that are damaged in one way, from `start` until `end` in seconds."""

    start: float
    end: float
    frames: int
    reason: Reason


@dataclass(frozen=True)
class FrameInterval:
    """What a film shows from `start` until `end`, in seconds.

    Attributes:
        frame: None where nothing can be decoded.
        fault: "corrupt" where the decoder says so or fails, and in the frames that build on such a one; "missing" in a
            hole between timestamps, which is filled at the rate of the film.
    """

    start: float
    end: float
    frame: "VideoFrame | None"
    fault: Fault | None


def find_damage(path: Path) -> list[DamagedInterval]:
    """The damaged stretches of a film in their order, in one pass over it and in constant memory.

    What is corrupt is told by the decoder: those of H.264 and MPEG-1, -2 and -4 notice nearly all of it; those of VP9,
    HEVC and Motion JPEG little. A film of variable rate shows some frames long: those are told as missing.

    Raises:
        MediaError: it cannot be opened, or has no pictures.
    """
    stretches: list[DamagedInterval] = []
    for shown in examine_frames(path):
        reason = _reason(shown)
        last = stretches[-1] if stretches else None
        if reason and last and (last.end, last.reason) == (shown.start, reason):
            stretches[-1] = replace(last, end=shown.end, frames=last.frames + 1)
        elif reason:
            stretches.append(DamagedInterval(shown.start, shown.end, 1, reason))
    return stretches


def examine_frames(path: Path) -> Iterator[FrameInterval]:
    """All that a film shows from time 0 on, frame by frame without a gap, faults told rather than left out.

    Raises:
        MediaError: it cannot be opened, or has no pictures.
    """
    require_file(path)
    period = _period(path)
    last: FrameInterval | None = None
    with ffmpeg.open_input(path) as container:
        for shown in _filled(_judged(_decoded(container, _pictures(container, path))), period):
            if last:
                yield replace(last, end=shown.start)
            last = shown
    if last:
        yield last


def _reason(shown: FrameInterval) -> Reason | None:
    if shown.fault or shown.frame is None:
        return shown.fault
    luma = shown.frame.to_ndarray(format="gray")
    if (luma > DARK).mean() <= LIGHT_SHARE:
        return "black"
    side = MEASURED_SIZE
    small = shown.frame.to_ndarray(width=side, height=side, format="rgb24", interpolation="AREA")
    low, high = np.percentile(small, (1, 99), axis=(0, 1))
    return "one colour" if (high - low).max() <= CONTRAST else None


def _pictures(container: "InputContainer", path: Path) -> "VideoStream":
    stream = cast("VideoStream | None", container.streams.best("video"))
    if stream is None:
        raise MediaError(f"{path}: has no pictures")
    # With several threads a decoder tells an error late, or of another frame.
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    return stream


def _period(path: Path) -> float:
    """Seconds that a frame is usually shown, by the timestamps at the beginning of a film."""
    with ffmpeg.open_input(path) as container:
        stream = _pictures(container, path)
        timed = (float(p.pts * p.time_base) for p in container.demux(stream) if p.size and p.pts is not None)
        times = sorted(islice(timed, FRAMES_TIMED))
        steps = np.diff(times)
        steps = steps[steps > 0]
        usual = steps[steps < 1.5 * np.median(steps)] if len(steps) else [1 / float(stream.average_rate or 25)]
        return float(np.mean(usual))


def _decoded(container: "InputContainer", stream: "VideoStream") -> Iterator[tuple[float, "VideoFrame | None"]]:
    """Times, growing, and the frames shown from then on; None for one at which the decoder fails."""
    import av

    origin = ffmpeg.origin(container)
    lost: list[float] = []
    shown = -np.inf
    for packet in container.demux(stream):
        frames: list[VideoFrame] = []
        try:
            frames = packet.decode()
        except av.FFmpegError:
            if packet.pts is not None:
                heappush(lost, float(packet.pts * packet.time_base) - origin)
        for frame in frames:
            if frame.time is None or (time := frame.time - origin) <= shown:
                continue
            while lost and lost[0] < time:
                yield heappop(lost), None
            yield time, frame
            shown = time
    yield from ((time, None) for time in sorted(lost) if time > shown)


def _judged(frames: Iterable[tuple[float, "VideoFrame | None"]]) -> Iterator[FrameInterval]:
    """Frames, of which one that builds on a corrupt one is corrupt, up to the next that stands alone; with no `end`."""
    from av.video.frame import PictureType

    spoilt = False
    for time, frame in frames:
        corrupt = frame is None or frame.is_corrupt
        if frame and frame.key_frame:
            spoilt = False
        yield FrameInterval(time, time, frame, "corrupt" if corrupt or spoilt else None)
        # Nothing builds on a B frame.
        spoilt = spoilt or (corrupt and (frame is None or frame.pict_type != PictureType.B))


def _filled(frames: Iterable[FrameInterval], period: float) -> Iterator[FrameInterval]:
    """Frames, and what is missing between them and before the first; `end` as the period of a frame has it."""
    due = 0.0
    for shown in frames:
        missing = round((shown.start - due) / period)
        if missing >= LONGEST_STEP:
            for start in np.linspace(due, shown.start, missing, endpoint=False):
                yield FrameInterval(float(start), float(start), None, "missing")
        due = shown.start + period
        yield replace(shown, end=due)
