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
from cmcgan_core.features.scaling import resize, scale_levels
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.features.stitch import blended, stitch
from cmcgan_core.inference.classify import Guesser
from cmcgan_core.inference.generate.latent_walk import Drift
from cmcgan_core.inference.generate.plan import Form, Task
from cmcgan_core.inference.translate import (
    Choices,
    generators,
    latents,
    listen,
    look,
    read_chunk,
    render,
    to_levels,
    to_pictures,
    translator,
)
from cmcgan_core.media.files import read_picture, write_picture, write_sound
from cmcgan_core.utils.files import atomic_write

#: Writes one output under a name.
Writer = Callable[[Path], None]


class Made(NamedTuple):
    """What became of one input: writers of its outputs by sample, and the class that it seems to be."""

    writers: list[tuple[Writer, ...]]
    guess: str | None


def read(trained: Trained, task: Task, choices: Choices) -> Tensor:
    """What a task is made of: half a second of sound (L,), or a picture (S, S, 3) uint8.

    Raises:
        MediaError: it cannot be read.
    """
    settings = trained.about.settings
    if task.route == "pictures":
        return read_chunk(task.source, settings, choices.at)
    return torch.from_numpy(read_picture(task.source, settings.picture_size).copy())


def make(
    trained: Trained, tasks: Sequence[Task], sources: Sequence[Tensor], choices: Choices, form: Form, guesser: Guesser
) -> list[Made]:
    """What becomes of tasks of one route, given what `read` has read for them."""
    makers = {"pictures": _pictures, "sounds": _sounds}
    return makers[str(tasks[0].route)](trained, torch.stack(list(sources)), choices, form, guesser)


def resized(pictures: Tensor, size: int | None) -> Tensor:
    """Maps (N, 3, S, S) in [-1, 1] with another side, if one is asked for."""
    return pictures if size is None else resize(pictures, (size, size)).clamp(-1, 1)


def _pictures(trained: Trained, waveforms: Tensor, choices: Choices, form: Form, guesser: Guesser) -> list[Made]:
    """Of sounds (N, L)."""
    heard = listen(trained, waveforms)
    samples = [render(trained, "a2v", heard, z) for z in latents(trained, "a2v", choices)]
    guesses = guesser.each(heard, samples[0])
    drawn = torch.stack([resized(maps, form.size) for maps in samples], dim=1)  # (N, K, 3, S, S)
    sheets = [_sheet(one)[None] if form.grid else to_pictures(one) for one in drawn]
    return [
        Made([(partial(write_picture, picture=picture),) for picture in sheet], guess)
        for sheet, guess in zip(sheets, guesses, strict=True)
    ]


def _sheet(samples: Tensor) -> NDArray[np.uint8]:
    """Samples (K, 3, S, S) side by side, in rows of equal length that are about as many as they are long."""
    columns = int(np.ceil(np.sqrt(len(samples))))
    return figures.grid(torch.split(samples, columns), side=samples.shape[-1])


def _sounds(trained: Trained, pictures: Tensor, choices: Choices, form: Form, guesser: Guesser) -> list[Made]:
    """Of pictures (N, S, S, 3)."""
    seen = look(trained, pictures.numpy())
    maps = spectrograms(trained, seen, choices, form)
    guesses = guesser.each(maps[:, 0, 0], seen)
    settings = trained.about.settings
    made = [_writers(waveform, levels, settings) for waveform, levels in voices(trained, maps, choices, form)]
    return [Made(made[i * choices.samples : (i + 1) * choices.samples], guess) for i, guess in enumerate(guesses)]


def spectrograms(trained: Trained, seen: Tensor, choices: Choices, form: Form) -> Tensor:
    """Maps (N, K, steps, 1, M, T') of pictures as the network sees them, for every half second of `form.seconds`."""
    network, settings = translator(trained, "v2a", hops=choices.hops), trained.about.settings
    drift = settings.seconds if form.drift is None else form.drift
    starts = _starts(_seconds(form, settings), settings)
    samples = []
    for generator in generators(choices):
        z = Drift(network, generator, choices.hops, drift)
        samples.append(torch.stack([render(trained, "v2a", seen, z.at([start])) for start in starts], dim=1))
    return torch.stack(samples, dim=1)


def voices(
    trained: Trained, maps: Tensor, choices: Choices, form: Form
) -> Iterator[tuple[NDArray[np.float32], Tensor]]:
    """Waveforms (n,) of what `spectrograms` made, and their levels (M, frames) in decibels.

    One by one, first all samples of the first picture.
    """
    settings, seconds = trained.about.settings, _seconds(form, trained.about.settings)
    levels = to_levels(trained, maps.flatten(0, 2))
    levels = levels.reshape(*maps.shape[:3], *levels.shape[1:])
    if seconds == settings.seconds:
        return _voiced(levels[:, :, 0], settings, choices)
    return _stitched(levels, seconds, settings, choices)


def _seconds(form: Form, settings: FeatureSettings) -> float:
    return settings.seconds if form.seconds is None else form.seconds


def _starts(seconds: float, settings: FeatureSettings) -> list[float]:
    """Of the half seconds that so long a sound is made of."""
    return [settings.seconds * i for i in range(int(np.ceil(seconds / settings.seconds - 1e-6)))]


def _voiced(
    levels: Tensor, settings: FeatureSettings, choices: Choices
) -> Iterator[tuple[NDArray[np.float32], Tensor]]:
    """Waveforms (L,) of single half seconds (N, K, M, T) in decibels, all at once, each with its levels (M, T)."""
    phases = [generator for _ in levels for generator in generators(choices)]
    waveforms = synthesise(levels.flatten(0, 1), settings, phases)
    yield from zip(waveforms.cpu().numpy(), levels.flatten(0, 1), strict=True)


def _stitched(
    levels: Tensor, seconds: float, settings: FeatureSettings, choices: Choices
) -> Iterator[tuple[NDArray[np.float32], Tensor]]:
    """Waveforms of several half seconds each (N, K, steps, M, T), one by one, with their levels (M, frames)."""
    frames = 1 + int(seconds * settings.sample_rate) // settings.hop_length
    for samples in levels:
        for chunks, generator in zip(samples, generators(choices), strict=True):
            timed = list(zip(_starts(seconds, settings), chunks, strict=True))
            waveform = np.concatenate(list(stitch(timed, settings, seconds, generator)))
            yield waveform, torch.cat(list(blended(timed, settings, frames)), dim=1)


def _writers(waveform: NDArray[np.float32], levels: Tensor, settings: FeatureSettings) -> tuple[Writer, ...]:
    """Of a sound, of its spectrogram drawn, and of its levels (M, frames)."""
    drawn = figures.spectrogram_pictures(scale_levels(levels, settings)[None, None], enlarge=3)[0]
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
