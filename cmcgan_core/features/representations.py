"""Convert waveforms to spectrograms and back: the five audio representations that CMAV compares.

They are LMS, MS, CQT, MFCC and STFT. Source: Chen et al., "Deep Cross-Modal Audio-Visual Generation" (2017), Table 1;
the numbers of rows are from Figure 3. `docs/reproduction.md` lists what the paper does not state.

CQT uses librosa; MFCC and STFT use torchaudio. Both packages are imported only when they are used.

Shapes: `...` any leading dimensions, B items, M rows of the representation (`FeatureSettings.bins`), T frames (44; CQT:
173), L samples (22,050).
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol, cast

import torch
from torch import Tensor

from cmcgan_core.errors import ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.features.spectrum import draw_phases, griffin_lim, mel_filter_bank, mel_to_magnitudes, stft
from cmcgan_core.registry import Registry
from cmcgan_core.utils.packages import import_librosa, import_torchaudio

#: The smallest amplitude (-100 dB); smaller ones are raised to it.
AMPLITUDE_FLOOR = 1e-5

#: The source of random numbers for a batch: one for the whole batch, one for each item, or None for torch's default.
RngOrRngs = torch.Generator | Sequence[torch.Generator] | None


class Representation(Protocol):
    """A kind of spectrogram that can be computed from a waveform.

    A representation that can also be turned back into a waveform has a method `synthesise`, see `Invertible`.
    """

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Default settings that differ from the defaults of `FeatureSettings`, by name."""

    @property
    def decibels(self) -> bool:
        """Whether its values are decibels."""

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Return the spectrograms (..., M, T) of waveforms (..., L)."""


class Invertible(Representation, Protocol):
    """A representation that can be turned back into a waveform."""

    def synthesise(self, spectrograms: Tensor, settings: FeatureSettings, rng: RngOrRngs) -> Tensor:
        """Return waveforms (B, L) for spectrograms (B, M, T)."""


class LogMel:
    """LMS, the log-amplitude mel spectrum of both papers; equal to librosa's with its defaults (slaney scale, norm)."""

    defaults: ClassVar[Mapping[str, Any]] = {}
    decibels = True

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Return mel power in decibels (..., M, T), at least -100 dB, of waveforms (..., L) in [-1, 1]."""
        power = stft(waveform, settings).abs().square()
        mel = mel_filter_bank(settings).to(waveform.device) @ power
        return 10 * mel.clamp_min(1e-10).log10()

    def synthesise(self, spectrograms: Tensor, settings: FeatureSettings, rng: RngOrRngs = None) -> Tensor:
        """Return waveforms (B, L) for mel power in decibels (B, M, T), by mel inversion and fast Griffin-Lim.

        Args:
            spectrograms: spectrograms as `analyse` returns them.
            settings: the settings that they were computed with.
            rng: draws the initial phases; the same state gives the same waveforms. With one for each item, the
                waveform of an item does not depend on the other items of the batch.
        """
        phases = draw_phases((settings.n_fft // 2 + 1, spectrograms.shape[-1]), _rng_per_item(rng, len(spectrograms)))
        # Batches of 8 fit into the CPU's cache, which takes a quarter of the time of one batch of 100.
        parts = zip(torch.split(spectrograms, 8), torch.split(phases, 8), strict=True)
        return torch.cat(
            [griffin_lim(mel_to_magnitudes(part, settings), settings, phases=initial) for part, initial in parts]
        )


class MelSpectrum:
    """MS: mel power. LMS is its logarithm."""

    defaults: ClassVar[Mapping[str, Any]] = {"min_level": 0.0, "max_level": 100.0}
    decibels = False

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Return mel power (..., 128, T), at least 1e-10, of waveforms (..., L)."""
        power: Tensor = 10 ** (LogMel().analyse(waveform, settings) / 10)
        return power

    def synthesise(self, spectrograms: Tensor, settings: FeatureSettings, rng: RngOrRngs = None) -> Tensor:
        """Return waveforms (B, L) for mel power (B, 128, T), which is converted to LMS first."""
        return LogMel().synthesise(10 * spectrograms.clamp_min(1e-10).log10(), settings, rng)


