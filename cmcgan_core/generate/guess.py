"""What the multimodal classifier of a run takes a performance for, of which one half was generated."""

from collections.abc import Sequence

from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.classify import judge
from cmcgan_core.translate import Choices


class Guesser:
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
        return judge(self.trained, self.classifier, audio, visual, Choices())

    def mean(self, seen: Sequence[Tensor | None]) -> str | None:
        """Of a whole film, from the `probabilities` of its parts."""
        known = [probabilities for probabilities in seen if probabilities is not None]
        if not known:
            return None
        total = sum(probabilities.sum(dim=0) for probabilities in known)
        assert isinstance(total, Tensor)
        return self.trained.about.classes[int(total.argmax())]
