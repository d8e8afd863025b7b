"""Generate still pictures of half a second of sound, and sounds of a picture, for several inputs at a time.

Shapes: N inputs, K samples of each, L samples of half a second, (M, T) bins and frames of a spectrogram, S side of a
picture.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.errors import MediaError
from cmcgan_core.features import figures
from cmcgan_core.features.representations import synthesise
from cmcgan_core.features.scaling import resize, scale_spectrograms
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.features.stitch import blend_chunks, stitch
from cmcgan_core.inference.generate.plan import Task
from cmcgan_core.inference.generate.session import GenerationSession
from cmcgan_core.inference.routes import Route
from cmcgan_core.inference.translate import (
    draw_latents,
    make_rngs,
    pictures_to_input,
    read_half_second,
    to_levels,
    to_pictures,
    translate_maps,
    waveforms_to_input,
)
from cmcgan_core.media.files import SILENT_DBFS, loudness, read_picture, write_picture, write_sound
from cmcgan_core.media.level import set_level
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.utils.files import atomic_write

#: Writes one output to a path.
Writer = Callable[[Path], None]


class ClipOutputs(NamedTuple):
    """The outputs of one input, not yet written."""

    writers: list[tuple[Writer, ...]]  #: for each sample, the writers of its files
    guess: str | None  #: the most probable class; None without a classifier, and for a silent sound
    unlike_training: bool | None  #: whether the input is; None if the classifier cannot tell, and for a silent sound
    silent: bool = False  #: whether the input is a silent sound


def read_source(session: GenerationSession, task: Task) -> Tensor:
    """Read the input of a task: half a second of sound (L,), or a picture (S, S, 3) uint8.

    Raises:
        MediaError: it cannot be read.
    """
    if task.route is Route.PICTURES:
        return read_half_second(task.source, session.settings, session.sampling.at)
    return torch.from_numpy(read_picture(task.source, session.settings.picture_size).copy())


def generate_clips(session: GenerationSession, route: Route, sources: Sequence[Tensor]) -> list[ClipOutputs]:
    """Generate the outputs of inputs of one route.

    Args:
        session: the model and the options.
        route: PICTURES or SOUNDS.
        sources: the inputs, as `read_source` returns them.
    """
    inputs = torch.stack(list(sources))
    return _generate_pictures(session, inputs) if route is Route.PICTURES else _generate_sounds(session, inputs)


def resize_pictures(pictures: Tensor, size: int | None) -> Tensor:
    """Resize pictures (N, 3, S, S) in [-1, 1] to a side of `size` pixels; None keeps their size."""
    return pictures if size is None else resize(pictures, (size, size)).clamp(-1, 1)


def _generate_pictures(session: GenerationSession, waveforms: Tensor) -> list[ClipOutputs]:
    """Generate pictures of sounds (N, L)."""
    audio = waveforms_to_input(session.trained, waveforms)
    latents = draw_latents(session.trained, Direction.A2V, session.sampling)
    samples = [translate_maps(session.trained, Direction.A2V, audio, z) for z in latents]
    guesses = session.guess_labels(audio, samples[0])
    unlike = session.find_unlike(Modality.AUDIO, audio)
    silent = [loudness(waveform) < SILENT_DBFS for waveform in waveforms.numpy()]
    visual = torch.stack([resize_pictures(maps, session.output.size) for maps in samples], dim=1)  # (N, K, 3, S, S)
    outputs = [_draw_sheet(maps)[None] if session.output.grid else to_pictures(maps) for maps in visual]
    return [
        ClipOutputs(
            [(partial(write_picture, picture=picture),) for picture in pictures],
            None if is_silent else guess,
            None if is_silent else is_unlike,
            silent=is_silent,
        )
        for pictures, guess, is_unlike, is_silent in zip(outputs, guesses, unlike, silent, strict=True)
    ]


def _draw_sheet(samples: Tensor) -> NDArray[np.uint8]:
    """Return samples (K, 3, S, S) as one picture (height, width, 3), in rows and columns of about the same number."""
    columns = int(np.ceil(np.sqrt(len(samples))))
    return figures.draw_grid(torch.split(samples, columns), side=samples.shape[-1])


def _generate_sounds(session: GenerationSession, pictures: Tensor) -> list[ClipOutputs]:
    """Generate sounds of pictures (N, S, S, 3)."""
    visual = pictures_to_input(session.trained, pictures.numpy())
    maps = generate_spectrograms(session, visual)
    guesses = session.guess_labels(maps[:, 0, 0], visual)
    writers = [_make_writers(waveform, levels, session.settings) for waveform, levels in synthesise_all(session, maps)]
    count = session.sampling.samples
    unlike = session.find_unlike(Modality.VISUAL, visual)
    return [
        ClipOutputs(writers[i * count : (i + 1) * count], guess, is_unlike)
        for i, (guess, is_unlike) in enumerate(zip(guesses, unlike, strict=True))
    ]


def generate_spectrograms(session: GenerationSession, visual: Tensor) -> Tensor:
    """Generate the spectrograms of N pictures, for all half seconds of `session.clip_seconds`.

    Args:
        session: the model and the options.
        visual: pictures (N, 3, S', S') at the size of the network.

    Returns:
        Maps (N, K, half seconds, 1, M, T') in [-1, 1].
    """
    samples = []
    for rng in make_rngs(session.sampling):
        walk = session.start_latent_walk(Direction.V2A, rng, session.settings.seconds)
        latents = [walk.at([start]) for start in _half_second_starts(session)]
        samples.append(torch.stack([translate_maps(session.trained, Direction.V2A, visual, z) for z in latents], dim=1))
    return torch.stack(samples, dim=1)


def synthesise_all(session: GenerationSession, maps: Tensor) -> Iterator[tuple[NDArray[np.float32], Tensor]]:
    """Yield the sounds of maps from `generate_spectrograms`, one by one.

    The order is that of the pictures; the samples of a picture follow one another.

    Yields:
        Waveform (n,), at the level of `OutputOptions.loudness`, and the spectrogram (M, frames) that the model
        generated, in the unit of the representation, usually decibels.
    """
    levels = to_levels(session.trained, maps.flatten(0, 2))
    levels = levels.reshape(*maps.shape[:3], *levels.shape[1:])
    single = session.clip_seconds == session.settings.seconds
    sounds = _synthesise_half_seconds(session, levels[:, :, 0]) if single else _stitch_half_seconds(session, levels)
    for waveform, spectrogram in sounds:
        yield set_level(waveform, session.settings.sample_rate, session.output.loudness), spectrogram


def _half_second_starts(session: GenerationSession) -> list[float]:
    """Return the starts of the half seconds that the sound of a picture consists of, in seconds."""
    seconds = session.settings.seconds
    return [seconds * i for i in range(int(np.ceil(session.clip_seconds / seconds - 1e-6)))]


def _synthesise_half_seconds(
    session: GenerationSession, levels: Tensor
) -> Iterator[tuple[NDArray[np.float32], Tensor]]:
    """Yield waveforms (L,) and their spectrograms (M, T) of single half seconds (N, K, M, T), synthesised together."""
    rngs = [rng for _ in levels for rng in make_rngs(session.sampling)]
    waveforms = synthesise(levels.flatten(0, 1), session.settings, rngs)
    yield from zip(waveforms.cpu().numpy(), levels.flatten(0, 1), strict=True)


def _stitch_half_seconds(session: GenerationSession, levels: Tensor) -> Iterator[tuple[NDArray[np.float32], Tensor]]:
    """Yield waveforms (n,) and their spectrograms (M, frames) of consecutive half seconds (N, K, count, M, T)."""
    settings, seconds = session.settings, session.clip_seconds
    frames = 1 + int(seconds * settings.sample_rate) // settings.hop_length
    for samples in levels:
        for chunks, rng in zip(samples, make_rngs(session.sampling), strict=True):
            timed = list(zip(_half_second_starts(session), chunks, strict=True))
            waveform = np.concatenate(list(stitch(timed, settings, seconds, rng)))
            yield waveform, torch.cat(list(blend_chunks(timed, settings, frames)), dim=1)


def _make_writers(waveform: NDArray[np.float32], levels: Tensor, settings: FeatureSettings) -> tuple[Writer, ...]:
    """Return the writers of a sound (n,), of a picture of its spectrogram, and of its spectrogram (M, frames)."""
    drawn = figures.draw_spectrograms(scale_spectrograms(levels, settings)[None, None], enlarge=3)[0]
    return (
        partial(write_sound, waveform=waveform, sample_rate=settings.sample_rate),
        partial(write_picture, picture=drawn),
        partial(_write_levels, levels=levels.cpu().numpy()),
    )


def _write_levels(path: Path, levels: NDArray[np.float32]) -> None:
    """Write a spectrogram (M, frames) as a .npy file, completely or not at all.

    Raises:
        MediaError: it cannot be written.
    """
    try:
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.save(file, levels)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written ({error.strerror})") from error
