"""What a source of data promises: recordings, each of which gives pairs in time order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import DataError, MediaError
from cmcgan_core.features.settings import FeatureSettings


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
            Recordings with the same first file are read by one process, one after the other.
        extra: what else `Source.read_pairs` needs to know, by name; plain values, as JSON takes them.
        pairs: how many pairs it will give, silent ones included, where that is known without reading the files.
    """

    id: str
    label: str
    player: str = ""
    split: str | None = None
    group: str = ""
    files: tuple[Path, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    pairs: int | None = None


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
    """A layout of recordings.

    Attributes:
        identity: name of the source, version of what it makes, and its own settings, as in "urmp/1". Its author raises
            the version when the same files give other pairs. It is part of the identity of every dataset, see
            `parts.part_name`.
    """

    @property
    def identity(self) -> str:
        """See above."""

    def detects(self, root: Path) -> bool:
        """Whether the folder looks like this layout; cheap, never raises."""

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """All recordings in a stable order, and the files that cannot become part of one."""

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | Skipped]:
        """The chunks of one recording in time order; runs in a worker process."""


def chunks(waveform: NDArray[np.float32], options: SourceOptions) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """Start times, in seconds, and chunks of a waveform (L,); only whole chunks."""
    settings = options.settings
    number = 0
    while (first := round(number * options.hop * settings.sample_rate)) + settings.samples <= len(waveform):
        yield number * options.hop, waveform[first : first + settings.samples]
        number += 1


def skipped(name: str, path: Path, error: MediaError) -> Skipped:
    """The reason of an error about `path`, under the name that the file has within its source."""
    return Skipped(name, str(error).removeprefix(f"{path}: "))


def too_short(name: str, options: SourceOptions) -> Skipped:
    """A recording that does not fill one chunk."""
    return Skipped(name, f"is shorter than one chunk of {options.settings.seconds:g} s")


def refuse_labels(options: SourceOptions, layout: str) -> None:
    """Raise a `DataError` where labels are given to a layout whose folders name the classes."""
    if options.labels is not None:
        raise DataError(f"{layout}: the folders name the classes; --labels is for --source videos")


def require_distinct(labels: Iterable[str]) -> None:
    """Raise a `DataError` where two classes differ only by case, spaces, underscores or hyphens."""
    seen: dict[str, str] = {}
    for label in labels:
        other = seen.setdefault("".join(c for c in label.casefold() if c not in " _-"), label)
        if other != label:
            raise DataError(
                f"two classes with almost the same name, {other!r} and {label!r}: rename one of the folders"
            )
