"""Prepared pairs, read: the dataset on disk, batches of it, and wrong pairs.

The format is described in `docs/data.md`; `prepare` writes it.
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.data.mismatch import timestamps_ms
from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.utils.schema import build
from cmcgan_core.utils.toml import read_toml

#: Version of the format that this code reads and writes.
FORMAT = 1
#: What every reader needs of dataset.toml.
NEEDED = {"name": str, "pairs": int, "shard_size": int, "classes": list, "features": dict}
#: What reading a missing or damaged file of a prepared dataset raises.
DAMAGE = (ConfigError, EOFError, OSError, ValueError, csv.Error)


class StoredPairs(NamedTuple):
    """Pairs as they lie on disk."""

    levels: Tensor  #: (B, M, T) float16, decibels
    pictures: Tensor  #: (B, S, S, 3) uint8
    label: Tensor  #: (B,) class index
    timestamp_ms: Tensor  #: (B,) where on the axis of `wrong.timestamps_ms`


@dataclass(frozen=True)
class Pair:
    """A row of the index."""

    id: str
    split: str
    label: str
    recording: str
    player: str
    start: float
    sound_file: str
    picture_file: str
    checksum: str


#: Columns of index.csv.
COLUMNS = tuple(column.name for column in fields(Pair))


class PairDataset:
    """A split of a prepared dataset; shards are memory-mapped, so its size does not matter.

    Args:
        root: folder made by `cmcgan prepare`.
        split: "train", "validation", "test", or None for all.

    Raises:
        DataError: the folder is not a prepared dataset, or one of another version, or is incomplete or damaged, as far
            as dataset.toml and index.csv tell. `read` raises it where a shard is.
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        self.root = root
        self.split = split
        with explain_read_errors(root, "dataset.toml"):
            self.about = read_about(root)
            self.settings = build(FeatureSettings, self.about["features"], "[features]")
        self.classes: tuple[str, ...] = tuple(self.about["classes"])
        with explain_read_errors(root, "index.csv"):
            index = read_index(root)
            if len(index) != self.about["pairs"]:
                raise ValueError(f"it has {len(index)} pairs, dataset.toml says {self.about['pairs']}")
            if strange := {pair.label for pair in index}.difference(self.classes):
                raise ValueError(f"{min(strange)!r} is no class of dataset.toml")
        self.rows = [i for i, pair in enumerate(index) if split in (None, pair.split)]
        self.pairs = [index[i] for i in self.rows]
        position = {name: i for i, name in enumerate(self.classes)}
        self.labels = torch.tensor([position[pair.label] for pair in self.pairs], dtype=torch.long)
        self.timestamps_ms = timestamps_ms([pair.recording for pair in self.pairs], [pair.start for pair in self.pairs])

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, items: list[int]) -> StoredPairs:
        """The pairs at these positions of the split, in this order."""
        places = [divmod(self.rows[i], self._shard_size) for i in items]
        pictures = np.stack([self._shards[shard][0][row] for shard, row in places])
        levels = np.stack([self._shards[shard][1][row] for shard, row in places])
        stored = torch.from_numpy(levels), torch.from_numpy(pictures)
        return StoredPairs(*stored, self.labels[items], self.timestamps_ms[items])

    @cached_property
    def _shard_size(self) -> int:
        return int(self.about["shard_size"])

    @cached_property
    def _shards(self) -> list[tuple[NDArray[np.uint8], NDArray[np.float16]]]:
        pairs, size = self.about["pairs"], self._shard_size
        picture = (self.settings.picture_size, self.settings.picture_size, 3)
        level = (self.settings.bins, self.settings.frames)
        lengths = [min(size, pairs - first) for first in range(0, pairs, size)]
        return [
            (
                _map(self.root, f"shards/{shard:05d}.pictures.npy", (length, *picture)),
                _map(self.root, f"shards/{shard:05d}.levels.npy", (length, *level)),
            )
            for shard, length in enumerate(lengths)
        ]


def held_out(root: Path, split: str) -> PairDataset:
    """A split to judge.

    Raises:
        DataError: it is empty; else see `PairDataset`.
    """
    dataset = PairDataset(root, split)
    if not len(dataset):
        raise DataError(f"{root} has no pairs in its {split} split; choose another --split")
    return dataset


def read_about(root: Path) -> dict[str, Any]:
    """`dataset.toml` of a prepared dataset.

    Raises:
        DataError: there is none, or it is of another version.
        ConfigError: it is not TOML.
        ValueError: it lacks what every reader needs.
    """
    file = root / "dataset.toml"
    if not file.is_file():
        raise DataError(
            f"{root} is not a prepared dataset (no dataset.toml); make one with: cmcgan prepare SOURCE --out {root}"
        )
    about = read_toml(file)
    if about.get("format") != FORMAT:
        raise DataError(f"{file} has format {about.get('format')}, this cmcgan reads {FORMAT}; prepare it again")
    if lacking := [key for key, kind in NEEDED.items() if not isinstance(about.get(key), kind)]:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    if about["shard_size"] < 1:
        raise ValueError(f"its shard_size is {about['shard_size']}")
    return about


def read_index(root: Path) -> list[Pair]:
    """`index.csv` of a prepared dataset.

    Raises:
        OSError: it cannot be read.
        csv.Error, ValueError: it has other columns, a line is not whole, or it is no text.
    """
    with (root / "index.csv").open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines, strict=True)
        if tuple(next(rows, ())) != COLUMNS:
            raise ValueError("its first line does not name its columns")
        index = []
        for row in rows:
            if len(row) != len(COLUMNS):
                raise ValueError(f"line {rows.line_num} has {len(row)} columns, not {len(COLUMNS)}")
            values: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
            index.append(Pair(**{**values, "start": float(values["start"])}))
    return index


def _map(root: Path, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    with explain_read_errors(root, name):
        array: NDArray[Any] = np.load(root / name, mmap_mode="r", allow_pickle=False)
        if array.shape != shape:
            raise ValueError(f"its shape is {array.shape}, not {shape}")
    return array


@contextmanager
def explain_read_errors(root: Path, name: str) -> Iterator[None]:
    """Name the file and the next command where a file of a prepared dataset is missing or damaged."""
    try:
        yield
    except DAMAGE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{root / name} cannot be read ({reason}); see: cmcgan prepare --check {root}") from error
