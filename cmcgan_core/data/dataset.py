"""Reading prepared datasets. `docs/data.md` describes the format; `data.prepare` writes it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.data.index import explain_read_errors, map_array, number_in_order, read_about, read_index
from cmcgan_core.data.mismatch import timestamps_ms
from cmcgan_core.errors import DataError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.utils.schema import build


class StoredPairs(NamedTuple):
    """Pairs as they are stored in the shards."""

    spectrograms: Tensor  #: (B, M, T) float16; the unit is that of the representation, mostly decibels
    pictures: Tensor  #: (B, S, S, 3) uint8
    label: Tensor  #: (B,) class index
    timestamp_ms: Tensor  #: (B,) see `mismatch.timestamps_ms`


class PreparedDataset:
    """A prepared dataset. Its index is parsed once, when it is opened. Its shards are read pair by pair.

    Attributes:
        root: the folder that `cmcgan prepare` wrote.
        about: the content of its `dataset.toml`.
        name: the name of the dataset.
        content: a hash that identifies the content of the dataset; "" if `dataset.toml` has none.
        settings: the feature settings of the pairs.
        classes: the names of the classes, by class index.
        pairs: the index, a sequence with a row for each pair.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._splits: dict[str | None, PairDataset] = {}
        with explain_read_errors(root, "dataset.toml"):
            self.about = read_about(root)
            self.settings = build(FeatureSettings, self.about["features"], "[features]")
        self.name: str = self.about["name"]
        self.content: str = self.about.get("content", "")
        self.classes: tuple[str, ...] = tuple(self.about["classes"])
        with explain_read_errors(root, "index.csv"):
            self.pairs = read_index(root)
            if len(self.pairs) != self.about["pairs"]:
                raise ValueError(f"it has {len(self.pairs)} pairs, dataset.toml says {self.about['pairs']}")
            if unknown := set(self.pairs.names("label").names).difference(self.classes):
                raise ValueError(f"{min(unknown)!r} is not a class of dataset.toml")

    def split(self, name: str | None = None) -> "PairDataset":
        """Return the pairs of a split, which may be empty.

        Args:
            name: "train", "validation", "test", or a further split of the source; None for all pairs.
        """
        if name not in self._splits:
            self._splits[name] = PairDataset(self, name)
        return self._splits[name]

    def nonempty_split(self, name: str) -> "PairDataset":
        """Return the pairs of a split that must not be empty.

        Raises:
            DataError: the split is empty.
        """
        split = self.split(name)
        if not len(split):
            existing = ", ".join(self.pairs.names("split").names)
            raise DataError(f"{self.root} has no pairs in its {name} split; choose another --split: {existing}")
        return split

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """Read the pictures (B, S, S, 3) and the spectrograms (B, M, T) of these rows of the index.

        Several threads may read at once.

        Raises:
            DataError: a shard is missing or damaged, or a pair has values that are not numbers.
        """
        settings = self.settings
        pictures = np.empty((len(rows), settings.picture_size, settings.picture_size, 3), np.uint8)
        spectrograms = np.empty((len(rows), settings.bins, settings.frames), np.float16)
        for item, row in enumerate(rows):
            shard, position = divmod(int(row), int(self.about["shard_size"]))
            stored_pictures, stored_spectrograms = self._shards[shard]
            stored_pictures.read(position, pictures[item])
            stored_spectrograms.read(position, spectrograms[item])
        bad = np.isnan(spectrograms).any(axis=(1, 2))
        if bad.any():
            raise DataError(
                f"the sound of pair {self.pairs[int(rows[int(bad.argmax())])].id} of {self.root} has values that are "
                f"not numbers; prepare the dataset again, see: cmcgan prepare --check {self.root}"
            )
        return pictures, spectrograms

    @cached_property
    def _shards(self) -> list[tuple["_StoredArray", "_StoredArray"]]:
        """The files of pictures and spectrograms of each shard."""
        pairs, size = self.about["pairs"], int(self.about["shard_size"])
        picture = (self.settings.picture_size, self.settings.picture_size, 3)
        spectrogram = (self.settings.bins, self.settings.frames)
        lengths = [min(size, pairs - first) for first in range(0, pairs, size)]
        return [
            (
                _StoredArray(self.root, f"shards/{shard:05d}.pictures.npy", (length, *picture), np.uint8),
                _StoredArray(self.root, f"shards/{shard:05d}.spectrograms.npy", (length, *spectrogram), np.float16),
            )
            for shard, length in enumerate(lengths)
        ]


