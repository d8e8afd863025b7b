"""The interface of a source of recordings: each recording yields pairs in time order."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import DataError, MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.utils.files import error_reason


@dataclass(frozen=True)
class SourceOptions:
    """The options for reading a source.

    Attributes:
        settings: the feature settings; they fix the sample rate, the chunk length and the picture size of each pair.
        hop: seconds between the starts of two chunks.
        seed: the seed of everything that the source draws at random.
        labels: a CSV file with the columns file,label that replaces the classes of the folders' names; only some
            sources accept it.
    """

    settings: FeatureSettings = field(default_factory=FeatureSettings)
    hop: float = 0.5
    seed: int = 0
    labels: Path | None = None


@dataclass(frozen=True)
class Recording:
    """One continuous take of one player. All its pairs are in the same split.

    Attributes:
        id: an id that is unique in the source. The same files get the same id on every machine.
        label: the class name (the instrument).
        player: the name of the player; "" if the source does not name players.
        split: "train", "validation", "test" or another name if the source fixes the split; None if `prepare` draws it.
        group: the name of a group of recordings that share a split (a re-used take, the parts of a piece); "" if
            the recording belongs to no group.
        files: the files of the recording. A resumed run reuses its part only if their sizes and times are unchanged.
            Recordings with the same first file are read by one process, one after the other.
        extra: further values that `Source.read_pairs` needs, by name; they must be JSON values.
        pairs: the number of its pairs, silent ones included, if it is known without reading the files; else None.
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
    """A chunk of sound and the frame at its start, before features are extracted."""

    start: float  #: seconds from the start of the recording
    sound: NDArray[np.float32]  #: (L,) mono in [-1, 1] at the sample rate of the settings
    picture: NDArray[np.uint8]  #: (S, S, 3) RGB, the whole frame resized
    sound_file: str  #: relative to the source's root, POSIX separators
    picture_file: str  #: relative to the source's root, POSIX separators


class FeaturePair(NamedTuple):
    """A pair whose features were extracted before, with the settings of the dataset that is prepared."""

    start: float  #: seconds from the start of the recording
    spectrogram: NDArray[np.float16]  #: (M, T)
    picture: NDArray[np.uint8]  #: (S, S, 3) RGB
    sound_file: str  #: as in `RawPair`
    picture_file: str  #: as in `RawPair`


class Skipped(NamedTuple):
    """A file, or a part of a file, that gave no pairs."""

    file: str  #: relative to the source's root, POSIX separators
    reason: str  #: completes a sentence that starts with the file, for example "is empty"


class Source(Protocol):
    """A layout of recordings."""

    @property
    def identity(self) -> str:
        """The name of the source, the version of its output, and its own settings, as in "urmp/1".

        It is part of the identity of every dataset, see `parts.part_name`. The author of a source raises the version
        when the same files give other pairs than before.
        """

    def detects(self, root: Path) -> bool:
        """Return whether the folder looks like this layout. It must be cheap and must not raise."""

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """Return all recordings in a stable order, and the files that cannot be part of a recording."""

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | FeaturePair | Skipped]:
        """Yield the pairs of a recording in time order, all of one kind. It may be called in a worker process."""


def cut_chunks(waveform: NDArray[np.float32], options: SourceOptions) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """Yield the start in seconds and the samples of each whole chunk of a waveform (L,)."""
    settings = options.settings
    number = 0
    while (first := round(number * options.hop * settings.sample_rate)) + settings.samples <= len(waveform):
        yield number * options.hop, waveform[first : first + settings.samples]
        number += 1


def skip_unreadable(name: str, path: Path, error: MediaError) -> Skipped:
    """Return the entry for a file that cannot be read.

    Args:
        name: the name of the file in its source.
        path: the file; it is cut out of the error's message.
        error: the error that was raised when the file was read.
    """
    return Skipped(name, str(error).removeprefix(f"{path}: "))


def skip_unreadable_folders(root: Path, faults: list[Skipped]) -> Callable[[OSError], None]:
    """Return a function that appends an entry for a folder that cannot be read, for `media.folders.find_media`.

    Args:
        root: the folder of the source.
        faults: the entries are appended to it.
    """

    def skip(error: OSError) -> None:
        name = Path(error.filename).relative_to(root).as_posix()
        faults.append(Skipped(name, f"the folder cannot be read ({error_reason(error)})"))

    return skip


def skip_too_short(name: str, options: SourceOptions) -> Skipped:
    """Return the entry for a recording that does not fill one chunk."""
    return Skipped(name, f"is shorter than one chunk of {options.settings.seconds:g} s")


def refuse_labels(options: SourceOptions, layout: str) -> None:
    """Raise a `DataError` if labels are passed to a layout whose folders name the classes."""
    if options.labels is not None:
        raise DataError(f"{layout}: the folders name the classes; --labels is for --source videos")


def require_distinct(labels: Iterable[str]) -> None:
    """Raise a `DataError` if two classes differ only by case, spaces, underscores or hyphens."""
    first_spelling: dict[str, str] = {}
    for label in labels:
        other = first_spelling.setdefault("".join(c for c in label.casefold() if c not in " _-"), label)
        if other != label:
            raise DataError(
                f"two classes with almost the same name, {other!r} and {label!r}: rename one of the folders"
            )
