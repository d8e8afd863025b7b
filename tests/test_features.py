"""Spectrograms and pictures survive the conversion to network inputs and back."""

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


def test_a_chunk_becomes_the_128_by_44_of_the_paper() -> None:
    assert analyse(tones(2), SETTINGS).shape == (2, 128, 44)


def test_log_mel_equals_librosas_defaults() -> None:
    librosa = pytest.importorskip("librosa")
    sound = tones(1)[0]
    mel = librosa.feature.melspectrogram(y=sound.numpy(), sr=44_100)
    expected = torch.from_numpy(librosa.power_to_db(mel, top_db=None))
    assert float((analyse(sound, SETTINGS) - expected).abs().max()) < 0.01
    filters = torch.from_numpy(librosa.filters.mel(sr=44_100, n_fft=2048, n_mels=128))
    torch.testing.assert_close(mel_filter_bank(SETTINGS), filters, atol=1e-7, rtol=1e-5)


def test_synthesis_and_analysis_keep_the_spectrogram() -> None:
    spectrograms = analyse(tones(), SETTINGS)
    again = analyse(synthesise(spectrograms, SETTINGS, torch.Generator().manual_seed(0)), SETTINGS)
    error = (scale_spectrograms(again, SETTINGS) - scale_spectrograms(spectrograms, SETTINGS)).abs().mean() * 55
    assert float(error) < 2.0  # decibels


def test_the_same_seed_gives_the_same_waveform() -> None:
    spectrograms = analyse(tones(1), SETTINGS)
    first, second, other = (synthesise(spectrograms, SETTINGS, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_with_one_rng_per_item_a_waveform_does_not_depend_on_the_batch() -> None:
    spectrograms = analyse(tones(9), SETTINGS)
    together = synthesise(spectrograms, SETTINGS, [torch.Generator().manual_seed(i) for i in range(9)])
    separate = [
        synthesise(spectrogram[None], SETTINGS, torch.Generator().manual_seed(i))
        for i, spectrogram in enumerate(spectrograms)
    ]
    assert torch.equal(together, torch.cat(separate))


def test_loudness_survives_scaling() -> None:
    spectrograms = analyse(tones(), SETTINGS)
    inside = spectrograms.clamp(SETTINGS.min_level, SETTINGS.max_level)
    again = unscale_spectrograms(scale_spectrograms(spectrograms, SETTINGS), SETTINGS)
    torch.testing.assert_close(again, inside, atol=1e-4, rtol=0)
    quieter = analyse(tones() / 10, SETTINGS)
    loud = spectrograms > SETTINGS.min_level + 25
    assert float((spectrograms - quieter)[loud].mean()) == pytest.approx(20, abs=0.01)


def test_resizing_44_frames_to_32_and_back_keeps_the_spectrogram() -> None:
    spectrograms = analyse(tones(), SETTINGS)[:, None]
    again = resize(resize(spectrograms, (128, 32)), (128, 44))
    assert float((again - spectrograms).abs().mean()) < 1.5


def test_pictures_survive_scaling() -> None:
    pictures = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(-1, -1, -1, 3)
    scaled = scale_pictures(pictures)
    assert (float(scaled.min()), float(scaled.max())) == (-1.0, 1.0)
    assert torch.equal(unscale_pictures(scaled), pictures)
