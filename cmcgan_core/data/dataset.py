"""Prepared pairs, read: the dataset on disk, batches of it, and wrong pairs.

The format is described in `docs/data.md`; `prepare` writes it.
"""

import csv
import itertools
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

from cmcgan_core.config import NetworkConfig, build, read_toml
from cmcgan_core.data import features
from cmcgan_core.data.features import FeatureSettings
from cmcgan_core.errors import ConfigError, DataError

#: Version of the format that this code reads and writes.
FORMAT = 1
#: What every reader needs of dataset.toml.
NEEDED = {"name": str, "pairs": int, "shard_size": int, "classes": list, "features": dict}
#: What reading a missing or damaged file of a prepared dataset raises.
DAMAGE = (ConfigError, EOFError, OSError, ValueError, csv.Error)


class Batch(NamedTuple):
    """B pairs whose sound and picture belong together; values in [-1, 1], as the generators' tanh is."""

    audio: Tensor  #: (B, 1, M, T) spectrogram: M bands, T frames
    visual: Tensor  #: (B, 3, S, S)
    label: Tensor  #: (B,) class index


class StoredPairs(NamedTuple):
    """Pairs as they lie on disk."""

    levels: Tensor  #: (B, M, T) float16, decibels
    pictures: Tensor  #: (B, S, S, 3) uint8
    label: Tensor  #: (B,) class index


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
        with reading(root, "dataset.toml"):
            self.about = read_about(root)
            self.settings = build(FeatureSettings, self.about["features"], "[features]")
        self.classes: tuple[str, ...] = tuple(self.about["classes"])
        with reading(root, "index.csv"):
            index = read_index(root)
            if len(index) != self.about["pairs"]:
                raise ValueError(f"it has {len(index)} pairs, dataset.toml says {self.about['pairs']}")
            if strange := {pair.label for pair in index}.difference(self.classes):
                raise ValueError(f"{min(strange)!r} is no class of dataset.toml")
        self.rows = [i for i, pair in enumerate(index) if split in (None, pair.split)]
        self.pairs = [index[i] for i in self.rows]
        position = {name: i for i, name in enumerate(self.classes)}
        self.labels = torch.tensor([position[pair.label] for pair in self.pairs], dtype=torch.long)

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, items: list[int]) -> StoredPairs:
        """The pairs at these positions of the split, in this order."""
        places = [divmod(self.rows[i], self._shard_size) for i in items]
        pictures = np.stack([self._shards[shard][0][row] for shard, row in places])
        levels = np.stack([self._shards[shard][1][row] for shard, row in places])
        return StoredPairs(torch.from_numpy(levels), torch.from_numpy(pictures), self.labels[items])

    @cached_property
    def _shard_size(self) -> int:
        return int(self.about["shard_size"])

    @cached_property
    def _shards(self) -> list[tuple[NDArray[np.uint8], NDArray[np.float16]]]:
        pairs, size = self.about["pairs"], self._shard_size
        picture = (self.settings.picture_size, self.settings.picture_size, 3)
        level = (self.settings.n_mels, self.settings.frames)
        lengths = [min(size, pairs - first) for first in range(0, pairs, size)]
        return [
            (
                _map(self.root, f"shards/{shard:05d}.pictures.npy", (length, *picture)),
                _map(self.root, f"shards/{shard:05d}.levels.npy", (length, *level)),
            )
            for shard, length in enumerate(lengths)
        ]


