"""What all generation tasks of one call share: the model, the options and the classifier."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.dynamic_classifier import DynamicClassifier
from cmcgan_core.inference.generate.latent_walk import LatentWalk
from cmcgan_core.inference.generate.plan import OutputOptions
from cmcgan_core.inference.translate import SamplingOptions, require_translator
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
        network = DynamicClassifier(self.trained, self.classifier, SamplingOptions())
        return network.predict({Modality.AUDIO: audio, Modality.VISUAL: visual})

    def guess_labels(self, audio: Tensor, visual: Tensor) -> list[str | None]:
        """Return the most probable class of each of N pairs of maps, or N times None without a classifier."""
        probabilities = self.predict(audio, visual)
        if probabilities is None:
            return [None] * len(audio)
        return [self.trained.about.classes[index] for index in probabilities.argmax(dim=1).tolist()]


class LabelGuesser:
    """Guesses the class of one film from its parts.

    Args:
        session: the session with the classifier; without a classifier there is no guess.
    """

    def __init__(self, session: GenerationSession) -> None:
        self._session = session
        self._total: Tensor | None = None  # the sum of the probabilities (classes,) of all parts

    def add(self, audio: Tensor, visual: Tensor) -> None:
        """Add spectrograms (N, 1, M, T) and pictures (N, 3, S, S) that belong together."""
        probabilities = self._session.predict(audio, visual)
        if probabilities is not None:
            added = probabilities.sum(dim=0)
            self._total = added if self._total is None else self._total + added

    def guess(self) -> str | None:
        """Return the most probable class of all parts; None without a classifier, or without parts."""
        return None if self._total is None else self._session.trained.about.classes[int(self._total.argmax())]
