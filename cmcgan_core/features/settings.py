"""The settings that turn half a second of sound and a video frame into features."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class FeatureSettings:
    """How a pair's spectrogram and picture are computed; stored in every dataset and every checkpoint.

    Source: CMCGAN section "Four Subnetworks" (LMS of 128 x 44). It does not state the window, see
    `docs/reproduction.md`.

    Attributes:
        representation: name of the audio representation in `REPRESENTATIONS`.
        sample_rate: Hz.
        seconds: length of a chunk of sound.
        n_fft: length of the analysis window, in samples.
        hop_length: samples between two windows; 512 at 44.1 kHz gives the paper's 44 frames.
        bins: rows of the spectrogram; for LMS the number of mel bands.
        min_level: the value of the spectrogram that is scaled to -1; lower values are clipped. Its unit is that of the
            representation, for most of them decibels.
        max_level: the value that is scaled to 1; higher values are clipped. The range is the same for all chunks, so
            that loudness is preserved.
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


#: The source of random numbers for a batch: one for the whole batch, one for each item, or None for torch's default.
RngOrRngs = torch.Generator | Sequence[torch.Generator] | None
