"""Read a sound or a video by half seconds, sound and picture together, in one pass and in constant memory."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.windows import open_windows
from cmcgan_core.media.files import media_kind, read_video, track_kinds


class HalfSecond(NamedTuple):
    """Half a second of sound, and the picture at its start."""

    start: float  #: seconds
    sound: NDArray[np.float32] | None  #: (L,); None in a video without sound
    picture: NDArray[np.uint8] | None  #: (S, S, 3); None in a sound, and in a video without pictures


def read_half_seconds(path: Path, settings: FeatureSettings, hop: float) -> Iterator[HalfSecond]:
    """Yield the half seconds of a sound or a video that begin at 0, hop, 2 * hop, ... seconds, at least one.

    Only complete half seconds are read. Exception: a sound that is shorter is padded with silence.

    Raises:
        MediaError: the file cannot be read, has neither sound nor pictures, or never has both at the same time.
    """
    tracks = {"sound"} if media_kind(path) == "sound" else track_kinds(path)
    sounds = _read_sounds(path, settings, hop)
    pictures = ((round(time / hop), picture) for time, (picture,) in read_video(path, hop, settings.picture_size))
    half_seconds: Iterable[HalfSecond] = ()
    if tracks == {"sound"}:
        half_seconds = (HalfSecond(number * hop, sound, None) for number, sound in sounds)
    elif tracks == {"picture"}:
        half_seconds = (HalfSecond(number * hop, None, picture) for number, picture in pictures)
    elif tracks:
        pairs = _join_by_number(sounds, pictures)
        half_seconds = (HalfSecond(number * hop, sound, picture) for number, sound, picture in pairs)
    half_second = None
    for half_second in half_seconds:
        yield half_second
    if half_second is None:
        raise MediaError(f"{path}: has no half second of both sound and pictures")


def read_picture_at(path: Path, settings: FeatureSettings, at: float, size: int | None = None) -> NDArray[np.uint8]:
    """Return the picture of a video at the last multiple of half a second that is not later than a time.

    Args:
        path: a video.
        settings: length of a half second.
        at: the time, in seconds.
        size: side of the picture, which is resized; None keeps its size.

    Returns:
        Picture (size, size, 3), or (H, W, 3) if `size` is None.

    Raises:
        MediaError: the file cannot be read, or has no picture at that time.
    """
    for start, (picture,) in read_video(path, settings.seconds, size):
        if start <= at < start + settings.seconds:
            return picture
    raise MediaError(f"{path} has no picture at {at:g} s; choose another --at")


def _read_sounds(path: Path, settings: FeatureSettings, hop: float) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the number and the waveform (L,) of each half second."""
    windows = open_windows(path, settings)
    for number in itertools.count():
        sound = windows.at(number * hop)
        # Less than a sample is a rounding error.
        complete = windows.seconds - (number * hop + settings.seconds) > -1 / settings.sample_rate
        if sound is None or (number > 0 and not complete):
            return
        yield number, sound


def _join_by_number(
    sounds: Iterator[tuple[int, NDArray[np.float32]]], pictures: Iterator[tuple[int, NDArray[np.uint8]]]
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.uint8]]]:
    """Yield sounds and pictures that have the same number. Numbers increase in both inputs."""
    numbered = next(pictures, None)
    for number, sound in sounds:
        while numbered is not None and numbered[0] < number:
            numbered = next(pictures, None)
        if numbered is None:
            return
        if numbered[0] == number:
            yield number, sound, numbered[1]
