"""Stills of half a second of sound, and sounds of a picture; several inputs at a time.

Shapes: N inputs, K samples of each, L samples of half a second, (M, T) mel bands and frames, S side of a picture.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.errors import MediaError
from cmcgan_core.features import figures
from cmcgan_core.features.representations import synthesise
from cmcgan_core.features.scaling import resize, scale_spectrograms
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.features.stitch import blend_chunks, stitch
from cmcgan_core.inference.classify import LabelGuesser
from cmcgan_core.inference.generate.latent_walk import LatentWalk
from cmcgan_core.inference.generate.plan import OutputOptions, Task
from cmcgan_core.inference.translate import (
    SamplingOptions,
    latents,
    make_rngs,
    pictures_to_input,
    read_chunk,
    require_translator,
    to_levels,
    to_pictures,
    translate_maps,
    waveforms_to_input,
)
from cmcgan_core.media.files import read_picture, write_picture, write_sound
from cmcgan_core.modality import Direction
from cmcgan_core.utils.files import atomic_write

#: Writes one output under a name.
Writer = Callable[[Path], None]


class Made(NamedTuple):
    """What became of one input: writers of its outputs by sample, and the class that it seems to be."""

    writers: list[tuple[Writer, ...]]
    guess: str | None


def read(trained: Trained, task: Task, sampling: SamplingOptions) -> Tensor:
    """What a task is made of: half a second of sound (L,), or a picture (S, S, 3) uint8.

    Raises:
        MediaError: it cannot be read.
    """
    settings = trained.about.settings
    if task.route == "pictures":
        return read_chunk(task.source, settings, sampling.at)
    return torch.from_numpy(read_picture(task.source, settings.picture_size).copy())


def make(
    trained: Trained,
    tasks: Sequence[Task],
    sources: Sequence[Tensor],
    sampling: SamplingOptions,
    output: OutputOptions,
    guesser: LabelGuesser,
) -> list[Made]:
    """What becomes of tasks of one route, given what `read` has read for them."""
    makers = {"pictures": _pictures, "sounds": _sounds}
    return makers[str(tasks[0].route)](trained, torch.stack(list(sources)), sampling, output, guesser)


def resized(pictures: Tensor, size: int | None) -> Tensor:
    """Maps (N, 3, S, S) in [-1, 1] with another side, if one is asked for."""
    return pictures if size is None else resize(pictures, (size, size)).clamp(-1, 1)


def _pictures(
    trained: Trained, waveforms: Tensor, sampling: SamplingOptions, output: OutputOptions, guesser: LabelGuesser
) -> list[Made]:
    """Of sounds (N, L)."""
    heard = waveforms_to_input(trained, waveforms)
    samples = [translate_maps(trained, Direction.A2V, heard, z) for z in latents(trained, Direction.A2V, sampling)]
    guesses = guesser.each(heard, samples[0])
    drawn = torch.stack([resized(maps, output.size) for maps in samples], dim=1)  # (N, K, 3, S, S)
    sheets = [_sheet(one)[None] if output.grid else to_pictures(one) for one in drawn]
    return [
        Made([(partial(write_picture, picture=picture),) for picture in sheet], guess)
        for sheet, guess in zip(sheets, guesses, strict=True)
    ]


def _sheet(samples: Tensor) -> NDArray[np.uint8]:
    """Samples (K, 3, S, S) side by side, in rows of equal length that are about as many as they are long."""
    columns = int(np.ceil(np.sqrt(len(samples))))
    return figures.draw_grid(torch.split(samples, columns), side=samples.shape[-1])


def _sounds(
    trained: Trained, pictures: Tensor, sampling: SamplingOptions, output: OutputOptions, guesser: LabelGuesser
) -> list[Made]:
    """Of pictures (N, S, S, 3)."""
    seen = pictures_to_input(trained, pictures.numpy())
    maps = generate_spectrograms(trained, seen, sampling, output)
    guesses = guesser.each(maps[:, 0, 0], seen)
    settings = trained.about.settings
    made = [
        _writers(waveform, levels, settings)
        for waveform, levels in synthesise_waveforms(trained, maps, sampling, output)
    ]
    return [Made(made[i * sampling.samples : (i + 1) * sampling.samples], guess) for i, guess in enumerate(guesses)]


def generate_spectrograms(trained: Trained, seen: Tensor, sampling: SamplingOptions, output: OutputOptions) -> Tensor:
    """Maps (N, K, steps, 1, M, T') of pictures as the network sees them, for every half second of `form.seconds`."""
    network, settings = require_translator(trained, Direction.V2A, hops=sampling.hops), trained.about.settings
    drift = settings.seconds if output.drift is None else output.drift
    starts = _starts(_seconds(output, settings), settings)
    samples = []
    for rng in make_rngs(sampling):
        z = LatentWalk(network, rng, sampling.hops, drift)
        samples.append(
            torch.stack([translate_maps(trained, Direction.V2A, seen, z.at([start])) for start in starts], dim=1)
        )
    return torch.stack(samples, dim=1)


def synthesise_waveforms(
    trained: Trained, maps: Tensor, sampling: SamplingOptions, output: OutputOptions
) -> Iterator[tuple[NDArray[np.float32], Tensor]]:
    """Waveforms (n,) of what `generate_spectrograms` made, and their levels (M, frames) in decibels.

    One by one, first all samples of the first picture.
    """
    settings, seconds = trained.about.settings, _seconds(output, trained.about.settings)
    levels = to_levels(trained, maps.flatten(0, 2))
    levels = levels.reshape(*maps.shape[:3], *levels.shape[1:])
    if seconds == settings.seconds:
        return _voiced(levels[:, :, 0], settings, sampling)
    return _stitched(levels, seconds, settings, sampling)


def _seconds(output: OutputOptions, settings: FeatureSettings) -> float:
    return settings.seconds if output.seconds is None else output.seconds


def _starts(seconds: float, settings: FeatureSettings) -> list[float]:
    """Of the half seconds that so long a sound is made of."""
    return [settings.seconds * i for i in range(int(np.ceil(seconds / settings.seconds - 1e-6)))]


def _voiced(
    levels: Tensor, settings: FeatureSettings, sampling: SamplingOptions
) -> Iterator[tuple[NDArray[np.float32], Tensor]]:
    """Waveforms (L,) of single half seconds (N, K, M, T) in decibels, all at once, each with its levels (M, T)."""
    phases = [rng for _ in levels for rng in make_rngs(sampling)]
    waveforms = synthesise(levels.flatten(0, 1), settings, phases)
    yield from zip(waveforms.cpu().numpy(), levels.flatten(0, 1), strict=True)


def _stitched(
    levels: Tensor, seconds: float, settings: FeatureSettings, sampling: SamplingOptions
) -> Iterator[tuple[NDArray[np.float32], Tensor]]:
    """Waveforms of several half seconds each (N, K, steps, M, T), one by one, with their levels (M, frames)."""
    frames = 1 + int(seconds * settings.sample_rate) // settings.hop_length
    for samples in levels:
        for chunks, rng in zip(samples, make_rngs(sampling), strict=True):
            timed = list(zip(_starts(seconds, settings), chunks, strict=True))
            waveform = np.concatenate(list(stitch(timed, settings, seconds, rng)))
            yield waveform, torch.cat(list(blend_chunks(timed, settings, frames)), dim=1)


def _writers(waveform: NDArray[np.float32], levels: Tensor, settings: FeatureSettings) -> tuple[Writer, ...]:
    """Of a sound, of its spectrogram drawn, and of its levels (M, frames)."""
    drawn = figures.draw_spectrograms(scale_spectrograms(levels, settings)[None, None], enlarge=3)[0]
    return (
        partial(write_sound, waveform=waveform, sample_rate=settings.sample_rate),
        partial(write_picture, picture=drawn),
        partial(write_levels, levels=levels.cpu().numpy()),
    )


def write_levels(path: Path, levels: NDArray[np.float32]) -> None:
    """Write levels (M, frames) in decibels as a .npy file, whole or not at all.

    Raises:
        MediaError: it cannot be written.
    """
    try:
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.save(file, levels)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written ({error.strerror})") from error
