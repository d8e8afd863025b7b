"""Waveform to log-mel and back, pictures to [-1, 1] and back.

Shapes: `...` any leading dimensions, M mel bands (128), T frames (44), L samples (22,050), S picture side (128).
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from cmcgan_core.features.settings import FeatureSettings


@lru_cache(maxsize=8)
def mel_filter_bank(settings: FeatureSettings) -> Tensor:
    """Triangular mel filters (M, 1 + n_fft / 2) from 0 Hz to half the sample rate; slaney scale, unit area.

    Equal to `librosa.filters.mel` (a test); own code so that neither librosa nor torchaudio is needed to train.
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
    """Mel power (B, M, T) to the power spectrum (B, F, T), non-negative, by multiplicative updates.

    Minimises the Kullback-Leibler divergence between the mel power and that of the answer (Lee and Seung's rule); half
    a decibel closer than non-negative least squares and nine times cheaper (`docs/benchmarks.md`).
    """
    mel_power = mel_power.clamp_min(1e-10)
    share = filters.sum(0)[:, None].clamp_min(1e-12)
    power = filters.T @ (mel_power / filters.square().sum(1)[:, None])
    power = power.clamp_min(1e-12)
    for _ in range(rounds):
        power = power * (filters.T @ (mel_power / (filters @ power).clamp_min(1e-12))) / share
    return power


def draw_phases(shape: tuple[int, ...], rngs: Sequence[torch.Generator | None]) -> Tensor:
    """First phases (B, *shape) for `griffin_lim`, in radians: those of item i are drawn by the i-th generator.

    Drawn on the CPU, so that every device starts alike.
    """
    return torch.stack([torch.rand(shape, generator=rng) for rng in rngs]) * 2 * torch.pi


def magnitudes(levels: Tensor, settings: FeatureSettings) -> Tensor:
    """Mel power in decibels (B, M, T) to the amplitudes (B, F, T) of a short-time spectrum, for `griffin_lim`."""
    return invert_mel(10 ** (levels / 10), mel_filter_bank(settings).to(levels.device)).sqrt()


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
    """Magnitudes (B, F, T) to a waveform (B, samples) whose short-time spectrum has them.

    Source: Perraudin, Balazs and Søndergaard, "A fast Griffin-Lim algorithm" (WASPAA 2013).

    Args:
        magnitude: amplitude, not power.
        settings: those of the spectrum.
        phases: to start from, (B, F, T), in radians.
        samples: length of the waveform; that of one chunk by default.
        known: how the waveform starts, (B, K); the rest goes on from there. The answer's start is near it, not equal.
        rounds: of the alternation between waveform and spectrum.
        momentum: 0 is plain Griffin-Lim.
    """
    samples = settings.samples if samples is None else samples
    spectrum = torch.polar(magnitude, phases.to(magnitude.device))
    previous = torch.zeros_like(spectrum)
    for _ in range(rounds):
        waveform = _waveform(spectrum, settings, samples)
        if known is not None:
            waveform[:, : known.shape[1]] = known
        rebuilt = _spectrum(waveform, settings)
        ahead = rebuilt - momentum / (1 + momentum) * previous
        spectrum = magnitude * ahead / ahead.abs().clamp_min(1e-16)
        previous = rebuilt
    return _waveform(spectrum, settings, samples)


def _spectrum(waveform: Tensor, settings: FeatureSettings) -> Tensor:
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


def _waveform(spectrum: Tensor, settings: FeatureSettings, samples: int) -> Tensor:
    # Each frame in one piece: other layouts let the Fourier transform round differently in batches of different sizes.
    spectrum = spectrum.mT.contiguous().mT
    return torch.istft(
        spectrum, settings.n_fft, settings.hop_length, window=_window(settings, spectrum.device), length=samples
    )


def _window(settings: FeatureSettings, device: torch.device) -> Tensor:
    return torch.hann_window(settings.n_fft, device=device)


def _hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear below 1 kHz (3 mel = 200 Hz), then 27 mel for a factor of 6.4."""
    if hz < 1000:
        return hz * 3 / 200
    return 15 + 27 * float(torch.tensor(hz / 1000, dtype=torch.float64).log() / _LOG_6_4)


def _mel_to_hz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, mel * 200 / 3, 1000 * ((mel - 15) / 27 * _LOG_6_4).exp())


_LOG_6_4 = torch.tensor(6.4, dtype=torch.float64).log()
