"""Long sounds are stitched from the spectrograms of their half seconds without clicks, gaps or drift."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cmcgan_core.errors import ConfigError
from cmcgan_core.features import stitch as stitching
from cmcgan_core.features.representations import analyse
from cmcgan_core.features.scaling import scale_spectrograms, unscale_spectrograms
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.features.stitch import blend_chunks, stitch

SETTINGS = FeatureSettings()
RATE = SETTINGS.sample_rate


@pytest.fixture(autouse=True)
def _short_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use sections of 1.4 seconds, so that a few seconds have several of them."""
    monkeypatch.setattr(stitching, "SECTION", 120)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def melody(seconds: float) -> torch.Tensor:
    """Harmonic tones that change every 0.7 seconds, with a little noise, (L,)."""
    time = torch.arange(round(seconds * RATE)) / RATE
    pitch = torch.tensor([220.0, 330.0, 277.2, 440.0, 247.0])[(time / 0.7).long() % 5]
    phase = torch.cumsum(2 * torch.pi * pitch / RATE, 0)
    return sum(torch.sin(phase * k) / k for k in range(1, 9)) * 0.1 + 0.001 * torch.randn(len(time), generator=seeded())


def cut(waveform: torch.Tensor, every: float = 0.5) -> Iterator[tuple[float, torch.Tensor]]:
    """The half seconds of a waveform, as the argument of `stitch`."""
    start = 0.0
    while round(start * RATE) + SETTINGS.samples <= len(waveform):
        first = round(start * RATE)
        yield start, clipped(waveform[first : first + SETTINGS.samples])
        start += every


def clipped(waveform: torch.Tensor) -> torch.Tensor:
    """The spectrogram (M, T) of a waveform in decibels, clipped to the range of the networks."""
    return unscale_spectrograms(scale_spectrograms(analyse(waveform, SETTINGS), SETTINGS), SETTINGS)


def whole(blocks: Iterator[NDArray[np.float32]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(list(blocks)))


@pytest.mark.parametrize("every", [0.5, 0.25])
def test_half_seconds_are_stitched_to_the_original_sound(every: float) -> None:
    sound = melody(4.0)
    again = whole(stitch(cut(sound, every), SETTINGS, 4.0, seeded()))
    assert len(again) == len(sound)
    assert float((clipped(again) - clipped(sound)).abs().mean()) < 2.0  # decibels


def test_joins_do_not_click() -> None:
    waveform = whole(stitch(cut(melody(4.0)), SETTINGS, 4.0, seeded()))
    steps = (waveform[1:] - waveform[:-1]).abs()
    joins = [SETTINGS.samples * k for k in range(1, 8)]
    seams = [(k * (120 - stitching.SHARED) + stitching.KNOWN) * SETTINGS.hop_length for k in range(1, 4)]
    for places in (joins, seams):
        at_joins = torch.cat([steps[place - 4 : place + 4] for place in places]).mean()
        near = torch.cat([steps[place - 1000 : place + 1000] for place in places]).mean()
        assert float(at_joins / near) < 1.5


def test_sections_are_as_accurate_as_a_single_griffin_lim(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks, wanted = list(cut(melody(4.0))), clipped(melody(4.0))
    errors = []
    for section in (120, 1000):
        monkeypatch.setattr(stitching, "SECTION", section)
        errors.append(float((clipped(whole(stitch(chunks, SETTINGS, 4.0, seeded()))) - wanted).abs().mean()))
    assert errors[0] < errors[1] + 0.1


def test_frames_keep_their_time_in_a_long_sound() -> None:
    """0.5 s is 43.07 frames: with 43 frames each, the chunks of a minute would end 8 frames (0.1 s) early."""
    chunks = ((k / 2, torch.full((128, 44), -20.0 if k == 119 else -60.0)) for k in range(120))
    spectrogram = torch.cat(list(blend_chunks(chunks, SETTINGS, 5169)), dim=1)
    assert spectrogram.shape == (128, 5169)
    assert int((spectrogram[0] > -40).nonzero()[0]) == -(-119 * SETTINGS.samples // SETTINGS.hop_length)


def test_neighbours_are_cross_faded_over_three_frames() -> None:
    chunks = [(0.0, torch.full((128, 44), -20.0)), (0.5, torch.full((128, 44), -40.0))]
    spectrogram = torch.cat(list(blend_chunks(chunks, SETTINGS, 80)), dim=1)[0]
    # The join is at frame 43.066; a frame d later has gone (d + 1.5) / 3 of the way.
    expected = [-20.0, -20 - 20 * (0.434 / 3), -20 - 20 * (1.434 / 3), -20 - 20 * (2.434 / 3), -40.0]
    assert spectrogram[41:46].tolist() == pytest.approx(expected, abs=0.02)


def test_the_zeros_beyond_a_chunk_add_no_noise() -> None:
    """A window that reaches beyond a chunk contains a click at its end, loud in the upper half of the bands."""
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(3 * RATE) / RATE) * 0.3
    spectrogram = torch.cat(list(blend_chunks(cut(tone), SETTINGS, 258)), dim=1)
    assert float(clipped(tone[: SETTINGS.samples])[64:, 0].max()) > -40
    assert float(spectrogram[64:].max()) < -50


def test_gaps_are_silent() -> None:
    (_, first), *_, (_, last) = cut(melody(1.5))
    sound = whole(stitch([(0.2, first), (2.0, last)], SETTINGS, 3.0, seeded()))
    loud = sound.abs().unfold(0, 4410, 4410).amax(dim=1) > 1e-3  # every 0.1 s
    assert loud.tolist() == [False] + [True] * 7 + [False] * 11 + [True] * 7 + [False] * 4
    assert not whole(stitch([], SETTINGS, 0.3, seeded())).abs().gt(1e-3).any()


def test_chunks_beyond_the_end_are_cut_off() -> None:
    assert len(whole(stitch(cut(melody(2.0)), SETTINGS, 1.234, seeded()))) == round(1.234 * RATE)
    assert list(stitch(cut(melody(1.0)), SETTINGS, 0.0, seeded())) == []


def test_the_same_seed_gives_the_same_waveform() -> None:
    first, second, other = (whole(stitch(cut(melody(1.0)), SETTINGS, 1.0, seeded(seed))) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_chunks_are_read_only_as_they_are_needed() -> None:
    read: list[float] = []
    level = torch.full((128, 44), -30.0)
    chunks = (read.append(k / 2) or (k / 2, level) for k in range(12))  # type: ignore[func-returns-value]
    counts = [len(read) for _ in stitch(chunks, SETTINGS, 6.0, seeded())]
    assert counts[0] <= 7
    assert all(after - before <= 4 for before, after in pairwise(counts))


def test_a_chunk_out_of_order_is_refused() -> None:
    level = torch.zeros(128, 44)
    with pytest.raises(ValueError, match=r"0\.5 s comes after later ones"):
        list(stitch([(5.0, level), (0.5, level)], SETTINGS, 6.0, seeded()))


def test_other_representations_are_refused() -> None:
    with pytest.raises(ConfigError, match="lms spectrograms only, not from chroma"):
        stitch([], FeatureSettings(representation="chroma"), 1.0, seeded())
