"""Signal processing: short-time Fourier transform, mel filters and their inversion, and Griffin-Lim.

Shapes: `...` any leading dimensions, B items, M mel bands (128), F frequencies (1 + n_fft / 2), T frames (44), L
samples (22,050).
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from cmcgan_core.features.settings import FeatureSettings


@lru_cache(maxsize=8)
def mel_filter_bank(settings: FeatureSettings) -> Tensor:
    """Return triangular mel filters (M, F) from 0 Hz to half the sample rate, on the slaney scale and with unit area.

    A test compares them with `librosa.filters.mel`. They are computed here so that `prepare` and `generate` do not have
    to import librosa or torchaudio for LMS.
    """
    nyquist = settings.sample_rate / 2
    frequencies = torch.linspace(0, nyquist, settings.n_fft // 2 + 1, dtype=torch.float64)
    edges = _mel_to_hz(torch.linspace(0, _hz_to_mel(nyquist), settings.bins + 2, dtype=torch.float64))
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequencies - lower) / (centre - lower)
    falling = (upper - frequencies) / (upper - centre)
    triangles = torch.minimum(rising, falling).clamp_min(0)
    return (triangles * 2 / (upper - lower)).float()


def invert_mel(mel_power: Tensor, filters: Tensor, rounds: int = 60) -> Tensor:
    """Estimate the power spectrum (B, F, T), non-negative, from mel power (B, M, T) by multiplicative updates.

    The updates (Lee and Seung's rule) minimise the Kullback-Leibler divergence between the given mel power and that of
    the estimate.

    Args:
        mel_power: mel power (B, M, T).
        filters: mel filters (M, F), as from `mel_filter_bank`.
        rounds: number of updates.
    """
    mel_power = mel_power.clamp_min(1e-10)
    filter_sums = filters.sum(0)[:, None].clamp_min(1e-12)
    power = filters.T @ (mel_power / filters.square().sum(1)[:, None])
    power = power.clamp_min(1e-12)
    for _ in range(rounds):
        power = power * (filters.T @ (mel_power / (filters @ power).clamp_min(1e-12))) / filter_sums
    return power


def draw_phases(shape: tuple[int, ...], rngs: Sequence[torch.Generator | None]) -> Tensor:
    """Draw initial phases for `griffin_lim`, uniform in [0, 2 pi).

    They are drawn on the CPU, so that all devices start from the same phases.

    Args:
        shape: the shape of one item, (F, T).
        rngs: the random number generator of each item; None is torch's default.

    Returns:
        Phases (B, F, T) in radians.
    """
    return torch.stack([torch.rand(shape, generator=rng) for rng in rngs]) * 2 * torch.pi


def mel_to_magnitudes(spectrograms: Tensor, settings: FeatureSettings) -> Tensor:
    """Estimate the magnitudes (B, F, T) of a short-time spectrum from mel power in decibels (B, M, T)."""
    return invert_mel(10 ** (spectrograms / 10), mel_filter_bank(settings).to(spectrograms.device)).sqrt()


def griffin_lim(
    magnitude: Tensor,
    settings: FeatureSettings,
    *,
    phases: Tensor,
    samples: int | None = None,
    known: Tensor | None = None,
    rounds: int = 32,
    momentum: float = 0.99,
) -> Tensor:
    """Find a waveform (B, samples) whose short-time spectrum has the given magnitudes.

    Source: Perraudin, Balazs and Søndergaard, "A fast Griffin-Lim algorithm" (WASPAA 2013).

    Args:
        magnitude: amplitudes, not power, (B, F, T).
        settings: settings of the short-time spectrum.
        phases: initial phases (B, F, T) in radians.
        samples: length of the waveform; by default that of one chunk.
        known: the first samples of the waveform (B, K), if they are known. Each round restores them, so that the rest
            continues them. The start of the result is close to them, but not equal.
        rounds: number of alternations between waveform and spectrum.
        momentum: weight of the previous round; 0 is the original Griffin-Lim algorithm.
    """
    samples = settings.samples if samples is None else samples
    spectrum = torch.polar(magnitude, phases.to(magnitude.device))
    previous = torch.zeros_like(spectrum)
    for _ in range(rounds):
        waveform = _istft(spectrum, settings, samples)
        if known is not None:
            waveform[:, : known.shape[1]] = known
        rebuilt = stft(waveform, settings)
        accelerated = rebuilt - momentum / (1 + momentum) * previous
        spectrum = magnitude * accelerated / accelerated.abs().clamp_min(1e-16)
        previous = rebuilt
    return _istft(spectrum, settings, samples)


def stft(waveform: Tensor, settings: FeatureSettings) -> Tensor:
    """Return the complex short-time spectrum (..., F, T) of a waveform (..., L), with a Hann window."""
    flat = waveform.reshape(-1, waveform.shape[-1])
    spectrum = torch.stft(
        flat,
        settings.n_fft,
        settings.hop_length,
        window=_window(settings, waveform.device),
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.reshape(*waveform.shape[:-1], *spectrum.shape[-2:])


def _istft(spectrum: Tensor, settings: FeatureSettings, samples: int) -> Tensor:
    """Return the waveform (B, samples) of a complex short-time spectrum (B, F, T)."""
    # Store each frame contiguously. With other memory layouts the rounding of the transform depends on the batch size.
    spectrum = spectrum.mT.contiguous().mT
    return torch.istft(
        spectrum, settings.n_fft, settings.hop_length, window=_window(settings, spectrum.device), length=samples
    )


def _window(settings: FeatureSettings, device: torch.device) -> Tensor:
    return torch.hann_window(settings.n_fft, device=device)


def _hz_to_mel(hz: float) -> float:
    """Convert Hz to mel on Slaney's scale: linear below 1 kHz (3 mel = 200 Hz), then 27 mel for a factor of 6.4."""
    if hz < 1000:
        return hz * 3 / 200
    return 15 + 27 * float(torch.tensor(hz / 1000, dtype=torch.float64).log() / _LOG_6_4)


def _mel_to_hz(mel: Tensor) -> Tensor:
    """Convert mel to Hz; the inverse of `_hz_to_mel`."""
    return torch.where(mel < 15, mel * 200 / 3, 1000 * ((mel - 15) / 27 * _LOG_6_4).exp())


_LOG_6_4 = torch.tensor(6.4, dtype=torch.float64).log()
