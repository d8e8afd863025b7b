"""The settings that turn half a second of sound and a video frame into features."""

from dataclasses import dataclass
from typing import Annotated

from cmcgan_core.errors import ConfigError
from cmcgan_core.utils.schema import Range

#: The largest spectrogram of a chunk, values: 256 MB as float32.
LARGEST_SPECTROGRAM = 2**26


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
    sample_rate: Annotated[int, Range(minimum=1, maximum=768_000)] = 44_100
    seconds: Annotated[float, Range(above=0, maximum=60)] = 0.5
    n_fft: Annotated[int, Range(minimum=2, maximum=65_536)] = 2048
    hop_length: Annotated[int, Range(minimum=1, maximum=65_536)] = 512
    bins: Annotated[int, Range(minimum=1, maximum=8192)] = 128
    min_level: float = -80.0
    max_level: float = 30.0
    picture_size: Annotated[int, Range(minimum=1, maximum=4096)] = 128

    def __post_init__(self) -> None:
        """Check what depends on several settings.

        Raises:
            ConfigError: the range of levels is empty, or a chunk has no sample or needs too much memory.
        """
        if not self.min_level < self.max_level:
            raise ConfigError(f"min_level: should be less than max_level, which is {self.max_level:g}")
        if self.samples < 1:
            raise ConfigError(f"seconds: {self.seconds:g} s at {self.sample_rate} Hz have no sample")
        if self.frames * max(self.bins, self.n_fft) > LARGEST_SPECTROGRAM:
            raise ConfigError(f"hop_length: {self.frames} frames of {max(self.bins, self.n_fft)} values are too many")

    @property
    def samples(self) -> int:
        """Samples of a chunk (22,050)."""
        return round(self.sample_rate * self.seconds)

    @property
    def frames(self) -> int:
        """Frames of a chunk's spectrogram (44)."""
        return 1 + self.samples // self.hop_length