class Mfcc:
    """MFCC: 20 coefficients of the cosine transform of LMS, each divided by its own range.

    Before the division, they are those of librosa with `norm="ortho"` and without a lifter.
    """

    defaults: ClassVar[Mapping[str, Any]] = {"bins": 20, "min_level": -1.0, "max_level": 1.0}
    decibels = False
    #: Mel bands of the LMS that is transformed.
    bands = 128
    #: The values of each coefficient that become -1 and 1. The first coefficient is the level, so one range for all
    #: would leave the others almost constant. Measured on the training pairs of the studio and on 112 pairs of
    #: Sub-URMP: the wider of both ranges of 99.8 % of the values, rounded outwards to tens.
    ranges = (
        (-880, -90),
        (0, 370),
        (-170, 200),
        (-90, 130),
        (-70, 80),
        (-50, 60),
        (-60, 90),
        (-60, 40),
        (-60, 60),
        (-40, 70),
        (-60, 60),
        (-40, 80),
        (-50, 60),
        (-50, 60),
        (-50, 80),
        (-60, 60),
        (-50, 70),
        (-40, 70),
        (-60, 80),
        (-40, 80),
    )

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Return coefficients (..., 20, T), mostly in [-1, 1], of waveforms (..., L)."""
        log_mel = LogMel().analyse(waveform, replace(settings, bins=self.bands))
        low, high = self._ranges(log_mel.device)
        coefficients: Tensor = self._transform(settings).to(log_mel.device) @ log_mel
        return (coefficients - low) / (high - low) * 2 - 1

    def synthesise(self, spectrograms: Tensor, settings: FeatureSettings, rng: RngOrRngs = None) -> Tensor:
        """Return waveforms (B, L) for coefficients (B, 20, T), from the smoothed LMS that they describe."""
        low, high = self._ranges(spectrograms.device)
        log_mel = self._transform(settings).T.to(spectrograms.device) @ ((spectrograms + 1) / 2 * (high - low) + low)
        return LogMel().synthesise(log_mel, replace(settings, bins=self.bands), rng)

    def _ranges(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the lower and the upper ends of the ranges, (20, 1) each."""
        low, high = torch.tensor(self.ranges, dtype=torch.float32, device=device)[..., None].unbind(1)
        return low, high

    def _transform(self, settings: FeatureSettings) -> Tensor:
        """Return the matrix of the cosine transform (20, bands)."""
        functional = import_torchaudio("torchaudio.functional")
        transform: Tensor = functional.create_dct(settings.bins, self.bands, norm="ortho").T
        return transform


