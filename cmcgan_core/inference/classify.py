"""Classify files: sounds, pictures and videos, with a timeline if requested."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.errors import ConfigError, MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.chunks import HalfSecond, read_half_seconds
from cmcgan_core.inference.dynamic_classifier import Classified, DynamicClassifier, TimelineStep, are_most
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import read_half_second, to_audio, to_visual
from cmcgan_core.media.files import (
    SILENT_DBFS,
    announced_seconds,
    loudness,
    media_kind,
    read_picture,
    require_media,
)
from cmcgan_core.modality import Modality
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.batches import in_batches

#: Half seconds that are classified at once.
HALF_SECONDS_PER_BATCH = 64
#: Shortest step of a timeline, in seconds.
MIN_STEP_SECONDS = 0.01


def classify_files(
    generating: Trained, classifier: Trained, sound: Path | None, picture: Path | None, sampling: SamplingOptions
) -> Classified:
    """Classify a sound file, a picture file, or both as one performance.

    Args:
        generating: a run.
        classifier: the multimodal classifier of the run.
        sound: a sound file; one half second of it is used, see `SamplingOptions.at`.
        picture: a picture file.
        sampling: how a missing modality is generated.

    Raises:
        MediaError: a file cannot be read.
        ConfigError: neither is given, or generator and classifier know different classes.
        CheckpointError: the run cannot generate the missing modality.
    """
    settings = generating.about.settings
    return classify_half_second(
        DynamicClassifier(generating, classifier, sampling),
        None if sound is None else read_half_second(sound, settings, sampling.at),
        None if picture is None else read_picture(picture, settings.picture_size),
    )


def classify_half_second(
    network: DynamicClassifier, sound: Tensor | None, picture: NDArray[np.uint8] | None
) -> Classified:
    """Classify half a second of sound (L,), a picture (S, S, 3), or both as one performance.

    Raises:
        ConfigError: neither is given.
        CheckpointError: the run cannot generate the missing modality.
    """
    settings = network.generating.about.settings
    maps: dict[Modality, Tensor] = {}
    if sound is not None:
        if picture is None and loudness(sound.numpy()) < SILENT_DBFS:
            return network.describe_silence(chunks=1)
        maps[Modality.AUDIO] = to_audio(sound[None], settings)
    if picture is not None:
        maps[Modality.VISUAL] = to_visual(picture[None])
    return network.classify(maps)


def classify_file(
    generating: Trained,
    classifier: Trained,
    path: Path,
    sampling: SamplingOptions,
    every: float | None = None,
    *,
    on_progress: OnProgress = silent,
) -> Classified:
    """Classify one file, in memory that does not grow with its length.

    A sound is classified by one half second, see `SamplingOptions.at`. A video is classified by all its half seconds,
    each with the picture at its start; so is a sound if `every` is given. The result is the mean over the half seconds
    that are not silent. If all are silent, it is the mean over all for a video, and a sound has no class. A video may
    lack sound or pictures.

    Args:
        generating: a run.
        classifier: the multimodal classifier of the run.
        path: a sound, a picture or a video.
        sampling: how a missing modality is generated; `at` selects the one half second of a sound or a video to
            classify.
        every: length of a step of the timeline, in seconds; None makes no timeline. A step longer than half a second is
            the mean of the half seconds that begin in it. A shorter step is classified by the half second that begins
            with it.
        on_progress: called several times within a long file.

    Raises:
        MediaError: the file is not a media file, cannot be read, or ends before `sampling.at`.
        ConfigError: generator and classifier know different classes, or `every` is too short or not finite.
        CheckpointError: the run cannot generate the missing modality.
    """
    if every is not None and not MIN_STEP_SECONDS <= every < math.inf:
        raise ConfigError(f"a timeline cannot have steps of {every:g} s; choose {MIN_STEP_SECONDS:g} s or more")
    kind = require_media(path)
    if kind == "picture":
        return classify_files(generating, classifier, None, path, sampling)
    if kind == "sound" and every is None:
        return classify_files(generating, classifier, path, None, sampling)
    return _classify_half_seconds(DynamicClassifier(generating, classifier, sampling), path, every, on_progress)


def classify_all(
    generating: Trained,
    classifier: Trained,
    performances: Sequence[Sequence[Path]],
    sampling: SamplingOptions,
    every: float | None = None,
    *,
    on_progress: OnProgress = silent,
) -> Iterator[Classified | MediaError]:
    """Classify many files in their order, in memory that does not grow with their lengths; see `classify_file`.

    Args:
        generating: a run.
        classifier: the multimodal classifier of the run.
        performances: each is one file, or a sound and a picture that belong together.
        sampling: see `classify_file`.
        every: see `classify_file`.
        on_progress: called after each performance, and within long files.

    Yields:
        The classification, or the error that explains why a file cannot be classified.

    Raises:
        ConfigError: as `classify_file`; or a performance is not one sound and one picture.
        CheckpointError: as `classify_file`.
    """
    several = len(performances) > 1
    for number, paths in enumerate(performances):
        within = partial(_report_within, on_progress, number, len(performances)) if several else on_progress
        try:
            if len(paths) > 1:
                sound, picture = _sound_and_picture(paths)
                result: Classified | MediaError = classify_files(generating, classifier, sound, picture, sampling)
            else:
                result = classify_file(generating, classifier, paths[0], sampling, every, on_progress=within)
        except MediaError as error:
            result = error
        if several:
            on_progress(Progress("classifying", number + 1, len(performances), "inputs"))
        yield result


def _sound_and_picture(paths: Sequence[Path]) -> tuple[Path, Path]:
    """Return the sound and the picture among two files.

    Raises:
        ConfigError: they are not one sound and one picture.
    """
    by_kind = {media_kind(path): path for path in paths}
    if len(paths) != 2 or by_kind.keys() != {"sound", "picture"}:
        raise ConfigError(f"{' and '.join(map(str, paths))} cannot be one performance; give one sound and one picture")
    return by_kind["sound"], by_kind["picture"]


def _report_within(on_progress: OnProgress, number: int, total: int, within: Progress) -> None:
    """Report the progress within one of several inputs."""
    on_progress(Progress("classifying", number, total, "inputs", {within.unit: within.done}))


class _Predictions(NamedTuple):
    """Predictions for N half seconds of a file."""

    modalities: tuple[Modality, ...]  #: the given modalities
    starts: list[float]  #: start of each, in seconds
    probabilities: Tensor  #: (N, classes)
    counted: Tensor  #: (N,) bool; whether each counts in a mean
    unlike: Tensor | None  #: (N,) bool; which are unlike the training data; None if the classifier cannot tell

    def summarise(self, network: DynamicClassifier) -> Classified:
        """Return the classification of the whole file."""
        if not self.counted.any():
            return network.describe_silence(len(self.starts))
        unlike = None if self.unlike is None else self.unlike[self.counted]
        return network.summarise(self.probabilities[self.counted], self.modalities, unlike)


def _classify_half_seconds(
    network: DynamicClassifier, path: Path, every: float | None, on_progress: OnProgress
) -> Classified:
    """Classify all half seconds of a sound or a video, or the one at `sampling.at`; see `classify_file`."""
    settings = network.generating.about.settings
    hop = settings.seconds if every is None else min(every, settings.seconds)
    half_seconds: Iterable[HalfSecond] = read_half_seconds(path, settings, hop)
    if network.sampling.at is not None:
        half_seconds = [_half_second_at(path, half_seconds, network.sampling.at, settings.seconds)]
    predictions = _predict_half_seconds(network, path, half_seconds, hop, on_progress)
    summary = predictions.summarise(network)
    if every is None:
        return summary
    classes = network.classifier.about.classes
    return replace(summary, timeline=_make_timeline(predictions, classes, every, settings.seconds))


def _predict_half_seconds(
    network: DynamicClassifier, path: Path, half_seconds: Iterable[HalfSecond], hop: float, on_progress: OnProgress
) -> _Predictions:
    """Classify half seconds of a file, which begin every `hop` seconds."""
    starts: list[float] = []
    audible: list[bool] = []
    probabilities: list[Tensor] = []
    unlike: list[Tensor] = []
    maps: dict[Modality, Tensor] = {}
    total = int(announced_seconds(path) / hop) or None
    for batch in in_batches(half_seconds, HALF_SECONDS_PER_BATCH):
        maps = _to_maps(batch, network.generating.about.settings)
        probabilities.append(network.predict(maps))
        if (found := network.find_unlike(maps)) is not None:
            unlike.append(found)
        starts += [item.start for item in batch]
        audible += [item.sound is None or loudness(item.sound) >= SILENT_DBFS for item in batch]
        on_progress(Progress(f"classifying {path.name}", len(starts), total, "half seconds"))
    if not any(audible) and Modality.VISUAL in maps:  # the pictures of a silent video can be classified
        audible = [True] * len(audible)
    return _Predictions(
        tuple(maps), starts, torch.cat(probabilities), torch.tensor(audible), torch.cat(unlike) if unlike else None
    )


def _make_timeline(
    predictions: _Predictions, classes: Sequence[str], every: float, seconds: float
) -> tuple[TimelineStep, ...]:
    """Return the steps of a timeline.

    Args:
        predictions: predictions for the half seconds.
        classes: names of the classes.
        every: length of a step, in seconds.
        seconds: length of a half second, in seconds.
    """
    _, starts, probabilities, counted, unlike = predictions
    end = starts[-1] + seconds
    steps = []
    # Starts are multiples of a step, or of half a second; the small term corrects rounding errors.
    for step, numbers in itertools.groupby(range(len(starts)), lambda number: int(starts[number] / every + 1e-6)):
        start, stop = round(step * every, 6), round(min((step + 1) * every, end), 6)
        numbers_counted = [number for number in numbers if counted[number]]
        if not numbers_counted:
            steps.append(TimelineStep(start, stop, None, None, None))
            continue
        confidence, best = probabilities[numbers_counted].mean(dim=0).max(dim=0)
        most = are_most(None if unlike is None else unlike[numbers_counted])
        steps.append(TimelineStep(start, stop, classes[int(best)], round(float(confidence), 6), most))
    return tuple(steps)


def _half_second_at(path: Path, half_seconds: Iterable[HalfSecond], at: float, seconds: float) -> HalfSecond:
    """Return the half second that contains a time.

    Raises:
        MediaError: there is none.
    """
    starts = []
    for half_second in half_seconds:
        if half_second.start <= at < half_second.start + seconds:
            return half_second
        starts.append(half_second.start)
    raise MediaError(
        f"{path} has nothing at {at:g} s, only from {starts[0]:g} to {starts[-1] + seconds:g} s; choose another --at"
    )


def _to_maps(batch: Sequence[HalfSecond], settings: FeatureSettings) -> dict[Modality, Tensor]:
    """Return the spectrograms (N, 1, M, T) and the pictures (N, 3, S, S) of half seconds of one file."""
    sounds = [item.sound for item in batch if item.sound is not None]
    pictures = [item.picture for item in batch if item.picture is not None]
    maps: dict[Modality, Tensor] = {}
    if sounds:
        maps[Modality.AUDIO] = to_audio(torch.from_numpy(np.stack(sounds)), settings)
    if pictures:
        maps[Modality.VISUAL] = to_visual(np.stack(pictures))
    return maps
