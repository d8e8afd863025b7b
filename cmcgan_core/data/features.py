"""Waveform to log-mel and back, pictures to [-1, 1] and back.

Shapes: `...` any leading dimensions, M mel bands (128), T frames (44), L samples (22,050), S picture side (128).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from cmcgan_core.data.representations import Cqt, MelSpectrum, Mfcc, Stft
from cmcgan_core.errors import ConfigError
from cmcgan_core.registry import Registry


@dataclass(frozen=True)
class FeatureSettings:
    """How a pair was made from 0.5 s of sound and a frame; kept in every dataset and every checkpoint.

    Source: CMCGAN section "Four Subnetworks" (LMS of 128 x 44); the window is open there, see `docs/reproduction.md`.

    Attributes:
        representation: name of the audio representation in `REPRESENTATIONS`.
        sample_rate: Hz.
        seconds: length of a chunk.
        n_fft: samples of a window.
        hop_length: samples between windows; 512 at 44.1 kHz gives the paper's 44 frames.
        n_mels: mel bands; of another representation its rows, whatever they are.
        min_db: level that becomes -1; what is below is clipped. In decibels, or what the representation has instead.
        max_db: level that becomes 1. A fixed range, not one per chunk, so that loudness survives.
        picture_size: side of the stored pictures, pixels.
    """

    representation: str = "lms"
    sample_rate: int = 44_100
    seconds: float = 0.5
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    min_db: float = -80.0
    max_db: float = 30.0
    picture_size: int = 128

    @property
    def samples(self) -> int:
        """Samples of a chunk (22,050)."""
        return round(self.sample_rate * self.seconds)

    @property
    def frames(self) -> int:
        """Frames of a chunk's spectrogram (44)."""
        return 1 + self.samples // self.hop_length


#: Who draws what is random in a waveform: one for a whole batch, one for each item, or torch's own.
Generators = torch.Generator | Sequence[torch.Generator] | None


class Representation(Protocol):
    """A picture of sound: analysed from a waveform and, where it has a method `synthesise`, turned back into one.

    Attributes:
        defaults: settings in which it differs from the defaults of `FeatureSettings`.
        decibels: whether its values are decibels.
    """

    @property
    def defaults(self) -> Mapping[str, Any]:
        """See above."""

    @property
    def decibels(self) -> bool:
        """See above."""

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Waveform (..., L) to its representation (..., M, T)."""


class Invertible(Representation, Protocol):
    """One that can be turned back."""

    def synthesise(self, levels: Tensor, settings: FeatureSettings, generator: Generators) -> Tensor:
        """Representation (B, M, T) to a waveform (B, L)."""


class LogMel:
    """LMS, the log-amplitude mel spectrum of both papers; equal to librosa's defaults (slaney scale and norm)."""

    defaults: ClassVar[Mapping[str, Any]] = {}
    decibels = True

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Waveform (..., L) in [-1, 1] to mel power in decibels (..., M, T), floored at -100 dB."""
        power = _spectrum(waveform, settings).abs().square()
        mel = mel_filter_bank(settings).to(waveform.device) @ power
        return 10 * mel.clamp_min(1e-10).log10()

    def synthesise(self, levels: Tensor, settings: FeatureSettings, generator: Generators = None) -> Tensor:
        """Mel power in decibels (B, M, T) to a waveform (B, L) by mel inversion and fast Griffin-Lim.

        Args:
            levels: as `analyse` returns.
            settings: those that the levels were made with.
            generator: draws the first phases, one for all items or one for each; the same states give the same
                waveforms. With one for each, an item's phases do not depend on how many others there are.
        """
        generators = list(generator) if isinstance(generator, Sequence) else [generator] * len(levels)
        phases = draw_phases((settings.n_fft // 2 + 1, levels.shape[-1]), generators)
        # Batches of 8 stay in the CPU's cache: a quarter of the time of one batch of 100.
        parts = zip(torch.split(levels, 8), torch.split(phases, 8), strict=True)
        return torch.cat([griffin_lim(magnitudes(part, settings), settings, phases=first) for part, first in parts])


#: Audio representations by name; plugins add to them.
REPRESENTATIONS: Registry[Representation] = Registry(
    "cmcgan.representations", {"lms": LogMel(), "ms": MelSpectrum(), "cqt": Cqt(), "mfcc": Mfcc(), "stft": Stft()}
)


def settings_of(representation: str) -> FeatureSettings:
    """The settings that a representation has by default.

    Raises:
        PluginError: nobody provides it.
    """
    return replace(FeatureSettings(representation), **REPRESENTATIONS.get(representation).defaults)


def analyse(waveform: Tensor, settings: FeatureSettings) -> Tensor:
    """Waveform (..., L) to levels (..., M, T) in decibels, by the representation that the settings name."""
    return REPRESENTATIONS.get(settings.representation).analyse(waveform, settings)


def synthesise(levels: Tensor, settings: FeatureSettings, generator: Generators = None) -> Tensor:
    """Levels (B, M, T) in decibels to a waveform (B, L), by the representation that the settings name.

    Raises:
        ConfigError: there is no way back from it to sound.
    """
    representation = REPRESENTATIONS.get(settings.representation)
    if not hasattr(representation, "synthesise"):
        raise ConfigError(f"{settings.representation} spectrograms cannot be turned back into sound; name a run that "
                          "was trained on another representation (cmcgan prepare --representation lms)")  # fmt: skip
    return cast("Invertible", representation).synthesise(levels, settings, generator)


def scale_levels(levels: Tensor, settings: FeatureSettings) -> Tensor:
    """Decibels to [-1, 1], clipped at `min_db` and `max_db`."""
    return ((levels - settings.min_db) / (settings.max_db - settings.min_db) * 2 - 1).clamp(-1, 1)


def unscale_levels(scaled: Tensor, settings: FeatureSettings) -> Tensor:
    """[-1, 1] to decibels; the inverse of `scale_levels` but for what it clipped."""
    return (scaled + 1) / 2 * (settings.max_db - settings.min_db) + settings.min_db


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, antialiased resize of (B, C, H, W) to `size`; the same tensor where it has that size already.

    The papers resize 44 frames to 32 so that seven strides of two fit (CMCGAN, "Audio-to-Visual subnetwork").
    """
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", antialias=True, align_corners=False)