class _StoredArray:
    """An array of a shard, of which single items are read.

    The file is opened for each item. Memory-mapped or open files of a thousand shards would be more than a process may
    have open; and where the system reads ahead, a memory-mapped file in random order reads megabytes for each item.

    Args:
        root: the folder of the dataset.
        name: the name of the file in it.
        shape: the shape that the array must have.
        dtype: the NumPy type that its values must have.

    Raises:
        DataError: the file is missing, damaged, or has another array.
    """

    def __init__(self, root: Path, name: str, shape: tuple[int, ...], dtype: type) -> None:
        self.root, self.name = root, name
        with explain_read_errors(root, name):
            array: Any = map_array(root / name)
            if array.shape != shape:
                raise ValueError(f"its shape is {array.shape}, not {shape}")
            if array.dtype != dtype:
                raise ValueError(f"its values are {array.dtype}, not {dtype.__name__}")
            if not array.flags.c_contiguous:
                raise ValueError("its values are not in the order of C")
            self.offset: int = array.offset

    def read(self, position: int, out: NDArray[Any]) -> None:
        """Read the item at a position into an array of its shape.

        Raises:
            DataError: the file has been removed or cut since.
        """
        with explain_read_errors(self.root, self.name), (self.root / self.name).open("rb", buffering=0) as file:
            file.seek(self.offset + position * out.nbytes)
            if file.readinto(out.data) != out.nbytes:
                raise EOFError("it ends too early")


class PairDataset:
    """The N pairs of one split. `PreparedDataset.split` returns it.

    Args:
        dataset: the whole dataset.
        split: the name of the split; None for all pairs.

    Attributes:
        rows: the position (N,) of each pair in the index of the whole dataset.
        pairs: the rows of the index, a sequence.
        labels: class indices (N,).
        timestamps_ms: timestamps (N,), see `mismatch.timestamps_ms`.
    """

    def __init__(self, dataset: PreparedDataset, split: str | None) -> None:
        self.dataset = dataset
        self.split = split
        names, numbers = dataset.pairs.names("split")
        chosen = [split is None or name == split for name in names]
        self.rows: NDArray[np.int64] = np.array(chosen, bool)[numbers].nonzero()[0]
        self.pairs = dataset.pairs.take(self.rows)
        labels = self.pairs.names("label")
        class_indices = np.array([dataset.classes.index(name) for name in labels.names], np.int64)
        self.labels = torch.from_numpy(class_indices[labels.numbers])
        self.timestamps_ms = timestamps_ms(self.pairs.names("recording").numbers, self.pairs.starts)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def root(self) -> Path:
        """The folder of the dataset."""
        return self.dataset.root

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes of the dataset, by class index."""
        return self.dataset.classes

    @property
    def settings(self) -> FeatureSettings:
        """The feature settings of the dataset."""
        return self.dataset.settings

    @cached_property
    def recordings(self) -> Tensor:
        """The recording of each pair (N,), as a number that counts the recordings of the split from 0."""
        return torch.from_numpy(number_in_order(self.pairs.names("recording").numbers))

    def read(self, items: list[int]) -> StoredPairs:
        """Read the pairs at these positions of the split, in this order.

        Raises:
            DataError: a shard is missing or damaged.
        """
        pictures, spectrograms = self.dataset.read(self.rows[items])
        return StoredPairs(
            torch.from_numpy(spectrograms), torch.from_numpy(pictures), self.labels[items], self.timestamps_ms[items]
        )


def open_dataset(root: Path | str) -> PreparedDataset:
    """Open a prepared dataset: parse its `dataset.toml` and its `index.csv`.

    Raises:
        DataError: the folder is not a prepared dataset, or the dataset has another format version, is incomplete or is
            damaged. Damaged shards are found only when they are read.
    """
    return PreparedDataset(Path(root))
