"""."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


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
        bins: mel bands; of another representation its rows, whatever they are.
        min_level: level that becomes -1; what is below is clipped. In decibels, or what the representation has instead.
        max_level: level that becomes 1. A fixed range, not one per chunk, so that loudness survives.
        picture_size: side of the stored pictures, pixels.
    """

    representation: str = "lms"
    sample_rate: int = 44_100
    seconds: float = 0.5
    n_fft: int = 2048
    hop_length: int = 512
    bins: int = 128
    min_level: float = -80.0
    max_level: float = 30.0
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
RngOrRngs = torch.Generator | Sequence[torch.Generator] | None
