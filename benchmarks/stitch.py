"""Compare three ways to turn the spectrograms of half seconds into one long sound, on real recordings.

The recordings of each folder, one after the other, are one piece. Its half seconds are analysed as `cmcgan prepare`
does, and turned back into sound: each half second separately, all with one Griffin-Lim, or in sections
(`features.stitch`).

Errors are mean distances in decibels to the spectrogram of the whole piece: of the blended spectrograms, and of the
spectrograms of the waveforms. A click of 1 means that the waveform moves at the joins as much as within 25 ms around
them. A seam is where two sections are cross-faded. CPU-seconds are for one second of sound, one thread.

usage: python benchmarks/stitch.py FOLDER... [SECONDS]      (at most 24 seconds of each folder by default)
"""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cmcgan_core.features import stitch as stitching
from cmcgan_core.features.representations import analyse, synthesise
from cmcgan_core.features.scaling import scale_spectrograms, unscale_spectrograms
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.features.stitch import blend_chunks, stitch
from cmcgan_core.media.files import media_kind, read_sound

SETTINGS = FeatureSettings()
RATE, HOP = SETTINGS.sample_rate, SETTINGS.hop_length
#: Starts in seconds, and spectrograms (M, T) in decibels.
Chunks = list[tuple[float, Tensor]]


def read_piece(folder: Path, seconds: float) -> Tensor:
    """Return the recordings of a folder one after the other (L,): at most `seconds`, a whole number of half seconds."""
    sounds = [read_sound(path, RATE) for path in sorted(folder.iterdir()) if media_kind(path) == "sound"]
    waveform = torch.from_numpy(np.concatenate(sounds)[: round(seconds * RATE)])
    return waveform[: len(waveform) // SETTINGS.samples * SETTINGS.samples]


def clipped_spectrogram(waveform: Tensor) -> Tensor:
    """Return the spectrogram (M, T) in decibels, clipped to the range that networks represent."""
    return unscale_spectrograms(scale_spectrograms(analyse(waveform, SETTINGS), SETTINGS), SETTINGS)


def make_rng() -> torch.Generator:
    """Make the random number generator of a synthesis."""
    return torch.Generator().manual_seed(0)


def synthesise_separately(chunks: Chunks, seconds: float) -> Tensor:
    """Synthesise every half second separately, and concatenate the waveforms."""
    return torch.cat([synthesise(spectrogram[None], SETTINGS, make_rng())[0] for _, spectrogram in chunks])


def synthesise_in_sections(chunks: Chunks, seconds: float) -> Tensor:
    """Synthesise overlapping sections of several seconds, as cmcgan does."""
    return torch.from_numpy(np.concatenate(list(stitch(chunks, SETTINGS, seconds, make_rng()))))


def synthesise_at_once(chunks: Chunks, seconds: float) -> Tensor:
    """Synthesise everything as one section."""
    section, stitching.SECTION = stitching.SECTION, math.ceil(seconds * RATE / HOP) + 1
    waveform = synthesise_in_sections(chunks, seconds)
    stitching.SECTION = section
    return waveform


#: The ways to turn chunks and a length in seconds into a waveform (L,).
WAYS: dict[str, Callable[[Chunks, float], Tensor]] = {
    "butted": synthesise_separately,
    "one Griffin-Lim": synthesise_at_once,
    "sections": synthesise_in_sections,
}


def measure_click(waveform: Tensor, positions: list[int], width: int) -> float:
    """Measure how much a waveform moves at some positions, compared with 25 ms before and after.

    Args:
        waveform: samples (L,).
        positions: positions of the joins, in samples. Positions in silence are ignored.
        width: samples of a join.

    Returns:
        The mean ratio of the movement per sample; 0 if no position counts.
    """
    steps, around = waveform.diff().abs(), round(0.025 * RATE)
    ratios = []
    for position in positions:
        first = position - 1
        nearby = torch.cat([steps[first - around : first], steps[first + width :][:around]]).mean()
        if nearby > 1e-4:
            ratios.append(float(steps[first : first + width].mean() / nearby))
    return sum(ratios) / max(1, len(ratios))


def measure_piece(name: str, waveform: Tensor) -> None:
    """Print the error of the blended spectrograms, and a line for each way."""
    length, target = len(waveform) / RATE, clipped_spectrogram(waveform)
    joins = list(range(SETTINGS.samples, len(waveform), SETTINGS.samples))
    chunks = [(start / RATE, clipped_spectrogram(waveform[start : start + SETTINGS.samples])) for start in [0, *joins]]
    step = (stitching.SECTION - stitching.SHARED) * HOP
    fade, first = stitching.FADE * HOP, (stitching.KNOWN - stitching.FADE) * HOP
    seams = list(range(step + first, len(waveform) - stitching.SHARED * HOP, step))
    blended = torch.cat(list(blend_chunks(chunks, SETTINGS, target.shape[1])), dim=1)
    print(f"{name}, {length:g} s; blended spectrograms {float((blended - target).abs().mean()):.2f} dB")
    for way, synthesise_chunks in WAYS.items():
        started = time.process_time()
        output = synthesise_chunks(chunks, length)
        cost = (time.process_time() - started) / length
        error = float((clipped_spectrogram(output) - target).abs().mean())
        print(
            f"  {way:15s} {error:5.2f} dB  click at joins {measure_click(output, joins, 1):6.2f}, "
            f"at seams {measure_click(output, seams, fade):5.2f}  {cost:.2f} cpu-s",
            flush=True,
        )


def main(*arguments: str) -> None:
    """Print the measurements of every folder."""
    torch.set_num_threads(1)
    folders, seconds = arguments, 24.0
    if not Path(arguments[-1]).is_dir():
        folders, seconds = arguments[:-1], float(arguments[-1])
    print(f"torch {torch.__version__}; sections of {stitching.SECTION * HOP / RATE:.1f} s")
    for folder in map(Path, folders):
        measure_piece(folder.name, read_piece(folder, seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
