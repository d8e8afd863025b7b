import pytest
import torch

from cmcgan_core.features.representations import analyse, synthesise
from cmcgan_core.features.scaling import (
    resize,
    scale_pictures,
    scale_spectrograms,
    unscale_pictures,
    unscale_spectrograms,
)
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.features.spectrum import mel_filter_bank

SETTINGS = FeatureSettings()


def tones(count: int = 3) -> torch.Tensor:
    """Harmonic tones with a little noise, (count, L)."""
    rng = torch.Generator().manual_seed(0)
    time = torch.arange(SETTINGS.samples) / SETTINGS.sample_rate
    pitches = 110.0 * 2 ** torch.arange(count)[:, None]
    sound = sum(torch.sin(2 * torch.pi * pitches * k * time) / k for k in range(1, 9)) * 0.1
    return sound + 0.001 * torch.randn(count, SETTINGS.samples, generator=rng)


def test_a_chunk_becomes_the_papers_128_by_44() -> None:
    assert analyse(tones(2), SETTINGS).shape == (2, 128, 44)


def test_log_mel_equals_librosas_defaults() -> None:
    librosa = pytest.importorskip("librosa")
    sound = tones(1)[0]
    mel = librosa.feature.melspectrogram(y=sound.numpy(), sr=44_100)
    expected = torch.from_numpy(librosa.power_to_db(mel, top_db=None))
    assert float((analyse(sound, SETTINGS) - expected).abs().max()) < 0.01
    filters = torch.from_numpy(librosa.filters.mel(sr=44_100, n_fft=2048, bins=128))
    torch.testing.assert_close(mel_filter_bank(SETTINGS), filters, atol=1e-7, rtol=1e-5)


def test_sound_survives_the_way_there_and_back() -> None:
    levels = analyse(tones(), SETTINGS)
    again = analyse(synthesise(levels, SETTINGS, torch.Generator().manual_seed(0)), SETTINGS)
    error = (scale_spectrograms(again, SETTINGS) - scale_spectrograms(levels, SETTINGS)).abs().mean() * 55
    assert float(error) < 2.0  # decibels


def test_synthesis_repeats_with_its_seed() -> None:
    levels = analyse(tones(1), SETTINGS)
    first, second, other = (synthesise(levels, SETTINGS, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_with_a_generator_each_items_are_made_alike_in_any_company() -> None:
    levels = analyse(tones(9), SETTINGS)
    together = synthesise(levels, SETTINGS, [torch.Generator().manual_seed(i) for i in range(9)])
    exclusive_lock = [synthesise(one[None], SETTINGS, torch.Generator().manual_seed(i)) for i, one in enumerate(levels)]
    assert torch.equal(together, torch.cat(exclusive_lock))


def test_loudness_survives_scaling() -> None:
    levels = analyse(tones(), SETTINGS)
    inside = levels.clamp(SETTINGS.min_level, SETTINGS.max_level)
    torch.testing.assert_close(
        unscale_spectrograms(scale_spectrograms(levels, SETTINGS), SETTINGS), inside, atol=1e-4, rtol=0
    )
    quieter = analyse(tones() / 10, SETTINGS)
    loud = levels > SETTINGS.min_level + 25
    assert float((levels - quieter)[loud].mean()) == pytest.approx(20, abs=0.01)


def test_44_frames_to_32_and_back_keep_the_picture() -> None:
    levels = analyse(tones(), SETTINGS)[:, None]
    again = resize(resize(levels, (128, 32)), (128, 44))
    assert float((again - levels).abs().mean()) < 1.5


def test_pictures_survive_scaling() -> None:
    pictures = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(-1, -1, -1, 3)
    scaled = scale_pictures(pictures)
    assert (float(scaled.min()), float(scaled.max())) == (-1.0, 1.0)
    assert torch.equal(unscale_pictures(scaled), pictures)
