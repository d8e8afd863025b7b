"""What all generation tasks of one call share: the model, the options and the classifier."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.dynamic_classifier import DynamicClassifier
from cmcgan_core.inference.generate.latent_walk import LatentWalk
from cmcgan_core.inference.generate.plan import OutputOptions
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import require_translator
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.progress import OnProgress, silent


@dataclass(frozen=True)
class GenerationSession:
    """The model and the options of several generation tasks.

    Attributes:
        trained: the generating run.
        sampling: how outputs are sampled.
        output: what the outputs look like.
        classifier: the multimodal classifier of the run, which labels the results; None labels nothing.
        on_progress: called within films, and by `generate_all` after every input.
    """

    trained: Trained
    sampling: SamplingOptions
    output: OutputOptions
    classifier: Trained | None = None
    on_progress: OnProgress = silent

    @property
    def settings(self) -> FeatureSettings:
        """The feature settings of the model."""
        return self.trained.about.settings

    @property
    def clip_seconds(self) -> float:
        """Length of the sound of a picture, in seconds."""
        return self.settings.seconds if self.output.seconds is None else self.output.seconds

    def start_latent_walk(self, direction: Direction, rng: torch.Generator, seconds: float) -> LatentWalk:
        """Start a latent walk.

        Args:
            direction: direction of the translation.
            rng: draws the latents.
            seconds: time from one latent to the next, if `output.drift` is None.

        Raises:
            CheckpointError: the model does not support the direction or the number of hops.
        """
        network = require_translator(self.trained, direction, hops=self.sampling.hops)
        return LatentWalk(network, rng, self.sampling.hops, seconds if self.output.drift is None else self.output.drift)

    def predict(self, audio: Tensor, visual: Tensor) -> Tensor | None:
        """Return class probabilities (N, classes) of N pairs of maps, or None without a classifier."""
        if self.classifier is None:
            return None
        return self._network(self.classifier).predict({Modality.AUDIO: audio, Modality.VISUAL: visual})

    def find_unlike(self, source: Modality, maps: Tensor) -> list[bool | None]:
        """Return which of N inputs (N, C, H, W) are unlike the training data, or N times None if nothing can tell."""
        found = None if self.classifier is None else self._network(self.classifier).find_unlike({source: maps})
        return [None] * len(maps) if found is None else found.tolist()

    def guess_labels(self, audio: Tensor, visual: Tensor) -> list[str | None]:
        """Return the most probable class of each of N pairs of maps, or N times None without a classifier."""
        probabilities = self.predict(audio, visual)
        if probabilities is None:
            return [None] * len(audio)
        return [self.trained.about.classes[index] for index in probabilities.argmax(dim=1).tolist()]

    def _network(self, classifier: Trained) -> DynamicClassifier:
        return DynamicClassifier(self.trained, classifier, SamplingOptions())


class LabelGuesser:
    """Guesses the class of one film from its parts, and whether its source is unlike the training data.

    Args:
        session: the session with the classifier; without a classifier there is no guess.
        source: the modality that is given.
    """

    def __init__(self, session: GenerationSession, source: Modality) -> None:
        self._session, self._source = session, source
        self._total: Tensor | None = None  # the sum of the probabilities (classes,) of all parts
        self._parts = 0  # the parts that are not silent
        self._like = self._unlike = 0  # the parts that are like the training data, and those that are unlike

    def add(self, audio: Tensor, visual: Tensor, audible: Sequence[bool] | None = None) -> None:
        """Add spectrograms (N, 1, M, T) and pictures (N, 3, S, S) that belong together.

        Args:
            audio: the spectrograms.
            visual: the pictures.
            audible: which of them count, because their sound is not silent; None for all.
        """
        if audible is not None:
            audio, visual = audio[list(audible)], visual[list(audible)]
        self._parts += len(audio)
        if not len(audio):
            return
        given = audio if self._source is Modality.AUDIO else visual
        verdicts = self._session.find_unlike(self._source, given)
        self._like += verdicts.count(False)
        self._unlike += verdicts.count(True)
        probabilities = self._session.predict(audio, visual)
        if probabilities is not None:
            added = probabilities.sum(dim=0)
            self._total = added if self._total is None else self._total + added

    def guess(self) -> str | None:
        """Return the most probable class of all parts; None without a classifier, or without parts."""
        return None if self._total is None else self._session.trained.about.classes[int(self._total.argmax())]

    def unlike_training(self) -> bool | None:
        """Return whether most parts of the source are unlike the training data; None if the classifier cannot tell."""
        return self._unlike > self._like if self._unlike or self._like else None

    def is_silent(self) -> bool:
        """Return whether the source is a sound without an audible part."""
        return self._source is Modality.AUDIO and not self._parts
