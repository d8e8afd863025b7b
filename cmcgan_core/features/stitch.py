"""Long sound out of half-second spectrograms, in memory that does not grow with its length.

The chunks' frames are laid on one time axis and blended where they meet; sections of several seconds are given one
Griffin-Lim each, and each goes on from the waveform of the one before.

Shapes: M mel bands, F frequencies, T frames of a chunk, N frames of a section.
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
from cmcgan_core.features.spectrum import draw_phases, griffin_lim, magnitudes

#: Level of frames that no chunk covers, in dB: the floor of `features.LogMel.analyse`.
SILENCE = -100.0
#: Frames over which one chunk goes over into the next.
BLEND = 3
#: Frames of a section; those that it shares with the section before; of these, the first, whose waveform is taken as
#: known (the last ones lacked what follows when they were made); and the last of the known, where the two are faded.
SECTION, SHARED, KNOWN, FADE = 672, 16, 8, 4


def stitch(
    chunks: Iterable[tuple[float, Tensor]], settings: FeatureSettings, seconds: float, rng: torch.Generator
) -> Iterator[NDArray[np.float32]]:
    """Turn the spectrograms of half seconds into one long waveform, without clicks where they meet.

    Args:
        chunks: when each starts, in seconds, rising, and its levels (M, T) in decibels. They may overlap; where none
            is, there is silence. What reaches beyond `seconds` is cut.
        settings: those that the levels were made with.
        seconds: length of the whole.
        rng: draws the first phases; the same state gives the same waveform.

    Yields:
        Blocks of the waveform, in all round(seconds * sample_rate) samples.

    Raises:
        ConfigError: the representation is not `lms`.
        ValueError: a chunk comes too late: what it would change has been made.
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
    return _cut(voiced(_sections(frames), settings, rng), samples)


def blend_chunks(chunks: Iterable[tuple[float, Tensor]], settings: FeatureSettings, frames: int) -> Iterator[Tensor]:
    """The chunks of `stitch` as levels (M, n) on one time axis, piece after piece, in all (M, frames)."""
    timeline = None
    for start, levels in chunks:
        timeline = timeline or _Timeline(settings, levels.device)
        if timeline.place(start) >= frames:
            break
        yield from timeline.take(timeline.place(start))
        timeline.add(start, levels)
    yield from (timeline or _Timeline(settings, torch.device("cpu"))).take(frames)


class _Timeline:
    """Frames on one time axis: chunks are added, and what no later chunk changes is taken."""

    def __init__(self, settings: FeatureSettings, device: torch.device) -> None:
        self.settings = settings
        self.taken = 0
        self.levels = torch.zeros(settings.bins, 0, device=device)
        self.weights = torch.zeros(0, device=device)

    def place(self, start: float) -> int:
        """The first frame that a chunk from `start` (seconds) on has a say in."""
        return max(0, math.ceil(self._frame(start) - BLEND / 2))

    def add(self, start: float, levels: Tensor) -> None:
        """Add a chunk (M, T), interpolated to this axis; towards its ends it counts less, and is held beyond them."""
        settings, first, start_frame = self.settings, self.place(start), self._frame(start)
        extent = settings.samples / settings.hop_length
        stop = math.floor(start_frame + extent + BLEND / 2) + 1
        if first < self.taken:
            raise ValueError(f"the chunk at {start} s comes after later ones")
        self._grow(stop)
        at = torch.arange(stop - first, device=levels.device) + (first - start_frame)
        weights = ((torch.minimum(at, extent - at) + BLEND / 2) / BLEND).clamp(0, 1)
        # Windows nearer to the ends than half their length saw zeros there, whose step sounds at all frequencies.
        edge = math.ceil(settings.n_fft / 2 / settings.hop_length)
        inside = at.clamp(edge, levels.shape[-1] - 1 - edge)
        left = inside.long().clamp_max(levels.shape[-1] - 2)
        here = torch.lerp(levels[:, left], levels[:, left + 1], (inside - left).to(levels.dtype))
        span = slice(first - self.taken, stop - self.taken)
        self.levels[:, span] += weights * here
        self.weights[span] += weights

    def take(self, until: int) -> Iterator[Tensor]:
        """The levels (M, n) up to a frame, at most a section at once; never to be had again."""
        while self.taken < until:
            count = min(until - self.taken, SECTION)
            self._grow(self.taken + count)
            levels, weights = self.levels[:, :count], self.weights[:count]
            self.levels, self.weights = self.levels[:, count:], self.weights[count:]
            self.taken += count
            yield torch.where(weights > 0, levels / weights, SILENCE)

    def _frame(self, start: float) -> float:
        return start * self.settings.sample_rate / self.settings.hop_length

    def _grow(self, stop: int) -> None:
        lacking = max(0, stop - self.taken - len(self.weights))
        self.levels, self.weights = F.pad(self.levels, (0, lacking)), F.pad(self.weights, (0, lacking))


def _sections(pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    """Pieces (M, n) as sections (M, N), each of which starts with the last SHARED frames of the one before."""
    held: list[Tensor] = []
    for piece in pieces:
        held.append(piece)
        while sum(part.shape[1] for part in held) > SECTION:
            whole = torch.cat(held, dim=1)
            yield whole[:, :SECTION]
            held = [whole[:, SECTION - SHARED :]]
    yield torch.cat(held, dim=1)


def voiced(sections: Iterable[Tensor], settings: FeatureSettings, rng: torch.Generator) -> Iterator[Tensor]:
    """Sections of levels (M, N), the last of any length, to the blocks of one waveform.

    A section is made to start as the one before goes on, so that the short fade between them neither clicks nor dips:
    starting from the same phases is not enough, Griffin-Lim leaves them.
    """
    hop = settings.hop_length
    step, known = (SECTION - SHARED) * hop, KNOWN * hop
    fade = slice((KNOWN - FADE) * hop, known)
    before, begin = None, 0
    for levels in sections:
        waveform = _voice(levels, None if before is None else before[step : step + known], settings, rng)
        if before is not None:
            yield before[begin : step + fade.start]
            rising = torch.linspace(0, 1, FADE * hop, device=levels.device)
            waveform[fade] = torch.lerp(before[step:][fade], waveform[fade], rising)
            begin = fade.start
        before = waveform
    if before is not None:
        yield before[begin:]


def _voice(levels: Tensor, known: Tensor | None, settings: FeatureSettings, rng: torch.Generator) -> Tensor:
    """A section (M, N) as a waveform ((N - 1) * hop,) that goes on from how it is known to start (K,), if it is."""
    magnitude = magnitudes(levels[None], settings)
    phases = draw_phases(tuple(magnitude.shape[1:]), [rng])
    samples = (levels.shape[1] - 1) * settings.hop_length
    known = None if known is None else known[None]
    return griffin_lim(magnitude, settings, phases=phases, samples=samples, known=known)[0]


def _cut(blocks: Iterable[Tensor], samples: int) -> Iterator[NDArray[np.float32]]:
    """Blocks (L,) as arrays, up to a number of samples in all."""
    for block in blocks:
        if samples > 0:
            yield block[:samples].cpu().numpy()
        samples -= len(block)
