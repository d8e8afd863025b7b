"""Where recordings come from: the layouts that `cmcgan prepare` reads, each a `Source`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.features import FeatureSettings


@dataclass(frozen=True)
class SourceOptions:
    """What a user may choose of how a source is read.

    Attributes:
        settings: sample rate, chunk length and picture size to deliver.
        hop: seconds between the starts of two chunks.
        seed: of whatever the source draws at random.
        labels: a CSV file of `file,label` that overrides the folders' names, where the source knows it.
    """

    settings: FeatureSettings = field(default_factory=FeatureSettings)
    hop: float = 0.5
    seed: int = 0
    labels: Path | None = None


@dataclass(frozen=True)
class Recording:
    """One continuous take of one player; its pairs never straddle the splits.

    Attributes:
        id: unique within the source, and stable: the same files give the same id on every machine.
        label: class name (the instrument).
        player: who plays, as far as the source tells; "" where it does not.
        split: "train", "validation" or "test" where the source fixes it, None where `prepare` is to draw it.
        group: recordings of one group get one split (a re-used take, the parts of a piece); the id by default.
        files: what the recording is read from; their sizes and times tell whether a resumed run may reuse its part.
        extra: what `Source.pairs` needs to know besides, by name; must pickle.
    """

    id: str
    label: str
    player: str = ""
    split: str | None = None
    group: str = ""
    files: tuple[Path, ...] = ()
    extra: dict[str, object] = field(default_factory=dict)


class RawPair(NamedTuple):
    """A chunk of sound and the frame at its start, before features."""

    start: float  #: seconds since the start of the recording
    sound: NDArray[np.float32]  #: (L,) mono in [-1, 1] at the sample rate of the settings
    picture: NDArray[np.uint8]  #: (S, S, 3) RGB, the whole frame resized
    sound_file: str  #: relative to the source's root, POSIX separators
    picture_file: str


class Skipped(NamedTuple):
    """A file, or a part of one, that gave no pairs, and why."""

    file: str
    reason: str


class Source(Protocol):
    """A layout of recordings."""

    def detects(self, root: Path) -> bool:
        """Whether the folder looks like this layout; cheap, never raises."""

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """All recordings in a stable order, and the files that cannot become part of one."""

    def pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | Skipped]:
        """The chunks of one recording in time order; runs in a worker process."""
