"""A sound or a video half second by half second, sound and picture together, in one pass and in constant memory."""

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
    """What is heard in half a second from `start` on, and what is seen when it begins."""

    start: float  #: seconds
    sound: NDArray[np.float32] | None  #: (L,); None in a video without a sound track
    picture: NDArray[np.uint8] | None  #: (S, S, 3); None in a sound, and in a video without pictures


def half_seconds(path: Path, settings: FeatureSettings, hop: float) -> Iterator[HalfSecond]:
    """The half seconds of a sound or a video that begin at 0, hop, 2 * hop, ... seconds, at least one.

    Only whole ones, but of a sound that is shorter all of it, filled up with silence.

    Raises:
        MediaError: it cannot be read, or has neither sound nor pictures, or none at the same time.
    """
    found = {"sound"} if media_kind(path) == "sound" else track_kinds(path)
    sounds = _sounds(path, settings, hop)
    pictures = ((round(time / hop), shown) for time, (shown,) in read_video(path, hop, settings.picture_size))
    parts: Iterable[HalfSecond] = ()
    if found == {"sound"}:
        parts = (HalfSecond(number * hop, sound, None) for number, sound in sounds)
    elif found == {"picture"}:
        parts = (HalfSecond(number * hop, None, picture) for number, picture in pictures)
    elif found:
        parts = (HalfSecond(number * hop, sound, picture) for number, sound, picture in _both(sounds, pictures))
    part = None
    for part in parts:
        yield part
    if part is None:
        raise MediaError(f"{path}: has no half second of both sound and pictures")


def _sounds(path: Path, settings: FeatureSettings, hop: float) -> Iterator[tuple[int, NDArray[np.float32]]]:
    windows = open_windows(path, settings)
    for number in itertools.count():
        sound = windows.at(number * hop)
        # Less than a sample is a matter of rounding.
        whole = windows.seconds - (number * hop + settings.seconds) > -1 / settings.sample_rate
        if sound is None or (number > 0 and not whole):
            return
        yield number, sound


def _both(
    sounds: Iterator[tuple[int, NDArray[np.float32]]], pictures: Iterator[tuple[int, NDArray[np.uint8]]]
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.uint8]]]:
    """What has the same number in both; numbers rise."""
    shown = next(pictures, None)
    for number, sound in sounds:
        while shown is not None and shown[0] < number:
            shown = next(pictures, None)
        if shown is None:
            return
        if shown[0] == number:
            yield number, sound, shown[1]
