"""Generate films: frames that follow a sound, soundtracks for silent films, and frames for damaged intervals.

Each input is read in one pass, in memory that does not grow with its length. Exception: damaged intervals are found in
a separate pass.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.errors import MediaError
from cmcgan_core.features.stitch import stitch
from cmcgan_core.inference.generate.clips import resize_pictures
from cmcgan_core.inference.generate.latent_walk import LatentWalk
from cmcgan_core.inference.generate.plan import Task
from cmcgan_core.inference.generate.session import GenerationSession, LabelGuesser
from cmcgan_core.inference.routes import Format
from cmcgan_core.inference.translate import (
    make_rngs,
    pictures_to_input,
    to_levels,
    to_pictures,
    translate_maps,
    waveforms_to_input,
)
from cmcgan_core.inference.windows import Windows, open_windows
from cmcgan_core.media import film
from cmcgan_core.media.damage import DamagedInterval, find_damage
from cmcgan_core.media.files import SILENT_DBFS, announced_seconds, loudness, read_video
from cmcgan_core.media.level import set_level_of_blocks
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.progress import Progress
from cmcgan_core.utils.batches import in_batches

#: Frames, or half seconds, that pass through the network at once.
FRAMES_PER_BATCH = 64
#: Smallest default side of a film's frames, in pixels, because players enlarge small films badly.
MIN_FILM_SIZE = 256


@dataclass(frozen=True)
class FilmResult:
    """What was generated for a film.

    Attributes:
        guess: the most probable class; None without a classifier, for repairs, and if all sound is silent.
        unlike_training: whether most of the source is unlike the training data; None if the classifier cannot tell, for
            repairs, and if all sound is silent.
        silent: whether the source is a silent sound.
        repaired: the damaged intervals whose frames were generated.
    """

    guess: str | None = None
    unlike_training: bool | None = None
    silent: bool = False
    repaired: tuple[DamagedInterval, ...] = ()


def make_film(session: GenerationSession, task: Task) -> FilmResult:
    """Write a film that follows a sound; each frame is generated from the half second of sound that begins with it.

    Raises:
        MediaError: the sound cannot be read, or the film cannot be written.
    """
    (target,) = task.paths
    guesser = LabelGuesser(session, Modality.AUDIO)
    fps = film.storable_fps(target, session.output.fps)
    frames = _generate_frames(session, task.source, fps, guesser)
    if session.output.format == Format.PNG_SEQUENCE:
        film.write_sequence(target, frames)
    else:
        film.write_film(target, frames, fps, sound=task.source)
    return FilmResult(guesser.guess(), guesser.unlike_training(), guesser.is_silent())


def make_soundtrack(session: GenerationSession, task: Task) -> FilmResult:
    """Write the film with a generated soundtrack; each half second is generated from the frame at its start.

    Raises:
        MediaError: the film cannot be read, or the new one cannot be written.
    """
    (target,) = task.paths
    settings, rng = session.settings, make_rngs(session.sampling)[0]
    ends = (track.start + track.seconds for track in film.probe(task.source) if track.kind == "picture")
    if not (seconds := max(ends, default=0.0)):
        raise MediaError(f"{task.source}: holds no pictures that can be decoded")
    guesser = LabelGuesser(session, Modality.VISUAL)
    chunks = _generate_chunks(session, task.source, seconds, guesser)
    sound = stitch(chunks, settings, seconds, rng)
    sound = set_level_of_blocks(sound, settings.sample_rate, session.output.loudness, target.parent)
    film.add_soundtrack(task.source, target, sound, settings.sample_rate)
    return FilmResult(guesser.guess(), guesser.unlike_training(), guesser.is_silent())


def repair_film(session: GenerationSession, task: Task) -> FilmResult | None:
    """Write the film with its damaged frames generated from its sound; its other frames and its sound are kept.

    Returns:
        None if no frame is damaged; then nothing is written.

    Raises:
        MediaError: the film cannot be read, or the new one cannot be written.
    """
    (target,) = task.paths
    intervals = find_damage(task.source)
    if not intervals:
        return None
    windows, walk = open_windows(task.source, session.settings), _start_walk(session, Direction.A2V)
    numbers = itertools.count(1)
    total = sum(interval.frames for interval in intervals)

    def repair_frame(time: float, _: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        if not any(interval.start <= time < interval.end for interval in intervals):
            return None
        waveform = windows.at(time)
        if waveform is None:
            return None
        audio = waveforms_to_input(session.trained, torch.from_numpy(waveform)[None])
        visual = translate_maps(session.trained, Direction.A2V, audio, walk.at([time]))
        session.on_progress(Progress(f"repairing {task.source.name}", next(numbers), total, "pictures"))
        frame: NDArray[np.uint8] = to_pictures(visual)[0]
        return frame

    film.replace_frames(task.source, target, repair_frame)
    return FilmResult(repaired=tuple(intervals))


def _generate_frames(
    session: GenerationSession, source: Path, fps: float, guesser: LabelGuesser
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames (S, S, 3) of a film that follows a sound, and pass them to the guesser."""
    trained = session.trained
    windows, walk = open_windows(source, session.settings), _start_walk(session, Direction.A2V)
    size = session.output.size or max(MIN_FILM_SIZE, trained.about.config.network.picture_size)
    total = int(announced_seconds(source) * fps) or None
    for batch in in_batches(_windows_of_frames(windows, fps), FRAMES_PER_BATCH):
        times, waveforms = zip(*batch, strict=True)
        audio = waveforms_to_input(trained, torch.from_numpy(np.stack(waveforms)))
        visual = translate_maps(trained, Direction.A2V, audio, walk.at(times))
        guesser.add(audio, visual, [loudness(waveform) >= SILENT_DBFS for waveform in waveforms])
        yield from to_pictures(resize_pictures(visual, size))
        session.on_progress(Progress(f"making a film of {source.name}", round(times[-1] * fps) + 1, total, "pictures"))


def _windows_of_frames(windows: Windows, fps: float) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """Yield the time of each frame in seconds, and the half second of sound (L,) that begins with it."""
    for number in itertools.count():
        waveform = windows.at(number / fps)
        if waveform is None:
            return
        yield number / fps, waveform


def _generate_chunks(
    session: GenerationSession, source: Path, seconds: float, guesser: LabelGuesser
) -> Iterator[tuple[float, Tensor]]:
    """Yield the start of each half second of a soundtrack and its spectrogram (M, T), and pass them to the guesser.

    Args:
        session: the model and the options.
        source: the film.
        seconds: length of the film.
        guesser: guesses the class of the film.
    """
    trained, settings = session.trained, session.settings
    walk = _start_walk(session, Direction.V2A)
    total = int(np.ceil(seconds / settings.seconds))
    for batch in in_batches(read_video(source, settings.seconds, settings.picture_size), FRAMES_PER_BATCH):
        times, pictures = zip(*((time, picture) for time, (picture,) in batch), strict=True)
        visual = pictures_to_input(trained, np.stack(pictures))
        audio = translate_maps(trained, Direction.V2A, visual, walk.at(times))
        guesser.add(audio, visual)
        yield from zip(times, to_levels(trained, audio), strict=True)
        finished = round(times[-1] / settings.seconds) + 1
        session.on_progress(Progress(f"making a soundtrack for {source.name}", finished, total, "half seconds"))


def _start_walk(session: GenerationSession, direction: Direction) -> LatentWalk:
    """Start the latent walk of a film: by default the latents are constant."""
    return session.start_latent_walk(direction, make_rngs(session.sampling)[0], 0.0)
