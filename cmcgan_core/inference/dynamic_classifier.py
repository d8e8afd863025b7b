"""The dynamic multimodal classification network: generates the missing modality, then classifies the pair.

Source: CMCGAN, "Dynamic Multimodal Classification Network", Figure 6.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained, embedder_of, load_checkpoint, require_finite
from cmcgan_core.errors import CheckpointError, ConfigError
from cmcgan_core.inference.completion import fingerprint
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import to_network, translate
from cmcgan_core.modality import REAL_PAIR, Direction, Modality
from cmcgan_core.nn.capabilities import Classifier, Embedder, Translator
from cmcgan_core.run_folder import NEXT_STEP, RunFolder


@dataclass(frozen=True)
class TimelineStep:
    """The class of one step of a timeline.

    Attributes:
        start: start of the step, in seconds.
        end: end of the step, in seconds; the last step ends with the last half second.
        label: the most probable class; None if the step is silent.
        confidence: its probability; None if the step is silent.
        unlike_training: see `Classified`; None also if the step is silent.
    """

    start: float
    end: float
    label: str | None
    confidence: float | None
    unlike_training: bool | None


@dataclass(frozen=True)
class Classified:
    """The classification of one input.

    Attributes:
        label: the most probable class; None if the input is a silent sound, which no class fits.
        confidence: its probability; None for a silent sound.
        unlike_training: whether the input, or one modality of it, is unlike the training data, so that it may belong to
            none of the classes; of several half seconds, whether most are. About 5 % of inputs similar to the run's
            validation split are taken for unlike. None if the classifier cannot tell, and for a silent sound.
        calibrated: whether the probabilities are calibrated: among inputs similar to the run's validation split, about
            a share p of those with confidence p is classified correctly. For other inputs they are not calibrated.
            Without a validation split they are the uncalibrated outputs of the network.
        probabilities: probability of each class, in [0, 1], most probable first. For several half seconds it is their
            mean. Empty for a silent sound.
        given: the modalities of the input.
        generated: the modality that was generated, or None.
        chunks: number of half seconds that were classified.
        timeline: the steps, if a timeline was requested and the input has a length.
    """

    label: str | None
    confidence: float | None
    unlike_training: bool | None
    calibrated: bool
    probabilities: dict[str, float]
    given: tuple[Modality, ...]
    generated: Modality | None
    chunks: int
    timeline: tuple[TimelineStep, ...] = ()


def load_classifier(trained: Trained) -> Trained:
    """Load the multimodal classifier of a run. A run that is a classifier itself is its own.

    Args:
        trained: the run.

    Raises:
        CheckpointError: the run has no classifier, or the classifier cannot be read.
    """
    if (classifier := find_classifier(trained)) is not None:
        return classifier
    if not isinstance(trained.network, Translator):
        raise CheckpointError(
            f"{trained.path} holds a {trained.about.config.method}, which neither classifies nor generates; "
            "name another run with --checkpoint"
        )
    if len(trained.about.classes) == 1:
        raise CheckpointError(f"{trained.path} knows one class only, so there is nothing to classify")
    file = RunFolder(trained.path.parent).classifier
    raise CheckpointError(f"{file} does not exist; finish the run with: cmcgan train --resume {file.parent}")


def find_classifier(trained: Trained) -> Trained | None:
    """Load the multimodal classifier of a run, as `load_classifier`; return None if the run has none.

    Its statistics of codes are left out if they belong to another checkpoint of the run.

    Raises:
        CheckpointError: the classifier cannot be read.
    """
    file = RunFolder(trained.path.parent).classifier
    if file.is_file():
        classifier = load_checkpoint(file, trained.device)
        of_this = classifier.about.completed_by == fingerprint(trained.path)
        return classifier if of_this else replace(classifier, familiarity={})
    return trained if isinstance(trained.network, Classifier) else None


def require_classifier(trained: Trained) -> Classifier:
    """Return the network of a checkpoint as a classifier.

    Raises:
        CheckpointError: it is not a classifier.
    """
    if not isinstance(trained.network, Classifier):
        raise CheckpointError(f"{trained.path} holds a {trained.about.config.method}, which does not classify")
    return trained.network


@dataclass(frozen=True)
class DynamicClassifier:
    """The dynamic multimodal classification network of a run.

    Only modalities that the classifier reads are generated.

    Attributes:
        generating: the generating run.
        classifier: the multimodal classifier of the run.
        sampling: how a missing modality is generated. Several samples are classified and their probabilities averaged.

    Raises:
        ConfigError: the two know different classes.
        CheckpointError: `classifier` does not classify.
    """

    generating: Trained
    classifier: Trained
    sampling: SamplingOptions

    def __post_init__(self) -> None:
        require_classifier(self.classifier)
        if self.generating.about.classes != self.classifier.about.classes:
            raise ConfigError(
                f"{self.generating.path} and {self.classifier.path} know different classes; use those of one run"
            )

    def classify(self, maps: Mapping[Modality, Tensor]) -> Classified:
        """Classify spectrograms (N, 1, M, T), pictures (N, 3, H, W), or both, in [-1, 1], as one input.

        Raises:
            ConfigError: no maps are given.
            CheckpointError: the run cannot generate the missing modality.
        """
        return self.summarise(self.predict(maps), maps, self.find_unlike(maps))

    def predict(self, maps: Mapping[Modality, Tensor]) -> Tensor:
        """Return probabilities (N, classes) of N items; arguments and errors as for `classify`."""
        direction = self._missing_direction(maps)
        count = len(next(iter(maps.values())))
        pairs = maps if direction is None else self._complete(maps[direction.source], direction)
        with torch.inference_mode():
            logits = self.classifier.network({m: to_network(self.classifier, values) for m, values in pairs.items()})
            require_finite(self.classifier, logits)
        temperature = self.classifier.about.temperatures.get(_case(direction), 1.0)
        probabilities: Tensor = (logits / temperature).softmax(dim=1).cpu()
        return probabilities.reshape(-1, count, probabilities.shape[1]).mean(dim=0)

    def find_unlike(self, maps: Mapping[Modality, Tensor]) -> Tensor | None:
        """Return which of N items are unlike the training data in a modality, (N,) bool; None if nobody can tell.

        Args:
            maps: the given maps (N, C, H, W) in [-1, 1] by modality, of any size.
        """
        familiarity = self.classifier.familiarity
        if not maps.keys() <= familiarity.keys():
            return None
        unlike = []
        for modality, values in maps.items():
            embedder = embedder_of(modality, self.generating, self.classifier)
            assert embedder is not None
            assert isinstance(embedder.network, Embedder)
            with torch.inference_mode():
                codes = require_finite(embedder, embedder.network.embed(modality, to_network(embedder, values)))
            if codes.shape[1:] != familiarity[modality].whitening.shape[1:]:
                raise CheckpointError(f"{self.classifier.path} has statistics of codes of another network; {NEXT_STEP}")
            unlike.append(familiarity[modality].is_unlike(codes))
        return torch.stack(unlike).any(dim=0)

    def describe_silence(self, chunks: int) -> Classified:
        """Return the classification of a silent sound of several half seconds, which has no class."""
        return Classified(
            label=None,
            confidence=None,
            unlike_training=None,
            calibrated=False,
            probabilities={},
            given=(Modality.AUDIO,),
            generated=None,
            chunks=chunks,
        )

    def summarise(self, probabilities: Tensor, modalities: Iterable[Modality], unlike: Tensor | None) -> Classified:
        """Return the mean classification of N half seconds.

        Args:
            probabilities: their probabilities (N, classes).
            modalities: the modalities of the input.
            unlike: which of them are unlike the training data, see `find_unlike`.
        """
        present = set(modalities)
        direction = self._missing_direction(present)
        mean, classes = probabilities.mean(dim=0), self.classifier.about.classes
        ranked = {classes[i]: round(float(mean[i]), 6) for i in mean.argsort(descending=True).tolist()}
        label, confidence = next(iter(ranked.items()))
        return Classified(
            label=label,
            confidence=confidence,
            unlike_training=are_most(unlike),
            calibrated=_case(direction) in self.classifier.about.temperatures,
            probabilities=ranked,
            given=tuple(modality for modality in Modality if modality in present),
            generated=None if direction is None else direction.target,
            chunks=len(probabilities),
        )

    def _complete(self, source: Tensor, direction: Direction) -> dict[Modality, Tensor]:
        """Return K N pairs of N maps of one modality, with K generated samples of the other modality."""
        target = translate(self.generating, direction, to_network(self.generating, source), self.sampling)
        return {direction.source: source.repeat(self.sampling.samples, 1, 1, 1), direction.target: target}

    def _missing_direction(self, modalities: Iterable[Modality]) -> Direction | None:
        """Return the direction that generates the modality that the classifier lacks, or None if it lacks none.

        Raises:
            ConfigError: no modality is present.
        """
        present = set(modalities)
        if not present:
            raise ConfigError("there is nothing to classify; give a sound, a picture, both, or a video")
        lacking = set(require_classifier(self.classifier).modalities) - present
        return next((direction for direction in Direction if direction.target in lacking), None)


def are_most(unlike: Tensor | None) -> bool | None:
    """Return whether more than half of N values (N,) are true; None for None."""
    return None if unlike is None else bool(unlike.float().mean() > 0.5)


def _case(direction: Direction | None) -> str:
    """Return the paper's name of a pair whose target was generated, or of a real pair."""
    return REAL_PAIR if direction is None else direction.completed
