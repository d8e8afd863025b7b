"""Find the damaged pictures of a film: black, of one colour, corrupt or missing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from cmcgan_core.media import ffmpeg
from cmcgan_core.media.files import require_file
from cmcgan_core.media.packets import read_packets

if TYPE_CHECKING:
    from av import VideoFrame

DecodingFault = Literal["corrupt", "missing"]
DamageReason = Literal["black", "one colour", "corrupt", "missing"]

#: The highest luma (0 to 255) of a dark pixel.
DARK_LUMA = 20
#: A picture is black if at most this share of its pixels is not dark. A lamp at night is larger.
LIGHT_SHARE = 0.005
#: A picture is of one colour if the 1st and 99th percentiles of each channel (0 to 255) differ by at most this much.
CONTRAST = 6
#: Contrast is measured on a picture that is averaged down to this width and height, which removes noise.
MEASURED_SIZE = 64
#: Pictures are missing where two timestamps are at least this many frame periods apart.
MISSING_PERIODS = 4
#: The shortest frame period, in seconds. A shorter one is an error, and gaps would hold millions of frames.
SHORTEST_PERIOD = 0.001
#: The number of frames, from the start of the film, that its frame period is measured on.
MEASURED_FRAMES = 250


@dataclass(frozen=True)
class DamagedInterval:
    """Consecutive frames with the same damage.

    Attributes:
        start: when the first one appears, in seconds.
        end: when the last one disappears, in seconds.
        frames: number of frames. Missing frames are counted at the frame rate of the film.
        reason: what is wrong with them.
    """

    start: float
    end: float
    frames: int
    reason: DamageReason


@dataclass(frozen=True)
class FrameInterval:
    """A frame of a film and the time for which it is shown.

    Attributes:
        start: when it appears, in seconds.
        end: when it disappears, in seconds.
        frame: the decoded frame, or None where nothing can be decoded.
        fault: "corrupt" if the decoder fails or reports an error, and for all frames that are predicted from such a
            frame. "missing" in a gap between timestamps; a gap is filled with frames at the frame rate of the film.
    """

    start: float
    end: float
    frame: "VideoFrame | None"
    fault: DecodingFault | None


def find_damage(path: Path) -> list[DamagedInterval]:
    """Return the damaged intervals of a film in time order, from one pass over the file with constant memory.

    Corruption is what the decoder reports. The decoders of H.264 and MPEG-1, -2 and -4 report nearly all of it; those
    of VP9, HEVC and Motion JPEG report little. In a film of variable frame rate, frames that are shown for long count
    as missing.

    Raises:
        MediaError: the file cannot be opened, or has no pictures.
    """
    intervals: list[DamagedInterval] = []
    for shown in examine_frames(path):
        reason = _damage_reason(shown)
        last = intervals[-1] if intervals else None
        if reason and last and (last.end, last.reason) == (shown.start, reason):
            intervals[-1] = replace(last, end=shown.end, frames=last.frames + 1)
        elif reason:
            intervals.append(DamagedInterval(shown.start, shown.end, 1, reason))
    return intervals


def examine_frames(path: Path) -> Iterator[FrameInterval]:
    """Yield everything that a film shows from time 0 on, without gaps: intact, corrupt and missing frames.

    Raises:
        MediaError: the file cannot be opened, or has no pictures.
    """
    require_file(path)
    period = _frame_period(path)
    last: FrameInterval | None = None
    with ffmpeg.open_input(path) as container:
        decoded = ffmpeg.decode_pictures(container, ffmpeg.picture_stream(container, path))
        for shown in _fill_gaps(_mark_corrupt(decoded), period):
            if last:
                yield replace(last, end=shown.start)
            last = shown
    if last:
        held = ffmpeg.shown_seconds(last.frame, period) if last.frame else period
        yield replace(last, end=last.start + held)


def _damage_reason(shown: FrameInterval) -> DamageReason | None:
    """Return what is wrong with a frame, or None if it is intact and shows something."""
    if shown.fault or shown.frame is None:
        return shown.fault
    luma = shown.frame.to_ndarray(format="gray")
    if (luma > DARK_LUMA).mean() <= LIGHT_SHARE:
        return "black"
    side = MEASURED_SIZE
    small = shown.frame.to_ndarray(width=side, height=side, format="rgb24", interpolation="AREA")
    low, high = np.percentile(small, (1, 99), axis=(0, 1))
    return "one colour" if (high - low).max() <= CONTRAST else None


def _frame_period(path: Path) -> float:
    """Return for how many seconds a frame is usually shown, from the timestamps at the start of the film."""
    with ffmpeg.open_input(path) as container:
        stream = ffmpeg.picture_stream(container, path)
        timestamps = (
            float(p.pts * p.time_base) for p in read_packets(container, [stream]) if p.size and p.pts is not None
        )
        steps = np.diff(sorted(islice(timestamps, MEASURED_FRAMES)))
        steps = steps[steps > 0]
        usual = steps[steps < 1.5 * np.median(steps)] if len(steps) else [1 / float(stream.average_rate or 25)]
        return max(float(np.mean(usual)), SHORTEST_PERIOD)


def _mark_corrupt(frames: Iterable[tuple[float, "VideoFrame | None"]]) -> Iterator[FrameInterval]:
    """Yield the frames with their faults: a corrupt frame spoils all that follow, up to the next key frame.

    `end` is not known yet and equals `start`.
    """
    from av.video.frame import PictureType

    spoilt = False
    for time, frame in frames:
        corrupt = frame is None or frame.is_corrupt
        if frame and frame.key_frame:
            spoilt = False
        yield FrameInterval(time, time, frame, "corrupt" if corrupt or spoilt else None)
        # No frame is predicted from a B frame, so a corrupt B frame spoils no other.
        spoilt = spoilt or (corrupt and (frame is None or frame.pict_type != PictureType.B))


def _fill_gaps(frames: Iterable[FrameInterval], period: float) -> Iterator[FrameInterval]:
    """Yield the frames, and missing ones in the gaps between them and before the first; each lasts one period."""
    due = 0.0
    for shown in frames:
        if shown.start - due > ffmpeg.LONGEST_GAP:
            raise ValueError(f"it has no pictures for {shown.start - due:.0f} s")
        missing = round((shown.start - due) / period)
        if missing >= MISSING_PERIODS:
            for start in np.linspace(due, shown.start, missing, endpoint=False):
                yield FrameInterval(float(start), float(start), None, "missing")
        due = shown.start + period
        yield replace(shown, end=due)
