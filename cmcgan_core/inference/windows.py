"""Cut half seconds out of a sound of any length, in memory that does not grow with its length."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.media.files import sound_blocks

#: Length in seconds of the blocks that a sound file is read in.
SECONDS_PER_BLOCK = 8.0


class Windows:
    """The half seconds of a sound, requested in time order.

    Args:
        blocks: the sound, as consecutive blocks of any length.
        settings: sample rate, and length of a half second, L samples.
    """

    def __init__(self, blocks: Iterator[NDArray[np.float32]], settings: FeatureSettings) -> None:
        self.settings = settings
        self._blocks = blocks
        self._kept = np.zeros(0, np.float32)
        self._start = 0  # the position of the first kept sample
        self._ended = False

    @property
    def seconds(self) -> float:
        """How much of the sound has been read, in seconds; at the end it is the length of the sound."""
        return (self._start + len(self._kept)) / self.settings.sample_rate

    def at(self, second: float) -> NDArray[np.float32] | None:
        """Return the half second (L,) that begins at a time.

        Near the end of the sound it is the last half second. If the sound is shorter than half a second, it is the
        whole sound, padded with silence.

        Args:
            second: not earlier than in the call before.

        Returns:
            None if the sound ends before that time, or the time is negative.
        """
        samples, first = self.settings.samples, second * self.settings.sample_rate
        if not first >= 0:
            return None
        first = round(first)
        self._read_until(first + samples)
        if first >= self._start + len(self._kept):
            return None
        begin = max(0, min(first - self._start, len(self._kept) - samples))
        window = self._kept[begin : begin + samples]
        return np.pad(window, (0, samples - len(window)))

    def loudest(self) -> NDArray[np.float32]:
        """Return the loudest half second (L,), see `find_loudest`."""
        return self.find_loudest()[1]

    def find_loudest(self) -> tuple[float, NDArray[np.float32]]:
        """Return the start in seconds and the waveform (L,) of the loudest half second. Reads the whole sound.

        It is one of those that begin at multiples of 0.1 s, a fifth of `settings.seconds`. A sound without samples
        gives silence.
        """
        step = self.settings.seconds / 5
        loudest, start, most, number = np.zeros(self.settings.samples, np.float32), 0.0, -1.0, 0
        while (window := self.at(number * step)) is not None and (number == 0 or self._is_complete(number * step)):
            energy = float(np.square(window, dtype=np.float64).sum())
            if energy > most:
                loudest, start, most = window, number * step, energy
            number += 1
        return start, loudest

    def _is_complete(self, second: float) -> bool:
        """Return whether the half second that begins at a time ends before the sound does."""
        end = round(second * self.settings.sample_rate) + self.settings.samples
        return end <= self._start + len(self._kept)

    def _read_until(self, end: int) -> None:
        """Read blocks up to a position, and drop samples that are no longer needed."""
        while not self._ended and self._start + len(self._kept) < end:
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
                return
            # Half a second before the requested one is kept: it may turn out to be the last one of the sound.
            passed = max(0, min(end - 2 * self.settings.samples - self._start, len(self._kept)))
            self._kept, self._start = np.concatenate([self._kept[passed:], block]), self._start + passed


def open_windows(path: Path, settings: FeatureSettings) -> Windows:
    """Return the half seconds of a sound file, or of the sound of a video.

    Raises:
        MediaError: the file cannot be read. It is raised when the reading reaches the fault.
    """
    return Windows(sound_blocks(path, settings.sample_rate, SECONDS_PER_BLOCK), settings)