class Stft:
    """STFT: amplitudes of the short-time Fourier transform, in decibels."""

    defaults: ClassVar[Mapping[str, Any]] = {"bins": 513, "n_fft": 1024, "min_level": -80.0, "max_level": 40.0}
    decibels = True

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Return amplitudes in decibels (..., 513, T), at least -100 dB, of waveforms (..., L)."""
        functional = import_torchaudio("torchaudio.functional")
        amplitude = functional.spectrogram(
            waveform,
            pad=0,
            window=torch.hann_window(settings.n_fft, device=waveform.device),
            n_fft=settings.n_fft,
            hop_length=settings.hop_length,
            win_length=settings.n_fft,
            power=1.0,
            normalized=False,
            pad_mode="constant",
        )
        return _to_decibels(amplitude)

    def synthesise(self, spectrograms: Tensor, settings: FeatureSettings, rng: RngOrRngs = None) -> Tensor:
        """Return waveforms (B, L) for amplitudes in decibels (B, 513, T), by fast Griffin-Lim."""
        phases = draw_phases(tuple(spectrograms.shape[1:]), _rng_per_item(rng, len(spectrograms)))
        return griffin_lim(10 ** (spectrograms / 20), settings, phases=phases)


class Cqt:
    """CQT: amplitudes of the constant-Q transform in decibels, seven octaves of twelve bins from C1 on.

    CMAV's Figure 3 has about 170 frames; a hop of 128 samples gives 173.
    """

    defaults: ClassVar[Mapping[str, Any]] = {"bins": 84, "hop_length": 128, "min_level": -80.0, "max_level": 20.0}
    decibels = True

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Return amplitudes in decibels (..., 84, 173), at least -100 dB, of waveforms (..., L)."""
        librosa = import_librosa()
        with warnings.catch_warnings():
            # For the lowest octaves, half a second is decimated to fewer samples than the length of a filter.
            warnings.filterwarnings("ignore", message="n_fft=.* is too large for input signal")
            transformed = librosa.cqt(
                waveform.cpu().numpy(), sr=settings.sample_rate, hop_length=settings.hop_length, n_bins=settings.bins
            )
        return _to_decibels(torch.from_numpy(transformed).abs().float()).to(waveform.device)

    def synthesise(self, spectrograms: Tensor, settings: FeatureSettings, rng: RngOrRngs = None) -> Tensor:
        """Return waveforms (B, L) for amplitudes in decibels (B, 84, 173), by librosa's fast Griffin-Lim.

        Each item takes more than a second.
        """
        librosa = import_librosa()
        waveforms = []
        for amplitude, item_rng in zip(10 ** (spectrograms / 20), _rng_per_item(rng, len(spectrograms)), strict=True):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="n_fft=.* is too large for input signal")
                waveform = librosa.griffinlim_cqt(
                    amplitude.cpu().numpy(),
                    sr=settings.sample_rate,
                    hop_length=settings.hop_length,
                    length=settings.samples,
                    random_state=int(torch.randint(2**31, (), generator=item_rng)),
                )
            waveforms.append(torch.from_numpy(waveform).float())
        return torch.stack(waveforms).to(spectrograms.device)


def _to_decibels(amplitude: Tensor) -> Tensor:
    return 20 * amplitude.clamp_min(AMPLITUDE_FLOOR).log10()


def _rng_per_item(rng: RngOrRngs, count: int) -> list[torch.Generator | None]:
    """Return the random number generator of each of `count` items."""
    return list(rng) if isinstance(rng, Sequence) else [rng] * count


#: Audio representations by name; plugins can add more.
REPRESENTATIONS: Registry[Representation] = Registry(
    "cmcgan.representations", {"lms": LogMel(), "ms": MelSpectrum(), "cqt": Cqt(), "mfcc": Mfcc(), "stft": Stft()}
)


def default_settings(representation: str) -> FeatureSettings:
    """Return the default settings of a representation.

    Raises:
        PluginError: there is no representation with this name.
    """
    return replace(FeatureSettings(representation), **REPRESENTATIONS.get(representation).defaults)


def analyse(waveform: Tensor, settings: FeatureSettings) -> Tensor:
    """Return the spectrograms (..., M, T) of waveforms (..., L), in the representation that the settings name."""
    return REPRESENTATIONS.get(settings.representation).analyse(waveform, settings)


def is_invertible(settings: FeatureSettings) -> bool:
    """Return whether the representation that the settings name can be turned back into a waveform."""
    return hasattr(REPRESENTATIONS.get(settings.representation), "synthesise")


def synthesise(spectrograms: Tensor, settings: FeatureSettings, rng: RngOrRngs = None) -> Tensor:
    """Return waveforms (B, L) for spectrograms (B, M, T) of the representation that the settings name.

    Args:
        spectrograms: as `analyse` returns them.
        settings: the settings that they were computed with.
        rng: the source of random numbers; the same state gives the same waveforms.

    Raises:
        ConfigError: the representation cannot be turned back into a waveform.
    """
    representation = REPRESENTATIONS.get(settings.representation)
    if not is_invertible(settings):
        raise ConfigError(
            f"{settings.representation} spectrograms cannot be turned back into sound; name a run that "
            "was trained on another representation (cmcgan prepare --representation lms)"
        )
    return cast("Invertible", representation).synthesise(spectrograms, settings, rng)
