"""The other pictures of sound that CMAV compares with LMS: MS, CQT, MFCC and STFT, each with its way back to sound.

Source: Chen et al., "Deep Cross-Modal Audio-Visual Generation" (2017), Table 1 and Figure 3, from where the numbers of
rows are. What the paper does not say is in `docs/reproduction.md`. Transforms are librosa's and torchaudio's, imported
when they are needed; `features` imports this module, so it is imported there too.

Shapes: as in `features`; M stands for the rows of the representation, `FeatureSettings.bins`.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol, cast

import torch
from torch import Tensor

from cmcgan_core.errors import ConfigError
from cmcgan_core.features.settings import FeatureSettings, RngOrRngs
from cmcgan_core.features.spectrum import _spectrum, draw_phases, griffin_lim, magnitudes, mel_filter_bank
from cmcgan_core.registry import Registry

#: Amplitude below which levels in decibels are floored, at -100 dB.
FLOOR = 1e-5


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

    def synthesise(self, levels: Tensor, settings: FeatureSettings, rng: RngOrRngs) -> Tensor:
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

    def synthesise(self, levels: Tensor, settings: FeatureSettings, rng: RngOrRngs = None) -> Tensor:
        """Mel power in decibels (B, M, T) to a waveform (B, L) by mel inversion and fast Griffin-Lim.

        Args:
            levels: as `analyse` returns.
            settings: those that the levels were made with.
            rng: draws the first phases, one for all items or one for each; the same states give the same
                waveforms. With one for each, an item's phases do not depend on how many others there are.
        """
        rngs = list(rng) if isinstance(rng, Sequence) else [rng] * len(levels)
        phases = draw_phases((settings.n_fft // 2 + 1, levels.shape[-1]), rngs)
        # Batches of 8 stay in the CPU's cache: a quarter of the time of one batch of 100.
        parts = zip(torch.split(levels, 8), torch.split(phases, 8), strict=True)
        return torch.cat([griffin_lim(magnitudes(part, settings), settings, phases=first) for part, first in parts])


class MelSpectrum:
    """MS: mel power as it is; LMS is its logarithm."""

    defaults: ClassVar[Mapping[str, Any]] = {"min_level": 0.0, "max_level": 100.0}
    decibels = False

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Waveform (..., L) to mel power (..., 128, T), 1e-10 at least."""
        power: Tensor = 10 ** (LogMel().analyse(waveform, settings) / 10)
        return power

    def synthesise(self, levels: Tensor, settings: FeatureSettings, rng: RngOrRngs = None) -> Tensor:
        """Mel power (B, 128, T) to a waveform (B, L), as of LMS."""
        return LogMel().synthesise(10 * levels.clamp_min(1e-10).log10(), settings, rng)


class Mfcc:
    """MFCC: 20 coefficients of the cosine transform of LMS, as librosa's with `norm="ortho"` and no lifter."""

    defaults: ClassVar[Mapping[str, Any]] = {"bins": 20, "min_level": -650.0, "max_level": 350.0}
    decibels = False
    #: Bands of the LMS that is transformed.
    bands = 128

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Waveform (..., L) to coefficients (..., 20, T)."""
        levels = LogMel().analyse(waveform, replace(settings, bins=self.bands))
        return self._transform(settings).to(levels.device) @ levels

    def synthesise(self, levels: Tensor, settings: FeatureSettings, rng: RngOrRngs = None) -> Tensor:
        """Coefficients (B, 20, T) to a waveform (B, L), by the smoothed LMS that they stand for."""
        smooth = self._transform(settings).T.to(levels.device) @ levels
        return LogMel().synthesise(smooth, replace(settings, bins=self.bands), rng)

    def _transform(self, settings: FeatureSettings) -> Tensor:
        from torchaudio.functional import create_dct

        transform: Tensor = create_dct(settings.bins, self.bands, norm="ortho").T
        return transform


class Stft:
    """STFT: amplitudes of the short-time Fourier transform, in decibels."""

    defaults: ClassVar[Mapping[str, Any]] = {"bins": 513, "n_fft": 1024, "min_level": -80.0, "max_level": 40.0}
    decibels = True

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Waveform (..., L) to amplitudes in decibels (..., 513, T), floored at -100 dB."""
        from torchaudio.functional import spectrogram

        window = torch.hann_window(settings.n_fft, device=waveform.device)
        amplitude = spectrogram(
            waveform,
            0,
            window,
            settings.n_fft,
            settings.hop_length,
            settings.n_fft,
            1.0,
            normalized=False,
            pad_mode="constant",
        )
        return _decibels(amplitude)

    def synthesise(self, levels: Tensor, settings: FeatureSettings, rng: RngOrRngs = None) -> Tensor:
        """Amplitudes in decibels (B, 513, T) to a waveform (B, L), by fast Griffin-Lim."""
        phases = draw_phases(tuple(levels.shape[1:]), _one_each(rng, len(levels)))
        return griffin_lim(10 ** (levels / 20), settings, phases=phases)


