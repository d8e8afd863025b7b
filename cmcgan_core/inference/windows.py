"""Half seconds of a sound of any length, cut where they are asked for, in memory that does not grow with its length."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.media.files import sound_blocks

#: Seconds of sound that are read at a time.
BLOCK = 8.0


class Windows:
    """Half seconds of a sound, asked for in the order of time.

    Args:
        blocks: the sound, parts of any length one after the other.
        settings: sample rate and length of a half second, L samples.
    """

    def __init__(self, blocks: Iterator[NDArray[np.float32]], settings: FeatureSettings) -> None:
        self.settings = settings
        self._blocks = blocks
        self._kept = np.zeros(0, np.float32)
        self._start = 0  # of what is kept, in samples
        self._ended = False

    @property
    def seconds(self) -> float:
        """How much of the sound has been read; once nothing is left to be heard, how long it lasts."""
        return (self._start + len(self._kept)) / self.settings.sample_rate

    def at(self, second: float) -> NDArray[np.float32] | None:
        """The half second (L,) from a time on; near the end the last one; of a shorter sound all of it, then silence.

        Args:
            second: not earlier than the last time that was asked for.

        Returns:
            None where the sound does not last so long.
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
        """The loudest half second (L,), looked for in steps of a tenth of one; reads all of the sound."""
        step = self.settings.seconds / 5
        best, most, number = self.at(0.0), -1.0, 0
        while (window := self.at(number * step)) is not None and (number == 0 or self._whole(number * step)):
            energy = float(np.square(window, dtype=np.float64).sum())
            if energy > most:
                best, most = window, energy
            number += 1
        assert best is not None  # no file without a sound is read
        return best

    def _whole(self, second: float) -> bool:
        """Whether a half second from a time on ends before the sound does."""
        end = round(second * self.settings.sample_rate) + self.settings.samples
        return end <= self._start + len(self._kept)

    def _read_until(self, end: int) -> None:
        while not self._ended and self._start + len(self._kept) < end:
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
                return
            # What lies before the window that is asked for is needed no more, but for the sound's last half second.
            passed = max(0, min(end - 2 * self.settings.samples - self._start, len(self._kept)))
            self._kept, self._start = np.concatenate([self._kept[passed:], block]), self._start + passed


def open_windows(path: Path, settings: FeatureSettings) -> Windows:
    """The half seconds of a sound file, or of a video's sound.

    Raises:
        MediaError: it cannot be read; once the reading has come to the fault.
    """
    return Windows(sound_blocks(path, settings.sample_rate, BLOCK), settings)
