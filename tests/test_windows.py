import numpy as np
import pytest
from numpy.typing import NDArray

from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.windows import Windows

#: Half a second is 50 samples.
SETTINGS = FeatureSettings(sample_rate=100)


def windows(sound: NDArray[np.float32], block: int) -> Windows:
    return Windows(iter(np.split(sound, range(block, len(sound), block))), SETTINGS)


@pytest.mark.parametrize("block", [7, 50, 64, 1000])
def test_a_window_begins_at_its_time(block: int) -> None:
    sound = np.arange(333, dtype=np.float32)
    reader = windows(sound, block)
    for first in (0, 0, 13, 40, 133, 134, 283):
        assert np.array_equal(reader.at(first / 100), sound[first : first + 50])
    for late in (2.9, 3.32):
        assert np.array_equal(reader.at(late), sound[-50:])
    assert reader.at(3.33) is None
    assert reader.seconds == 3.33


def test_a_short_sound_is_padded_with_silence() -> None:
    reader = windows(np.ones(20, np.float32), 8)
    assert np.array_equal(reader.at(0.1), np.repeat([1, 0], [20, 30]))
    assert reader.at(0.2) is None


def test_old_samples_are_not_kept() -> None:
    reader = Windows((np.zeros(100, np.float32) for _ in range(1000)), SETTINGS)
    for second in range(1000):
        assert reader.at(second) is not None
        assert len(reader._kept) <= 300


@pytest.mark.parametrize("length", [20, 50, 333])
def test_the_loudest_window_is_found(length: int) -> None:
    sound = np.random.default_rng(0).normal(size=length).astype(np.float32)
    sound[length // 2 : length // 2 + 10] *= 20
    starts = range(0, max(1, length - 49), 10)
    energies = [np.square(sound[s : s + 50], dtype=np.float64).sum() for s in starts]
    best = sound[starts[int(np.argmax(energies))] :][:50]
    loudest = windows(sound, 64).loudest()
    assert np.array_equal(loudest[: len(best)], best)
    assert not loudest[len(best) :].any()


@pytest.mark.parametrize("second", [-1.0, float("nan")])
def test_there_is_nothing_before_the_start(second: float) -> None:
    assert windows(np.ones(200, np.float32), 64).at(second) is None