def scale_pictures(pictures: Tensor) -> Tensor:
    """Pictures uint8 (B, S, S, 3) to float (B, 3, S, S) in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def unscale_pictures(scaled: Tensor) -> Tensor:
    """Float (B, 3, S, S) in [-1, 1] to pictures uint8 (B, S, S, 3)."""
    return ((scaled + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)


@lru_cache(maxsize=8)
def mel_filter_bank(settings: FeatureSettings) -> Tensor:
    """Triangular mel filters (M, 1 + n_fft / 2) from 0 Hz to half the sample rate; slaney scale, unit area.

    Equal to `librosa.filters.mel` (a test); own code so that neither librosa nor torchaudio is needed to train.
    """
    nyquist = settings.sample_rate / 2
    frequencies = torch.linspace(0, nyquist, settings.n_fft // 2 + 1, dtype=torch.float64)
    edges = _mel_to_hz(torch.linspace(0, _hz_to_mel(nyquist), settings.n_mels + 2, dtype=torch.float64))
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


def draw_phases(shape: tuple[int, ...], generators: Sequence[torch.Generator | None]) -> Tensor:
    """First phases (B, *shape) for `griffin_lim`, in radians: those of item i are drawn by the i-th generator.

    Drawn on the CPU, so that every device starts alike.
    """
    return torch.stack([torch.rand(shape, generator=generator) for generator in generators]) * 2 * torch.pi


def magnitudes(levels: Tensor, settings: FeatureSettings) -> Tensor:
    """Mel power in decibels (B, M, T) to the amplitudes (B, F, T) of a short-time spectrum, for `griffin_lim`."""
    return invert_mel(10 ** (levels / 10), mel_filter_bank(settings).to(levels.device)).sqrt()


def griffin_lim(magnitude: Tensor, settings: FeatureSettings, *, phases: Tensor, samples: int | None = None,
                known: Tensor | None = None, rounds: int = 32, momentum: float = 0.99) -> Tensor:  # fmt: skip
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
    spectrum = torch.stft(flat, settings.n_fft, settings.hop_length, window=_window(settings, waveform.device),
                          pad_mode="constant", return_complex=True)  # fmt: skip
    return spectrum.reshape(*waveform.shape[:-1], *spectrum.shape[-2:])


def _waveform(spectrum: Tensor, settings: FeatureSettings, samples: int) -> Tensor:
    # Each frame in one piece: other layouts let the Fourier transform round differently in batches of different sizes.
    spectrum = spectrum.mT.contiguous().mT
    return torch.istft(spectrum, settings.n_fft, settings.hop_length, window=_window(settings, spectrum.device),
                       length=samples)  # fmt: skip


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
