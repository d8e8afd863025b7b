"""A film that follows a sound, a soundtrack to a film that has none, and pictures anew where a film's are damaged.

All of them go through their input once, in memory that does not grow with its length.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.errors import MediaError
from cmcgan_core.features.stitch import stitch
from cmcgan_core.inference.classify import LabelGuesser
from cmcgan_core.inference.generate.clips import resized
from cmcgan_core.inference.generate.latent_walk import LatentWalk
from cmcgan_core.inference.generate.plan import OutputOptions, Task
from cmcgan_core.inference.translate import (
    SamplingOptions,
    make_rngs,
    pictures_to_input,
    require_translator,
    to_levels,
    to_pictures,
    translate_maps,
    waveforms_to_input,
)
from cmcgan_core.inference.windows import Windows, open_windows
from cmcgan_core.media import film
from cmcgan_core.media.damage import DamagedInterval, find_damage
from cmcgan_core.media.files import read_video, sound_seconds
from cmcgan_core.modality import Direction
from cmcgan_core.progress import OnProgress, Progress
from cmcgan_core.utils.batches import in_batches

#: Pictures, or half seconds, that go through the network at a time.
BATCH = 64
#: The least side of a film's pictures, in pixels, where none is asked for: players enlarge small films badly.
SIDE = 256


@dataclass(frozen=True)
class Film:
    """What became of a film.

    Attributes:
        guess: the class that it seems to be.
        repaired: the stretches whose pictures were made anew.
    """

    guess: str | None = None
    repaired: tuple[DamagedInterval, ...] = ()


def make_film(
    trained: Trained,
    task: Task,
    sampling: SamplingOptions,
    output: OutputOptions,
    guesser: LabelGuesser,
    on_progress: OnProgress,
) -> Film:
    """A film of `form.fps` pictures a second, each made of the half second that begins when it is shown.

    Raises:
        MediaError: the sound cannot be read, or the film not written.
    """
    (target,) = task.paths
    seen: list[Tensor | None] = []
    frames = _frames(trained, task.source, sampling, output, guesser, seen, on_progress)
    if output.format == "png-sequence":
        film.write_sequence(target, frames)
    else:
        film.write_film(target, frames, output.fps, sound=task.source)
    return Film(guesser.mean(seen))


def make_soundtrack(
    trained: Trained,
    task: Task,
    sampling: SamplingOptions,
    output: OutputOptions,
    guesser: LabelGuesser,
    on_progress: OnProgress,
) -> Film:
    """The film as it is, with a sound that is made of one picture each half second.

    Raises:
        MediaError: the film cannot be read, or the new one not written.
    """
    (target,) = task.paths
    settings, (rng,) = trained.about.settings, make_rngs(sampling)
    ends = (track.start + track.seconds for track in film.probe(task.source) if track.kind == "picture")
    if not (seconds := max(ends, default=0.0)):
        raise MediaError(f"{task.source}: holds no pictures that can be decoded")
    seen: list[Tensor | None] = []
    chunks = _chunks(trained, task.source, seconds, sampling, output, guesser, seen, on_progress)
    film.add_soundtrack(task.source, target, stitch(chunks, settings, seconds, rng), settings.sample_rate)
    return Film(guesser.mean(seen))


def repair(
    trained: Trained,
    task: Task,
    sampling: SamplingOptions,
    output: OutputOptions,
    guesser: LabelGuesser,
    on_progress: OnProgress,
) -> Film | None:
    """The film with its damaged pictures made anew of the sound beside them, and its other pictures and its sound kept.

    Returns:
        None where no picture is damaged, so that nothing is made.

    Raises:
        MediaError: the film cannot be read, or the new one not written.
    """
    del guesser
    (target,) = task.paths
    stretches = find_damage(task.source)
    if not stretches:
        return None
    windows, drift = open_windows(task.source, trained.about.settings), _drift(trained, Direction.A2V, sampling, output)
    done = itertools.count(1)
    total = sum(stretch.frames for stretch in stretches)

    def anew(time: float, picture: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        if not any(stretch.start <= time < stretch.end for stretch in stretches):
            return None
        waveform = windows.at(time)
        if waveform is None:
            return None
        maps = translate_maps(
            trained, Direction.A2V, waveforms_to_input(trained, torch.from_numpy(waveform)[None]), drift.at([time])
        )
        on_progress(Progress(f"repairing {task.source.name}", next(done), total, "pictures"))
        made: NDArray[np.uint8] = to_pictures(maps)[0]
        return made

    film.replace_frames(task.source, target, anew)
    return Film(repaired=tuple(stretches))


def _frames(
    trained: Trained,
    source: Path,
    sampling: SamplingOptions,
    output: OutputOptions,
    guesser: LabelGuesser,
    seen: list[Tensor | None],
    on_progress: OnProgress,
) -> Iterator[NDArray[np.uint8]]:
    """The pictures (S, S, 3) of a film, one after the other; adds to `seen` what the classifier sees in them."""
    windows, drift = open_windows(source, trained.about.settings), _drift(trained, Direction.A2V, sampling, output)
    size = output.size or max(SIDE, trained.about.config.network.picture_size)
    total = int(sound_seconds(source) * output.fps) or None
    for batch in in_batches(_heard(windows, output.fps), BATCH):
        times, waveforms = zip(*batch, strict=True)
        heard = waveforms_to_input(trained, torch.from_numpy(np.stack(waveforms)))
        maps = translate_maps(trained, Direction.A2V, heard, drift.at(times))
        seen.append(guesser.probabilities(heard, maps))
        yield from to_pictures(resized(maps, size))
        on_progress(Progress(f"filming {source.name}", round(times[-1] * output.fps) + 1, total, "pictures"))


def _heard(windows: Windows, fps: float) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """When each picture is shown, and the half second from then on."""
    for number in itertools.count():
        waveform = windows.at(number / fps)
        if waveform is None:
            return
        yield number / fps, waveform


def _chunks(
    trained: Trained,
    source: Path,
    seconds: float,
    sampling: SamplingOptions,
    output: OutputOptions,
    guesser: LabelGuesser,
    seen: list[Tensor | None],
    on_progress: OnProgress,
) -> Iterator[tuple[float, Tensor]]:
    """When each half second starts, and its levels (M, T); adds to `seen` what the classifier sees in them."""
    settings, drift = trained.about.settings, _drift(trained, Direction.V2A, sampling, output)
    total = int(np.ceil(seconds / settings.seconds))
    for batch in in_batches(read_video(source, settings.seconds, settings.picture_size), BATCH):
        times, pictures = zip(*((time, picture) for time, (picture,) in batch), strict=True)
        shown = pictures_to_input(trained, np.stack(pictures))
        maps = translate_maps(trained, Direction.V2A, shown, drift.at(times))
        seen.append(guesser.probabilities(maps, shown))
        yield from zip(times, to_levels(trained, maps), strict=True)
        on_progress(Progress(f"scoring {source.name}", round(times[-1] / settings.seconds) + 1, total, "half seconds"))


def _drift(trained: Trained, direction: Direction, sampling: SamplingOptions, output: OutputOptions) -> LatentWalk:
    network = require_translator(trained, direction, hops=sampling.hops)
    return LatentWalk(network, make_rngs(sampling)[0], sampling.hops, output.drift or 0.0)
