"""Turn the spectrograms of many short chunks into one long sound, with memory that does not grow with its length.

The frames of the chunks are placed on one time axis and cross-faded where chunks meet. The result is cut into sections
of several seconds that overlap. Each section is synthesised by its own Griffin-Lim, which starts from the end of the
waveform of the section before.

Shapes: M mel bands, T frames of a chunk, N frames of a section.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.errors import ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.features.spectrum import draw_phases, griffin_lim, mel_to_magnitudes

#: The value in decibels of frames that no chunk covers: the smallest value of `LogMel.analyse`.
SILENT_FRAME_DB = -100.0
#: Frames of the cross-fade between two chunks.
BLEND = 3
#: Frames of a section.
SECTION = 672
#: Frames that a section shares with the section before it.
SHARED = 16
#: Of the shared frames, the first ones, whose waveform is given to the next section as its known start. The others are
#: less accurate, because the section before ended there.
KNOWN = 8
#: Of the known frames, the last ones, over which the waveforms of the two sections are cross-faded.
FADE = 4


def stitch(
    chunks: Iterable[tuple[float, Tensor]], settings: FeatureSettings, seconds: float, rng: torch.Generator
) -> Iterator[NDArray[np.float32]]:
    """Turn the spectrograms of chunks into one long waveform, without clicks where they meet.

    Args:
        chunks: the start of each chunk in seconds, in increasing order, and its log-mel spectrogram (M, T) in decibels.
            Chunks may overlap. Gaps between them become silence. What lies beyond `seconds` is cut off.
        settings: the settings that the spectrograms were computed with.
        seconds: length of the waveform.
        rng: draws the initial phases; the same state gives the same waveform.

    Yields:
        Blocks of the waveform, with round(seconds * sample_rate) samples in all.

    Raises:
        ConfigError: the representation is not `lms`.
        ValueError: a chunk starts before the end of frames that are already finished.
    """
    if settings.representation != "lms":
        raise ConfigError(
            f"sound is stitched from lms spectrograms only, not from {settings.representation}; "
            "name a run that was trained on lms with --checkpoint"
        )
    samples = round(seconds * settings.sample_rate)
    if not samples:
        return iter(())
    frames = blend_chunks(chunks, settings, 1 + math.ceil(samples / settings.hop_length))
    return _cut_to_length(_synthesise_sections(_split_sections(frames), settings, rng), samples)


def blend_chunks(chunks: Iterable[tuple[float, Tensor]], settings: FeatureSettings, frames: int) -> Iterator[Tensor]:
    """Place chunks on one time axis and cross-fade them where they meet.

    Args:
        chunks: the start and the spectrogram (M, T) of each chunk, see `stitch`.
        settings: the settings that the spectrograms were computed with.
        frames: length of the time axis.

    Yields:
        Consecutive pieces (M, n) of one spectrogram (M, frames) in decibels.
    """
    timeline = None
    for start, spectrogram in chunks:
        timeline = timeline or _Timeline(settings, spectrogram.device)
        if timeline.first_frame(start) >= frames:
            break
        yield from timeline.take(timeline.first_frame(start))
        timeline.add(start, spectrogram)
    yield from (timeline or _Timeline(settings, torch.device("cpu"))).take(frames)


class _Timeline:
    """Frames on one time axis. Chunks are added in time order, and frames that are finished are taken off the front.

    Attributes:
        taken: the number of frames that were taken.
        weighted_sum: the sum of the added frames times their weights, (M, n), from frame `taken` on.
        weights: the sum of these weights, (n,).
    """

    def __init__(self, settings: FeatureSettings, device: torch.device) -> None:
        self.settings = settings
        self.taken = 0
        self.weighted_sum = torch.zeros(settings.bins, 0, device=device)
        self.weights = torch.zeros(0, device=device)

    def first_frame(self, start: float) -> int:
        """Return the first frame that a chunk from `start` (seconds) on contributes to."""
        return max(0, math.ceil(self._to_frames(start) - BLEND / 2))

    def add(self, start: float, spectrogram: Tensor) -> None:
        """Add a chunk (M, T), interpolated to the frames of this axis.

        Its weight falls to 0 within `BLEND` frames at its ends. Beyond its reliable frames, it is extended with the
        nearest reliable one.
        """
        settings, first, start_frame = self.settings, self.first_frame(start), self._to_frames(start)
        extent = settings.samples / settings.hop_length
        stop = math.floor(start_frame + extent + BLEND / 2) + 1
        if first < self.taken:
            raise ValueError(f"the chunk at {start} s comes after later ones")
        self._grow(stop)
        position = torch.arange(stop - first, device=spectrogram.device) + (first - start_frame)
        weights = ((torch.minimum(position, extent - position) + BLEND / 2) / BLEND).clamp(0, 1)
        # Windows that reach beyond a chunk were computed from zeros there. That step adds energy at all frequencies.
        margin = math.ceil(settings.n_fft / 2 / settings.hop_length)
        reliable = position.clamp(margin, spectrogram.shape[-1] - 1 - margin)
        left = reliable.long().clamp_max(spectrogram.shape[-1] - 2)
        values = torch.lerp(spectrogram[:, left], spectrogram[:, left + 1], (reliable - left).to(spectrogram.dtype))
        span = slice(first - self.taken, stop - self.taken)
        self.weighted_sum[:, span] += weights * values
        self.weights[span] += weights

    def take(self, until: int) -> Iterator[Tensor]:
        """Remove the frames before frame `until`, and yield them in pieces (M, n) of at most one section."""
        while self.taken < until:
            count = min(until - self.taken, SECTION)
            self._grow(self.taken + count)
            weighted_sum, weights = self.weighted_sum[:, :count], self.weights[:count]
            self.weighted_sum, self.weights = self.weighted_sum[:, count:], self.weights[count:]
            self.taken += count
            yield torch.where(weights > 0, weighted_sum / weights, SILENT_FRAME_DB)

    def _to_frames(self, seconds: float) -> float:
        return seconds * self.settings.sample_rate / self.settings.hop_length

    def _grow(self, stop: int) -> None:
        """Extend the axis with empty frames up to frame `stop`."""
        missing = max(0, stop - self.taken - len(self.weights))
        self.weighted_sum, self.weights = F.pad(self.weighted_sum, (0, missing)), F.pad(self.weights, (0, missing))


def _split_sections(pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    """Regroup pieces (M, n) into sections (M, N); each starts with the last `SHARED` frames of the section before."""
    held: list[Tensor] = []
    for piece in pieces:
        held.append(piece)
        while sum(part.shape[1] for part in held) > SECTION:
            joined = torch.cat(held, dim=1)
            yield joined[:, :SECTION]
            held = [joined[:, SECTION - SHARED :]]
    yield torch.cat(held, dim=1)


def _synthesise_sections(
    sections: Iterable[Tensor], settings: FeatureSettings, rng: torch.Generator
) -> Iterator[Tensor]:
    """Turn sections (M, N) in decibels, the last one of any length, into the blocks of one waveform.

    Griffin-Lim makes each section start like the end of the section before, so that the short cross-fade between them
    neither clicks nor loses level. Starting from the same phases would not be enough, because Griffin-Lim changes them.
    """
    hop = settings.hop_length
    step, known = (SECTION - SHARED) * hop, KNOWN * hop
    fade = slice((KNOWN - FADE) * hop, known)
    previous, begin = None, 0
    for section in sections:
        start = None if previous is None else previous[step : step + known]
        waveform = _synthesise_section(section, start, settings, rng)
        if previous is not None:
            yield previous[begin : step + fade.start]
            rising = torch.linspace(0, 1, FADE * hop, device=section.device)
            waveform[fade] = torch.lerp(previous[step:][fade], waveform[fade], rising)
            begin = fade.start
        previous = waveform
    if previous is not None:
        yield previous[begin:]


def _synthesise_section(
    section: Tensor, known: Tensor | None, settings: FeatureSettings, rng: torch.Generator
) -> Tensor:
    """Return the waveform ((N - 1) * hop_length,) of a section (M, N).

    `known` (K,) are its first samples, or None for the first section.
    """
    magnitude = mel_to_magnitudes(section[None], settings)
    phases = draw_phases(tuple(magnitude.shape[1:]), [rng])
    samples = (section.shape[1] - 1) * settings.hop_length
    known = None if known is None else known[None]
    return griffin_lim(magnitude, settings, phases=phases, samples=samples, known=known)[0]


def _cut_to_length(blocks: Iterable[Tensor], samples: int) -> Iterator[NDArray[np.float32]]:
    """Yield blocks (L,) as arrays until there are `samples` samples in all."""
    for block in blocks:
        if samples > 0:
            yield block[:samples].cpu().numpy()
        samples -= len(block)