class Cqt:
    """CQT: amplitudes of the constant-Q transform over seven octaves of twelve from C1 up, in decibels."""

    defaults: ClassVar[Mapping[str, Any]] = {"bins": 84, "min_level": -80.0, "max_level": 20.0}
    decibels = True

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Waveform (..., L) to amplitudes in decibels (..., 84, T), floored at -100 dB."""
        import librosa

        with warnings.catch_warnings():
            # The lowest octaves are computed from half a second that was decimated to fewer samples than a filter has.
            warnings.filterwarnings("ignore", message="n_fft=.* is too large for input signal")
            transformed = librosa.cqt(
                waveform.cpu().numpy(), sr=settings.sample_rate, hop_length=settings.hop_length, n_bins=settings.bins
            )
        return _decibels(torch.from_numpy(transformed).abs().float()).to(waveform.device)

    def synthesise(self, levels: Tensor, settings: FeatureSettings, rng: RngOrRngs = None) -> Tensor:
        """Amplitudes in decibels (B, 84, T) to a waveform (B, L), by librosa's fast Griffin-Lim; over a second each."""
        import librosa

        made = []
        for amplitude, drawing in zip(10 ** (levels / 20), _one_each(rng, len(levels)), strict=True):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="n_fft=.* is too large for input signal")
                waveform = librosa.griffinlim_cqt(
                    amplitude.cpu().numpy(),
                    sr=settings.sample_rate,
                    hop_length=settings.hop_length,
                    length=settings.samples,
                    random_state=int(torch.randint(2**31, (), generator=drawing)),
                )
            made.append(torch.from_numpy(waveform).float())
        return torch.stack(made).to(levels.device)


def _decibels(amplitude: Tensor) -> Tensor:
    return 20 * amplitude.clamp_min(FLOOR).log10()


def _one_each(rng: RngOrRngs, count: int) -> list[torch.Generator | None]:
    """A generator for each item."""
    return list(rng) if isinstance(rng, Sequence) else [rng] * count


#: Audio representations by name; plugins add to them.
REPRESENTATIONS: Registry[Representation] = Registry(
    "cmcgan.representations", {"lms": LogMel(), "ms": MelSpectrum(), "cqt": Cqt(), "mfcc": Mfcc(), "stft": Stft()}
)


def default_settings(representation: str) -> FeatureSettings:
    """The settings that a representation has by default.

    Raises:
        PluginError: nobody provides it.
    """
    return replace(FeatureSettings(representation), **REPRESENTATIONS.get(representation).defaults)


def analyse(waveform: Tensor, settings: FeatureSettings) -> Tensor:
    """Waveform (..., L) to levels (..., M, T) in decibels, by the representation that the settings name."""
    return REPRESENTATIONS.get(settings.representation).analyse(waveform, settings)


def synthesise(levels: Tensor, settings: FeatureSettings, rng: RngOrRngs = None) -> Tensor:
    """Levels (B, M, T) in decibels to a waveform (B, L), by the representation that the settings name.

    Raises:
        ConfigError: there is no way back from it to sound.
    """
    representation = REPRESENTATIONS.get(settings.representation)
    if not hasattr(representation, "synthesise"):
        raise ConfigError(
            f"{settings.representation} spectrograms cannot be turned back into sound; name a run that "
            "was trained on another representation (cmcgan prepare --representation lms)"
        )
    return cast("Invertible", representation).synthesise(levels, settings, rng)
