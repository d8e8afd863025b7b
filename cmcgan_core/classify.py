"""The dynamic multimodal classification network: fills in the missing modality, then decides.

Source: CMCGAN, "Dynamic Multimodal Classification Network", Figure 6.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.data import features, media
from cmcgan_core.data.parts import loudness
from cmcgan_core.data.recording import SourceOptions, chunks
from cmcgan_core.errors import CheckpointError, ConfigError, MediaError
from cmcgan_core.translate import Choices, read_chunk, to_network, translate

#: The paper's name of the case in which these modalities are given; see `completion.CASES`.
CASE_OF = {("audio", "visual"): "V-A", ("audio",): "GV-A", ("visual",): "GA-V"}
#: Half seconds of a video below this level, in dBFS, are not listened to; as `prepare` leaves them out by default.
SILENCE = -60.0
#: Half seconds that are classified at once.
BATCH = 64


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
    """

    label: str
    confidence: float
    calibrated: bool
    probabilities: dict[str, float]
    given: tuple[str, ...]
    generated: str | None
    chunks: int


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
    generating: Trained, classifier: Trained, sound: Path | None, picture: Path | None, choices: Choices
) -> Classified:
    """Classify a sound file, a picture file, or both as one performance.

    Raises:
        MediaError: a file cannot be read.
        ConfigError: neither is given, or generator and classifier know other classes.
    """
    settings = generating.about.settings
    audio = visual = None
    if sound is not None:
        audio = _audio(read_chunk(sound, settings, choices.at)[None], settings)
    if picture is not None:
        visual = _visual(media.read_picture(picture, settings.picture_size)[None])
    return classify(generating, classifier, audio, visual, choices)


def classify_video(generating: Trained, classifier: Trained, video: Path, choices: Choices) -> Classified:
    """Classify a video: each half second of its sound with the picture at its start, and the mean over them.

    Half seconds without a sound to hear are left out, unless all are. Of a video without a sound track the pictures
    are given, of one without pictures the sound.

    Args:
        generating: a run.
        classifier: the run's.
        video: any format that FFmpeg decodes.
        choices: `at` names the one half second to classify; None takes all.

    Raises:
        MediaError: it cannot be read, or does not last until `choices.at`.
        ConfigError: generator and classifier know other classes.
    """
    settings = generating.about.settings
    times, sounds, pictures = read_performance(video, settings)
    kept = list(range(len(times)))
    if choices.at is not None:
        kept = [i for i in kept if times[i] <= choices.at < times[i] + settings.seconds]
        if not kept:
            raise MediaError(f"{video} shows nothing at {choices.at:g} s, only from {times[0]:g} to "
                             f"{times[-1] + settings.seconds:g} s; choose another --at")  # fmt: skip
    elif sounds is not None:
        kept = [i for i in kept if loudness(sounds[i]) >= SILENCE] or kept
    said = []
    for first in range(0, len(kept), BATCH):
        items = kept[first : first + BATCH]
        audio = None if sounds is None else _audio(torch.from_numpy(sounds[items]), settings)
        visual = None if pictures is None else _visual(pictures[items])
        said.append(judge(generating, classifier, audio, visual, choices))
    return _summary(classifier, torch.cat(said), _given(sounds, pictures))


def read_performance(
    video: Path, settings: features.FeatureSettings
) -> tuple[list[float], NDArray[np.float32] | None, NDArray[np.uint8] | None]:
    """A video in half seconds: when each starts, its sounds (N, L) and the pictures at its starts (N, S, S, 3).

    A sound that does not fill half a second is filled up with silence.

    Returns:
        None for the sounds, or for the pictures, of a video that has no such track.

    Raises:
        MediaError: it cannot be read, has neither, or has no half second with both.
    """
    tracks = media.tracks(video)
    found: list[dict[int, NDArray[Any]]] = []
    if "sound" in tracks:
        waveform = media.read_sound(video, settings.sample_rate)
        waveform = np.pad(waveform, (0, max(0, settings.samples - len(waveform))))
        options = SourceOptions(settings, hop=settings.seconds)
        found.append(dict(enumerate(sound for _, sound in chunks(waveform, options))))
    if "picture" in tracks:
        shown = media.read_video(video, settings.seconds, settings.picture_size)
        found.append({round(time / settings.seconds): picture for time, (picture,) in shown})
    numbers = sorted(set.intersection(*map(set, found))) if found else []
    if not numbers:
        raise MediaError(f"{video}: has no half second of both sound and pictures")
    stacked = [np.stack([of_track[n] for n in numbers]) for of_track in found]
    sounds = stacked[0] if "sound" in tracks else None
    pictures = stacked[-1] if "picture" in tracks else None
    return [n * settings.seconds for n in numbers], sounds, pictures


def classify(
    generating: Trained, classifier: Trained, audio: Tensor | None, visual: Tensor | None, choices: Choices
) -> Classified:
    """Classify spectrograms (N, 1, M, T), pictures (N, 3, H, W), or both, in [-1, 1], as one performance.

    Raises:
        ConfigError: neither is given, or generator and classifier know other classes.
    """
    return _summary(classifier, judge(generating, classifier, audio, visual, choices), _given(audio, visual))


def judge(
    generating: Trained, classifier: Trained, audio: Tensor | None, visual: Tensor | None, choices: Choices
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
        audio = translate(generating, "v2a", to_network(generating, visual), choices)
        visual = visual.repeat(choices.samples, 1, 1, 1)
    elif visual is None and audio is not None:
        visual = translate(generating, "a2v", to_network(generating, audio), choices)
        audio = audio.repeat(choices.samples, 1, 1, 1)
    assert audio is not None and visual is not None  # noqa: PT018
    with torch.inference_mode():
        logits = classifier.inference(audio=to_network(classifier, audio), visual=to_network(classifier, visual))
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


def _audio(waveforms: Tensor, settings: features.FeatureSettings) -> Tensor:
    """Waveforms (N, L) as spectrograms (N, 1, M, T) in [-1, 1]."""
    return features.scale_levels(features.analyse(waveforms, settings), settings)[:, None]


def _visual(pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures (N, S, S, 3) as (N, 3, S, S) in [-1, 1]."""
    return features.scale_pictures(torch.from_numpy(pictures.copy()))
