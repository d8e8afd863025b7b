"""Measure and set the level of sounds, whole or block by block.

The level of a sound is the root mean square over its half seconds that are not silent, in dBFS. So a pause does not
lower it.
"""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.media.files import SILENT_DBFS, loudness

#: Default level of generated sounds, in dBFS.
LOUDNESS = -20.0
#: Highest peak after a level is set: 1 dB below full scale, because lossy codecs can raise peaks a little.
PEAK = 10 ** (-1 / 20)
#: Length in seconds of the parts that count as silent or not.
PART_SECONDS = 0.5


class LevelMeter:
    """Measures the level and the peak of a sound that is given block by block.

    Args:
        sample_rate: sample rate of the sound, Hz.

    Attributes:
        peak: largest absolute sample so far.
    """

    def __init__(self, sample_rate: int) -> None:
        self.peak = 0.0
        self._part = round(PART_SECONDS * sample_rate)
        self._rest = np.zeros(0, np.float32)  # the samples after the last complete part
        self._energy, self._samples = 0.0, 0  # of the complete parts that are not silent

    def add(self, block: NDArray[np.float32]) -> None:
        """Add the next block (n,)."""
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        samples = np.concatenate([self._rest, block])
        complete = len(samples) // self._part * self._part
        for part in samples[:complete].reshape(-1, self._part):
            self._energy, self._samples = self._with(part)
        self._rest = samples[complete:]

    def gain(self, dbfs: float | None) -> float:
        """Return the factor that brings the sound to a level without a peak above `PEAK`; for silence it is 1.

        Args:
            dbfs: the level in dBFS; None keeps the level.
        """
        energy, samples = self._with(self._rest) if len(self._rest) else (self._energy, self._samples)
        if not samples:
            return 1.0
        wanted = 1.0 if dbfs is None else 10 ** (dbfs / 20) / (energy / samples) ** 0.5
        return min(wanted, PEAK / self.peak)

    def _with(self, part: NDArray[np.float32]) -> tuple[float, int]:
        """Return energy and number of samples, with those of a part (n,) unless it is silent."""
        if loudness(part) < SILENT_DBFS:
            return self._energy, self._samples
        return self._energy + float(np.square(part, dtype=np.float64).sum()), self._samples + len(part)


def set_level(sound: NDArray[np.float32], sample_rate: int, dbfs: float | None = LOUDNESS) -> NDArray[np.float32]:
    """Scale a waveform (L,) to a level in dBFS, or to a lower one if a peak would exceed `PEAK`.

    Silence is not changed. None as the level scales only a sound whose peak exceeds `PEAK`.
    """
    meter = LevelMeter(sample_rate)
    meter.add(sound)
    return sound * np.float32(meter.gain(dbfs))


def set_level_of_blocks(
    blocks: Iterable[NDArray[np.float32]], sample_rate: int, dbfs: float | None, folder: Path
) -> Iterator[NDArray[np.float32]]:
    """Scale a sound as `set_level` does, in memory that does not grow with its length.

    The gain depends on the whole sound. So the blocks are kept in a temporary file before the first one is yielded.

    Args:
        blocks: the sound, as consecutive blocks (n,).
        sample_rate: sample rate of the sound, Hz.
        dbfs: the level in dBFS; None keeps the level.
        folder: an existing folder for the temporary file, which takes four bytes for each sample.
    """
    meter = LevelMeter(sample_rate)
    with tempfile.TemporaryFile(dir=folder) as file:
        lengths = []
        for block in blocks:
            meter.add(block)
            lengths.append(len(block))
            file.write(block.astype(np.float32).tobytes())
        gain = np.float32(meter.gain(dbfs))
        file.seek(0)
        for length in lengths:
            yield np.frombuffer(file.read(4 * length), np.float32) * gain
