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
    """Sections of 1.4 seconds, so that a few seconds have several."""
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
    """The half seconds of a waveform, as `stitch` takes them."""
    start = 0.0
    while round(start * RATE) + SETTINGS.samples <= len(waveform):
        first = round(start * RATE)
        yield start, heard(waveform[first : first + SETTINGS.samples])
        start += every


def heard(waveform: torch.Tensor) -> torch.Tensor:
    """Levels (M, T) in decibels, clipped as a network sees them."""
    return unscale_spectrograms(scale_spectrograms(analyse(waveform, SETTINGS), SETTINGS), SETTINGS)


def whole(blocks: Iterator[NDArray[np.float32]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(list(blocks)))


@pytest.mark.parametrize("every", [0.5, 0.25])
def test_a_long_sound_comes_back_out_of_its_half_seconds(every: float) -> None:
    sound = melody(4.0)
    again = whole(stitch(cut(sound, every), SETTINGS, 4.0, seeded()))
    assert len(again) == len(sound)
    assert float((heard(again) - heard(sound)).abs().mean()) < 2.0  # decibels


def test_joins_do_not_click() -> None:
    made = whole(stitch(cut(melody(4.0)), SETTINGS, 4.0, seeded()))
    steps = (made[1:] - made[:-1]).abs()
    joins = [SETTINGS.samples * k for k in range(1, 8)]
    seams = [(k * (120 - stitching.SHARED) + stitching.KNOWN) * SETTINGS.hop_length for k in range(1, 4)]
    for places in (joins, seams):
        there = torch.cat([steps[place - 4 : place + 4] for place in places]).mean()
        near = torch.cat([steps[place - 1000 : place + 1000] for place in places]).mean()
        assert float(there / near) < 1.5


def test_sections_are_as_near_to_the_levels_as_one_griffin_lim(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks, wanted = list(cut(melody(4.0))), heard(melody(4.0))
    errors = []
    for section in (120, 1000):
        monkeypatch.setattr(stitching, "SECTION", section)
        errors.append(float((heard(whole(stitch(chunks, SETTINGS, 4.0, seeded()))) - wanted).abs().mean()))
    assert errors[0] < errors[1] + 0.1


def test_frames_lie_at_their_own_time_however_far_on() -> None:
    """0.5 s is 43.07 frames: laid end to end, the chunks of a minute would be 8 frames (0.1 s) early."""
    chunks = ((k / 2, torch.full((128, 44), -20.0 if k == 119 else -60.0)) for k in range(120))
    levels = torch.cat(list(blend_chunks(chunks, SETTINGS, 5169)), dim=1)
    assert levels.shape == (128, 5169)
    assert int((levels[0] > -40).nonzero()[0]) == -(-119 * SETTINGS.samples // SETTINGS.hop_length)


def test_neighbours_go_over_into_each_other_within_three_frames() -> None:
    chunks = [(0.0, torch.full((128, 44), -20.0)), (0.5, torch.full((128, 44), -40.0))]
    levels = torch.cat(list(blend_chunks(chunks, SETTINGS, 80)), dim=1)[0]
    # The join is at frame 43.066; a frame d later has gone (d + 1.5) / 3 of the way.
    expected = [-20.0, -20 - 20 * (0.434 / 3), -20 - 20 * (1.434 / 3), -20 - 20 * (2.434 / 3), -40.0]
    assert levels[41:46].tolist() == pytest.approx(expected, abs=0.02)


def test_the_zeros_beyond_a_chunk_are_not_heard() -> None:
    """Windows that reach beyond a chunk see its end as a click, loud in the upper half of the bands."""
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(3 * RATE) / RATE) * 0.3
    levels = torch.cat(list(blend_chunks(cut(tone), SETTINGS, 258)), dim=1)
    assert float(heard(tone[: SETTINGS.samples])[64:, 0].max()) > -40
    assert float(levels[64:].max()) < -50


def test_holes_are_silent() -> None:
    (_, first), *_, (_, last) = cut(melody(1.5))
    sound = whole(stitch([(0.2, first), (2.0, last)], SETTINGS, 3.0, seeded()))
    loud = sound.abs().unfold(0, 4410, 4410).amax(dim=1) > 1e-3  # every 0.1 s
    assert loud.tolist() == [False] + [True] * 7 + [False] * 11 + [True] * 7 + [False] * 4
    assert not whole(stitch([], SETTINGS, 0.3, seeded())).abs().gt(1e-3).any()


def test_what_reaches_beyond_the_end_is_cut() -> None:
    assert len(whole(stitch(cut(melody(2.0)), SETTINGS, 1.234, seeded()))) == round(1.234 * RATE)
    assert list(stitch(cut(melody(1.0)), SETTINGS, 0.0, seeded())) == []


def test_a_seed_repeats_its_waveform() -> None:
    first, second, other = (whole(stitch(cut(melody(1.0)), SETTINGS, 1.0, seeded(seed))) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_no_more_than_a_section_is_held() -> None:
    read: list[float] = []
    level = torch.full((128, 44), -30.0)
    chunks = (read.append(k / 2) or (k / 2, level) for k in range(12))  # type: ignore[func-returns-value]
    asked = [len(read) for _ in stitch(chunks, SETTINGS, 6.0, seeded())]
    assert asked[0] <= 7
    assert all(after - before <= 4 for before, after in pairwise(asked))


def test_a_chunk_that_comes_too_late_is_named() -> None:
    level = torch.zeros(128, 44)
    with pytest.raises(ValueError, match=r"0\.5 s comes after later ones"):
        list(stitch([(5.0, level), (0.5, level)], SETTINGS, 6.0, seeded()))


def test_other_representations_are_refused() -> None:
    with pytest.raises(ConfigError, match="lms spectrograms only, not from chroma"):
        stitch([], FeatureSettings(representation="chroma"), 1.0, seeded())
