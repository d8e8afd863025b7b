"""The dynamic multimodal classification network: fills in the missing modality, then decides.

Source: CMCGAN, "Dynamic Multimodal Classification Network", Figure 6.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.errors import CheckpointError, ConfigError, MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.chunks import HalfSecond, half_seconds
from cmcgan_core.inference.translate import SamplingOptions, read_chunk, to_audio, to_network, to_visual, translate
from cmcgan_core.media.files import loudness, media_kind, read_picture, sound_seconds
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.batches import in_batches

#: The paper's name of the case in which these modalities are given; see `completion.CASES`.
CASE_OF = {("audio", "visual"): "V-A", ("audio",): "GV-A", ("visual",): "GA-V"}
#: Half seconds below this level, in dBFS, are not listened to; as `prepare` leaves them out by default.
SILENCE = -60.0
#: Half seconds that are classified at once.
BATCH = 64
#: The shortest step of a timeline, in seconds.
LEAST_STEP = 0.01


class Moment(NamedTuple):
    """What the network says of a step of a timeline."""

    start: float  #: seconds
    end: float  #: seconds; the last step ends with the last half second
    label: str | None  #: the most probable class; None where nothing is heard
    confidence: float | None  #: its probability


@dataclass(frozen=True)
class Classified:
    """What the network says of one input.

    Attributes:
        label: the most probable class.
        confidence: its probability.
        calibrated: whether the probabilities are: of all inputs like this one with confidence p, a share of about p is
            right, as far as the run's validation split tells. Without one they are the network's own.
        probabilities: by class, in [0, 1], most probable first; the mean over half seconds, if there are several.
        given: modalities that were there ("audio", "visual").
        generated: the modality that was filled in, or None.
        chunks: half seconds that were classified.
        timeline: step by step, if one was asked for and the medium has a length.
    """

    label: str
    confidence: float
    calibrated: bool
    probabilities: dict[str, float]
    given: tuple[str, ...]
    generated: str | None
    chunks: int
    timeline: tuple[Moment, ...] = ()


def load_classifier(run: Path, device: torch.device) -> Trained:
    """The multimodal classifier of a run folder or of the folder that a checkpoint lies in.

    Raises:
        CheckpointError: it has none.
    """
    file = (run if run.is_dir() else run.parent) / "classifier.safetensors"
    if not file.is_file():
        raise CheckpointError(f"{file} does not exist; finish the run with: cmcgan train --resume {file.parent}")
    return load_checkpoint(file, device)


def find_classifier(run: Path, device: torch.device) -> Trained | None:
    """As `load_classifier`; None where there is no classifier to be found.

    Raises:
        CheckpointError: there is one, but it cannot be read.
    """
    folder = run if run.is_dir() else run.parent
    return load_classifier(run, device) if (folder / "classifier.safetensors").is_file() else None


def classify_files(
    generating: Trained, classifier: Trained, sound: Path | None, picture: Path | None, sampling: SamplingOptions
) -> Classified:
    """Classify a sound file, a picture file, or both as one performance.

    Raises:
        MediaError: a file cannot be read.
        ConfigError: neither is given, or generator and classifier know other classes.
    """
    settings = generating.about.settings
    audio = visual = None
    if sound is not None:
        audio = to_audio(read_chunk(sound, settings, sampling.at)[None], settings)
    if picture is not None:
        visual = to_visual(read_picture(picture, settings.picture_size)[None])
    return classify(generating, classifier, audio, visual, sampling)


def classify_file(
    generating: Trained,
    classifier: Trained,
    path: Path,
    sampling: SamplingOptions,
    every: float | None = None,
    *,
    on_progress: OnProgress = silent,
) -> Classified:
    """Classify one file by itself, in memory that does not grow with its length.

    A picture; a sound by one half second, see `Choices.at`; a video, and with `every` also a sound, by all of its half
    seconds, each with the picture at its start: the mean over those in which something is heard, or over all where
    nothing ever is. A video may lack sound or pictures.

    Args:
        generating: a run.
        classifier: the run's.
        path: any medium.
        sampling: `at` names the one half second of a sound or a video to classify.
        every: seconds of a step of the timeline; None makes no timeline. A step longer than half a second is judged by
            all the half seconds that begin in it, a shorter one by the half second that begins with it.
        on_progress: told now and then within a long file.

    Raises:
        MediaError: it is no medium, cannot be read, or does not last until `choices.at`.
        ConfigError: generator and classifier know other classes, or `every` is no length of a step.
    """
    if every is not None and not LEAST_STEP <= every < math.inf:
        raise ConfigError(f"a timeline cannot have steps of {every:g} s; choose {LEAST_STEP:g} s or more")
    kind = media_kind(path)
    if kind == "picture":
        return classify_files(generating, classifier, None, path, sampling)
    if kind == "sound" and every is None:
        return classify_files(generating, classifier, path, None, sampling)
    if kind is None:
        raise MediaError(f"{path}: is neither a sound, a picture nor a video that is known by its suffix")
    return _throughout(generating, classifier, path, sampling, every, on_progress)


def classify_all(
    generating: Trained,
    classifier: Trained,
    performances: Sequence[Sequence[Path]],
    sampling: SamplingOptions,
    every: float | None = None,
    *,
    on_progress: OnProgress = silent,
) -> Iterator[Classified | MediaError]:
    """Classify many, in their order, in memory that does not grow with their lengths; see `classify_file`.

    Args:
        generating: a run.
        classifier: the run's.
        performances: each is a file, or a sound and a picture that belong together.
        sampling: as of `classify_file`.
        every: as of `classify_file`.
        on_progress: told after each, and within long files.

    Yields:
        What the network says, or why a file cannot be classified.

    Raises:
        ConfigError: as `classify_file`.
    """
    for number, paths in enumerate(performances):
        within = on_progress if len(performances) == 1 else partial(_tell, on_progress, number, len(performances))
        try:
            if len(paths) > 1:
                said: Classified | MediaError = classify_files(generating, classifier, *_in_order(paths), sampling)
            else:
                said = classify_file(generating, classifier, paths[0], sampling, every, on_progress=within)
        except MediaError as error:
            said = error
        if len(performances) > 1:
            on_progress(Progress("classifying", number + 1, len(performances), "inputs"))
        yield said


def _in_order(paths: Sequence[Path]) -> tuple[Path, Path]:
    """A sound and a picture that were named in any order."""
    kinds = {media_kind(path): path for path in paths}
    if len(paths) != 2 or kinds.keys() != {"sound", "picture"}:
        raise ConfigError(f"{' and '.join(map(str, paths))} cannot be one performance; give one sound and one picture")
    return kinds["sound"], kinds["picture"]


def _tell(on_progress: OnProgress, number: int, total: int, within: Progress) -> None:
    on_progress(Progress("classifying", number, total, "inputs", {within.unit: within.done}))


def _throughout(
    generating: Trained,
    classifier: Trained,
    path: Path,
    sampling: SamplingOptions,
    every: float | None,
    on_progress: OnProgress,
) -> Classified:
    settings = generating.about.settings
    hop = settings.seconds if every is None else min(every, settings.seconds)
    parts: Iterable[HalfSecond] = half_seconds(path, settings, hop)
    if sampling.at is not None:
        parts = [_part_at(path, parts, sampling.at, settings.seconds)]
    starts: list[float] = []
    heard: list[bool] = []
    said: list[Tensor] = []
    given: tuple[str, ...] = ()
    total = int(sound_seconds(path) / hop) or None
    for batch in in_batches(parts, BATCH):
        audio, visual = _maps(batch, settings)
        given = _given(audio, visual)
        said.append(predict_probabilities(generating, classifier, audio, visual, sampling))
        starts += [part.start for part in batch]
        heard += [part.sound is None or loudness(part.sound) >= SILENCE for part in batch]
        on_progress(Progress(f"classifying {path.name}", len(starts), total, "half seconds"))
    kept = torch.tensor(heard) if any(heard) else torch.ones(len(heard), dtype=torch.bool)
    probabilities = torch.cat(said)
    summary = _summary(classifier, probabilities[kept], given)
    if every is None:
        return summary
    return replace(summary, timeline=_timeline(classifier, starts, probabilities, kept, every, settings.seconds))


def _timeline(
    classifier: Trained, starts: Sequence[float], probabilities: Tensor, kept: Tensor, every: float, seconds: float
) -> tuple[Moment, ...]:
    """Steps of `every` seconds, from the probabilities (N, classes) of half seconds and whether each of them counts."""
    end = starts[-1] + seconds
    moments = []
    # Starts are multiples of a step, or of half a second: what they lack of one is a matter of rounding.
    for step, numbers in itertools.groupby(range(len(starts)), lambda number: int(starts[number] / every + 1e-6)):
        span = (round(step * every, 6), round(min((step + 1) * every, end), 6))
        counted = [number for number in numbers if kept[number]]
        if not counted:
            moments.append(Moment(*span, None, None))
            continue
        confidence, best = probabilities[counted].mean(dim=0).max(dim=0)
        moments.append(Moment(*span, classifier.about.classes[int(best)], round(float(confidence), 6)))
    return tuple(moments)


def _part_at(path: Path, parts: Iterable[HalfSecond], at: float, seconds: float) -> HalfSecond:
    """The half second in which a time lies."""
    starts = []
    for part in parts:
        if part.start <= at < part.start + seconds:
            return part
        starts.append(part.start)
    raise MediaError(
        f"{path} shows nothing at {at:g} s, only from {starts[0]:g} to {starts[-1] + seconds:g} s; choose another --at"
    )


def _maps(batch: Sequence[HalfSecond], settings: FeatureSettings) -> tuple[Tensor | None, Tensor | None]:
    """Return spectrograms (N, 1, M, T) and pictures (N, 3, S, S) of half seconds of one file."""
    sounds = [part.sound for part in batch if part.sound is not None]
    pictures = [part.picture for part in batch if part.picture is not None]
    audio = to_audio(torch.from_numpy(np.stack(sounds)), settings) if sounds else None
    return audio, to_visual(np.stack(pictures)) if pictures else None


def classify(
    generating: Trained, classifier: Trained, audio: Tensor | None, visual: Tensor | None, sampling: SamplingOptions
) -> Classified:
    """Classify spectrograms (N, 1, M, T), pictures (N, 3, H, W), or both, in [-1, 1], as one performance.

    Raises:
        ConfigError: neither is given, or generator and classifier know other classes.
    """
    return _summary(
        classifier, predict_probabilities(generating, classifier, audio, visual, sampling), _given(audio, visual)
    )


def predict_probabilities(
    generating: Trained, classifier: Trained, audio: Tensor | None, visual: Tensor | None, sampling: SamplingOptions
) -> Tensor:
    """Probabilities (N, classes) of spectrograms, pictures, or both, as `classify` takes them.

    What is missing is generated, `choices.samples` times; their opinions are averaged.

    Raises:
        ConfigError: neither is given, or generator and classifier know other classes.
    """
    if generating.about.classes != classifier.about.classes:
        raise ConfigError(f"{generating.path} and {classifier.path} know different classes; use those of one run")
    given = _given(audio, visual)
    count = max(len(maps) for maps in (audio, visual) if maps is not None)
    if audio is None and visual is not None:
        audio = translate(generating, Direction.V2A, to_network(generating, visual), sampling)
        visual = visual.repeat(sampling.samples, 1, 1, 1)
    elif visual is None and audio is not None:
        visual = translate(generating, Direction.A2V, to_network(generating, audio), sampling)
        audio = audio.repeat(sampling.samples, 1, 1, 1)
    assert audio is not None and visual is not None  # noqa: PT018
    with torch.inference_mode():
        maps = {Modality.AUDIO: audio, Modality.VISUAL: visual}
        logits = classifier.network({m: to_network(classifier, given_maps) for m, given_maps in maps.items()})
    probabilities: Tensor = (logits / classifier.about.temperatures.get(CASE_OF[given], 1.0)).softmax(dim=1).cpu()
    return probabilities.reshape(-1, count, probabilities.shape[1]).mean(dim=0)


def _given(audio: object | None, visual: object | None) -> tuple[str, ...]:
    """The modalities that are there."""
    given = tuple(name for name, there in (("audio", audio), ("visual", visual)) if there is not None)
    if not given:
        raise ConfigError("there is nothing to classify; give a sound, a picture, both, or a video")
    return given


def _summary(classifier: Trained, probabilities: Tensor, given: tuple[str, ...]) -> Classified:
    """What the probabilities (N, classes) of N half seconds come to."""
    mean, names = probabilities.mean(dim=0), classifier.about.classes
    ranked = {names[i]: round(float(mean[i]), 6) for i in mean.argsort(descending=True).tolist()}
    label, confidence = next(iter(ranked.items()))
    generated = next((name for name in ("audio", "visual") if name not in given), None)
    calibrated = CASE_OF[given] in classifier.about.temperatures
    return Classified(label, confidence, calibrated, ranked, given, generated, len(probabilities))


class LabelGuesser:
    """Guesses classes; without a classifier none.

    Args:
        trained: what generates.
        classifier: the run's, see `classify.load_classifier`.
    """

    def __init__(self, trained: Trained, classifier: Trained | None) -> None:
        self.trained, self.classifier = trained, classifier

    def each(self, audio: Tensor, visual: Tensor) -> list[str | None]:
        """Of each of N spectrograms (N, 1, M, T) and pictures (N, 3, S, S) that go together."""
        seen = self.probabilities(audio, visual)
        return [None] * len(audio) if seen is None else [self.mean([one[None]]) for one in seen]

    def probabilities(self, audio: Tensor, visual: Tensor) -> Tensor | None:
        """Of each class (N, classes)."""
        if self.classifier is None:
            return None
        return predict_probabilities(self.trained, self.classifier, audio, visual, SamplingOptions())

    def mean(self, seen: Sequence[Tensor | None]) -> str | None:
        """Of a whole film, from the `probabilities` of its parts."""
        known = [probabilities for probabilities in seen if probabilities is not None]
        if not known:
            return None
        total = sum(probabilities.sum(dim=0) for probabilities in known)
        assert isinstance(total, Tensor)
        return self.trained.about.classes[int(total.argmax())]
