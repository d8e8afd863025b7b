"""The other pictures of sound that CMAV compares with LMS: MS, CQT, MFCC and STFT, each with its way back to sound.

Source: Chen et al., "Deep Cross-Modal Audio-Visual Generation" (2017), Table 1 and Figure 3, from where the numbers of
rows are. What the paper does not say is in `docs/reproduction.md`. Transforms are librosa's and torchaudio's, imported
when they are needed; `features` imports this module, so it is imported there too.

Shapes: as in `features`; M stands for the rows of the representation, `FeatureSettings.n_mels`.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from cmcgan_core.data.features import FeatureSettings, Generators

#: Amplitude below which levels in decibels are floored, at -100 dB.
FLOOR = 1e-5


class MelSpectrum:
    """MS: mel power as it is; LMS is its logarithm."""

    defaults: ClassVar[Mapping[str, Any]] = {"min_db": 0.0, "max_db": 100.0}
    decibels = False

    def analyse(self, waveform: Tensor, settings: "FeatureSettings") -> Tensor:
        """Waveform (..., L) to mel power (..., 128, T), 1e-10 at least."""
        from cmcgan_core.data.features import LogMel

        power: Tensor = 10 ** (LogMel().analyse(waveform, settings) / 10)
        return power

    def synthesise(self, levels: Tensor, settings: "FeatureSettings", generator: "Generators" = None) -> Tensor:
        """Mel power (B, 128, T) to a waveform (B, L), as of LMS."""
        from cmcgan_core.data.features import LogMel

        return LogMel().synthesise(10 * levels.clamp_min(1e-10).log10(), settings, generator)


class Mfcc:
    """MFCC: 20 coefficients of the cosine transform of LMS, as librosa's with `norm="ortho"` and no lifter."""

    defaults: ClassVar[Mapping[str, Any]] = {"n_mels": 20, "min_db": -650.0, "max_db": 350.0}
    decibels = False
    #: Bands of the LMS that is transformed.
    bands = 128

    def analyse(self, waveform: Tensor, settings: "FeatureSettings") -> Tensor:
        """Waveform (..., L) to coefficients (..., 20, T)."""
        from cmcgan_core.data.features import LogMel

        levels = LogMel().analyse(waveform, replace(settings, n_mels=self.bands))
        return self._transform(settings).to(levels.device) @ levels

    def synthesise(self, levels: Tensor, settings: "FeatureSettings", generator: "Generators" = None) -> Tensor:
        """Coefficients (B, 20, T) to a waveform (B, L), by the smoothed LMS that they stand for."""
        from cmcgan_core.data.features import LogMel

        smooth = self._transform(settings).T.to(levels.device) @ levels
        return LogMel().synthesise(smooth, replace(settings, n_mels=self.bands), generator)

    def _transform(self, settings: "FeatureSettings") -> Tensor:
        from torchaudio.functional import create_dct

        transform: Tensor = create_dct(settings.n_mels, self.bands, norm="ortho").T
        return transform


class Stft:
    """STFT: amplitudes of the short-time Fourier transform, in decibels."""

    defaults: ClassVar[Mapping[str, Any]] = {"n_mels": 513, "n_fft": 1024, "min_db": -80.0, "max_db": 40.0}
    decibels = True

    def analyse(self, waveform: Tensor, settings: "FeatureSettings") -> Tensor:
        """Waveform (..., L) to amplitudes in decibels (..., 513, T), floored at -100 dB."""
        from torchaudio.functional import spectrogram

        window = torch.hann_window(settings.n_fft, device=waveform.device)
        amplitude = spectrogram(waveform, 0, window, settings.n_fft, settings.hop_length, settings.n_fft, 1.0,
                                normalized=False, pad_mode="constant")  # fmt: skip
        return _decibels(amplitude)

    def synthesise(self, levels: Tensor, settings: "FeatureSettings", generator: "Generators" = None) -> Tensor:
        """Amplitudes in decibels (B, 513, T) to a waveform (B, L), by fast Griffin-Lim."""
        from cmcgan_core.data.features import draw_phases, griffin_lim

        phases = draw_phases(tuple(levels.shape[1:]), _one_each(generator, len(levels)))
        return griffin_lim(10 ** (levels / 20), settings, phases=phases)


class Cqt:
    """CQT: amplitudes of the constant-Q transform over seven octaves of twelve from C1 up, in decibels."""

    defaults: ClassVar[Mapping[str, Any]] = {"n_mels": 84, "min_db": -80.0, "max_db": 20.0}
    decibels = True

    def analyse(self, waveform: Tensor, settings: "FeatureSettings") -> Tensor:
        """Waveform (..., L) to amplitudes in decibels (..., 84, T), floored at -100 dB."""
        import librosa

        with warnings.catch_warnings():
            # The lowest octaves are computed from half a second that was decimated to fewer samples than a filter has.
            warnings.filterwarnings("ignore", message="n_fft=.* is too large for input signal")
            transformed = librosa.cqt(waveform.cpu().numpy(), sr=settings.sample_rate, hop_length=settings.hop_length,
                                      n_bins=settings.n_mels)  # fmt: skip
        return _decibels(torch.from_numpy(transformed).abs().float()).to(waveform.device)

    def synthesise(self, levels: Tensor, settings: "FeatureSettings", generator: "Generators" = None) -> Tensor:
        """Amplitudes in decibels (B, 84, T) to a waveform (B, L), by librosa's fast Griffin-Lim; over a second each."""
        import librosa

        made = []
        for amplitude, drawing in zip(10 ** (levels / 20), _one_each(generator, len(levels)), strict=True):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="n_fft=.* is too large for input signal")
                waveform = librosa.griffinlim_cqt(
                    amplitude.cpu().numpy(), sr=settings.sample_rate, hop_length=settings.hop_length,
                    length=settings.samples, random_state=int(torch.randint(2**31, (), generator=drawing)),
                )  # fmt: skip
            made.append(torch.from_numpy(waveform).float())
        return torch.stack(made).to(levels.device)


def _decibels(amplitude: Tensor) -> Tensor:
    return 20 * amplitude.clamp_min(FLOOR).log10()


def _one_each(generator: "Generators", count: int) -> list[torch.Generator | None]:
    """A generator for each item."""
    return list(generator) if isinstance(generator, Sequence) else [generator] * count
