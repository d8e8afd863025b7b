"""The dynamic multimodal classification network: fills in the missing modality, then decides.

Source: CMCGAN, "Dynamic Multimodal Classification Network", Figure 6.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.data import features, media
from cmcgan_core.errors import CheckpointError, ConfigError
from cmcgan_core.generate import Choices, read_chunk, to_network, translate


@dataclass(frozen=True)
class Classified:
    """What the network says of one input.

    Attributes:
        label: the most probable class.
        probabilities: by class, in [0, 1], most probable first.
        given: modalities that were there ("audio", "visual").
        generated: the modality that was filled in, or None.
    """

    label: str
    probabilities: dict[str, float]
    given: tuple[str, ...]
    generated: str | None


def load_classifier(run: Path, device: torch.device) -> Trained:
    """The multimodal classifier of a run folder or of the folder that a checkpoint lies in.

    Raises:
        CheckpointError: it has none.
    """
    file = (run if run.is_dir() else run.parent) / "classifier.safetensors"
    if not file.is_file():
        raise CheckpointError(f"{file} does not exist; finish the run with: cmcgan train --resume {file.parent}")
    return load_checkpoint(file, device)


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
        levels = features.analyse(read_chunk(sound, settings, choices.at), settings)
        audio = features.scale_levels(levels, settings)[None, None]
    if picture is not None:
        visual = features.scale_pictures(
            torch.from_numpy(media.read_picture(picture, settings.picture_size).copy())[None]
        )
    return classify(generating, classifier, audio, visual, choices)


def classify(
    generating: Trained, classifier: Trained, audio: Tensor | None, visual: Tensor | None, choices: Choices
) -> Classified:
    """Classify a spectrogram (1, 1, M, T), a picture (1, 3, H, W), or both, in [-1, 1]; what is missing is generated.

    Raises:
        ConfigError: neither is given, or generator and classifier know other classes.
    """
    if generating.about.classes != classifier.about.classes:
        raise ConfigError(f"{generating.path} and {classifier.path} know different classes; use those of one run")
    given = {"audio": audio, "visual": visual}
    missing = [name for name, maps in given.items() if maps is None]
    if len(missing) == 2:
        raise ConfigError("there is nothing to classify; give a sound, a picture or both")
    if audio is None and visual is not None:
        audio = translate(generating, "v2a", to_network(generating, visual), choices)
    elif visual is None and audio is not None:
        visual = translate(generating, "a2v", to_network(generating, audio), choices)
    assert audio is not None and visual is not None  # noqa: PT018
    with torch.inference_mode():
        logits = classifier.inference(audio=to_network(classifier, audio), visual=to_network(classifier, visual))
    # Several samples of the generated modality: their opinions are averaged.
    probabilities = logits.softmax(dim=1).mean(dim=0)
    order = probabilities.argsort(descending=True).tolist()
    ranked = {classifier.about.classes[i]: round(float(probabilities[i]), 6) for i in order}
    return Classified(
        next(iter(ranked)), ranked, tuple(n for n in given if n not in missing), next(iter(missing), None)
    )