class Loader:
    """Batches of a split, on a device, in an order that depends on the seed and the epoch alone.

    The last, smaller batch is left out, as batch statistics would differ; every batch holds at least two classes, so
    that it has wrong pairs.

    Args:
        dataset: a split.
        network: the sizes that the batches get.
        batch_size: pairs a batch; all, where the split has fewer.
        seed: of the order.
        device: of the batches.
    """

    def __init__(
        self, dataset: PairDataset, network: NetworkConfig, batch_size: int, seed: int, device: torch.device
    ) -> None:
        if len(dataset) < 2 or len(set(dataset.labels.tolist())) < 2:
            raise DataError(f"{dataset.root} has too little to train on: its {dataset.split} split has {len(dataset)} "
                            "pairs; at least two, of two classes, are needed")  # fmt: skip
        self.dataset = dataset
        self.network = network
        self.batch_size = min(batch_size, len(dataset))
        self.seed = seed
        self.device = device

    def __len__(self) -> int:
        return len(self.dataset) // self.batch_size

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, but for the first `skip`."""
        for items in itertools.islice(self.order(number), skip, None):
            yield to_batch(self.dataset.read(items), self.network, self.dataset.settings, self.device)

    def order(self, number: int) -> Iterator[list[int]]:
        """Positions of the pairs of each batch."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + number) % 2**63)
        shuffled = torch.randperm(len(self.dataset), generator=generator).tolist()
        for first in range(0, len(self) * self.batch_size, self.batch_size):
            items = shuffled[first : first + self.batch_size]
            labels = self.dataset.labels
            if bool((labels[items] == labels[items[0]]).all()):
                others = (labels != labels[items[0]]).nonzero().flatten()
                items[-1] = int(others[torch.randint(len(others), (1,), generator=generator)])
            yield items


def in_order(dataset: PairDataset, network: NetworkConfig, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """All pairs of a split once, in the order of the index; the last batch may be smaller."""
    for first in range(0, len(dataset), batch_size):
        items = list(range(first, min(first + batch_size, len(dataset))))
        yield to_batch(dataset.read(items), network, dataset.settings, device)


def to_batch(stored: StoredPairs, network: NetworkConfig, settings: FeatureSettings, device: torch.device) -> Batch:
    """Stored pairs, resized to the networks' sizes and scaled to [-1, 1]."""
    levels = features.scale_levels(stored.levels.to(device).float(), settings)[:, None]
    visual = features.scale_pictures(stored.pictures.to(device))
    size = network.picture_size
    return Batch(
        features.resize(levels, (settings.n_mels, network.lms_frames)),
        features.resize(visual, (size, size)),
        stored.label.to(device),
    )


def wrong_partners(label: Tensor, generator: torch.Generator, among: Tensor | None = None) -> Tensor:
    """For every label (B,) a position in `among` (N,) whose class is another, drawn evenly; (B,).

    Source: CMCGAN, Algorithm 1 ("mismatched"). In training `among` is the batch itself, which is drawn evenly from the
    dataset, so that the discriminator's features of the wrong pictures and sounds are there already.

    Raises:
        DataError: all items are of one class.
    """
    other = label[:, None] != (label if among is None else among)[None, :]
    if not bool(other.any(dim=1).all()):
        raise DataError("there are pairs of one class only, and so no wrong pairs; more classes are needed")
    return torch.multinomial(other.float().cpu(), 1, generator=generator).flatten().to(label.device)


def read_about(root: Path) -> dict[str, Any]:
    """`dataset.toml` of a prepared dataset.

    Raises:
        DataError: there is none, or it is of another version.
        ConfigError: it is not TOML.
        ValueError: it lacks what every reader needs.
    """
    file = root / "dataset.toml"
    if not file.is_file():
        raise DataError(f"{root} is not a prepared dataset (no dataset.toml); make one with: "
                        f"cmcgan prepare SOURCE --out {root}")  # fmt: skip
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
    with reading(root, name):
        array: NDArray[Any] = np.load(root / name, mmap_mode="r", allow_pickle=False)
        if array.shape != shape:
            raise ValueError(f"its shape is {array.shape}, not {shape}")
    return array


@contextmanager
def reading(root: Path, name: str) -> Iterator[None]:
    """Name the file and the next command where a file of a prepared dataset is missing or damaged."""
    try:
        yield
    except DAMAGE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{root / name} cannot be read ({reason}); see: cmcgan prepare --check {root}") from error
