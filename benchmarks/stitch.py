"""Long sound out of half seconds: chunks butted together, one Griffin-Lim for all, and sections, on real recordings.

Each folder's recordings, one after the other, are a piece; its half seconds are analysed as `prepare` does, and turned
back. Errors are mean distances in decibels: of the blended levels, and of what the waveforms sound like, to the whole
piece's own. A click of 1 means that the waveform moves at the joins as it does 25 ms around them; a seam is where two
sections are faded. CPU-seconds are for a second of sound, one thread.

usage: python benchmarks/stitch.py FOLDER... [SECONDS]
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
Chunks = list[tuple[float, Tensor]]


def piece(folder: Path, seconds: float) -> Tensor:
    """The recordings of a folder one after the other, (L,), at most so long, a whole number of half seconds."""
    sounds = [read_sound(path, RATE) for path in sorted(folder.iterdir()) if media_kind(path) == "sound"]
    waveform = torch.from_numpy(np.concatenate(sounds)[: round(seconds * RATE)])
    return waveform[: len(waveform) // SETTINGS.samples * SETTINGS.samples]


def heard(waveform: Tensor) -> Tensor:
    """Levels, clipped to the range that networks see."""
    return unscale_spectrograms(scale_spectrograms(analyse(waveform, SETTINGS), SETTINGS), SETTINGS)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def butted(chunks: Chunks, seconds: float) -> Tensor:
    return torch.cat([synthesise(levels[None], SETTINGS, rng())[0] for _, levels in chunks])


def in_sections(chunks: Chunks, seconds: float) -> Tensor:
    return torch.from_numpy(np.concatenate(list(stitch(chunks, SETTINGS, seconds, rng()))))


def at_once(chunks: Chunks, seconds: float) -> Tensor:
    section, stitching.SECTION = stitching.SECTION, math.ceil(seconds * RATE / HOP) + 1
    made = in_sections(chunks, seconds)
    stitching.SECTION = section
    return made


#: Ways to make a waveform of the chunks.
WAYS: dict[str, Callable[[Chunks, float], Tensor]] = {
    "butted": butted,
    "one Griffin-Lim": at_once,
    "sections": in_sections,
}


def click(waveform: Tensor, places: list[int], width: int) -> float:
    """How much the waveform moves in `width` samples from the places on, against 25 ms on both sides; where it does."""
    steps, around = waveform.diff().abs(), round(0.025 * RATE)
    ratios = []
    for place in places:
        near = torch.cat([steps[place - 1 - around : place - 1], steps[place - 1 + width :][:around]]).mean()
        if near > 1e-4:
            ratios.append(float(steps[place - 1 : place - 1 + width].mean() / near))
    return sum(ratios) / max(1, len(ratios))


def main(*arguments: str) -> None:
    torch.set_num_threads(1)
    folders, seconds = arguments, 24.0
    if not Path(arguments[-1]).is_dir():
        folders, seconds = arguments[:-1], float(arguments[-1])
    print(f"torch {torch.__version__}; sections of {stitching.SECTION * HOP / RATE:.1f} s")
    for folder in map(Path, folders):
        waveform = piece(folder, seconds)
        length, wanted = len(waveform) / RATE, heard(waveform)
        joins = list(range(SETTINGS.samples, len(waveform), SETTINGS.samples))
        chunks = [(start / RATE, heard(waveform[start : start + SETTINGS.samples])) for start in [0, *joins]]
        step = (stitching.SECTION - stitching.SHARED) * HOP
        fade, first = stitching.FADE * HOP, (stitching.KNOWN - stitching.FADE) * HOP
        seams = list(range(step + first, len(waveform) - stitching.SHARED * HOP, step))
        levels = torch.cat(list(blend_chunks(chunks, SETTINGS, wanted.shape[1])), dim=1)
        print(f"{folder.name}, {length:g} s; blended levels {float((levels - wanted).abs().mean()):.2f} dB")
        for name, make in WAYS.items():
            started = time.process_time()
            made = make(chunks, length)
            cost = (time.process_time() - started) / length
            error = float((heard(made) - wanted).abs().mean())
            print(
                f"  {name:15s} {error:5.2f} dB  click at joins {click(made, joins, 1):6.2f}, "
                f"at seams {click(made, seams, fade):5.2f}  {cost:.2f} cpu-s",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
