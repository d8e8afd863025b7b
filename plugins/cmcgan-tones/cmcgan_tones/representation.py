"""An audio representation: the energy in bands of equal width, in decibels. It cannot be turned back into sound."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from cmcgan_core import FeatureSettings


class LinearBands:
    """Power of the short-time Fourier transform, averaged over bands of equal width, in decibels."""

    #: Settings that differ from the defaults of `FeatureSettings`.
    defaults: ClassVar[Mapping[str, Any]] = {"bins": 64, "min_level": -80.0, "max_level": 50.0}
    #: The values are decibels.
    decibels = True

    def analyse(self, waveform: Tensor, settings: FeatureSettings) -> Tensor:
        """Convert waveforms (..., L) in [-1, 1] to spectrograms (..., M, T) in decibels."""
        window = torch.hann_window(settings.n_fft, device=waveform.device)
        flat = waveform.reshape(-1, waveform.shape[-1])
        spectrum = torch.stft(flat, settings.n_fft, settings.hop_length, window=window, return_complex=True)
        power = spectrum.abs().square()
        bands = adaptive_avg_pool2d(power[:, None], (settings.bins, power.shape[-1]))[:, 0]
        return 10 * bands.clamp_min(1e-8).log10().reshape(*waveform.shape[:-1], *bands.shape[-2:])


BANDS = LinearBands()
