"""What comes of an order."""

from dataclasses import dataclass, field
from pathlib import Path

from cmcgan_core.inference.retrieve.results import Hit


@dataclass(frozen=True)
class Sample:
    """One of several results.

    Attributes:
        seed: its seed.
        files: its files.
    """

    seed: int
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        samples: what was generated.
        hits: what was found.
        label: the most probable class of the input, or of the input with what was generated; None if there is no
            classifier, and for a silent sound.
        probabilities: of a classified input: probability of each class, most probable first.
        unlike_training: whether the input is unlike the training data; None if the classifier cannot tell.
        silent: whether the input is a silent sound.
    """

    samples: tuple[Sample, ...] = ()
    hits: tuple[Hit, ...] = ()
    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    unlike_training: bool | None = None
    silent: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """All files."""
        return (*(path for sample in self.samples for path in sample.files), *(hit.path for hit in self.hits))
