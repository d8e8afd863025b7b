"""Prepared pairs, read: the dataset on disk, batches of it, and wrong pairs.

The format is described in `docs/data.md`; `prepare` writes it.
"""

import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
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
from cmcgan_core.errors import DataError

#: Version of the format that this code reads and writes.
FORMAT = 1


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


class PairDataset:
    """A split of a prepared dataset; shards are memory-mapped, so its size does not matter.

    Args:
        root: folder made by `cmcgan prepare`.
        split: "train", "validation", "test", or None for all.

    Raises:
        DataError: the folder is not a prepared dataset, or one of another version, or is incomplete.
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        self.root = root
        self.split = split
        self.about = read_about(root)
        self.settings = build(FeatureSettings, self.about["features"], f"{root / 'dataset.toml'} [features]")
        self.classes: tuple[str, ...] = tuple(self.about["classes"])
        index = _read_index(root / "index.csv")
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
        count = -(-int(self.about["pairs"]) // self._shard_size)
        names = [self.root / "shards" / f"{i:05d}" for i in range(count)]
        return [(_map(Path(f"{name}.pictures.npy")), _map(Path(f"{name}.levels.npy"))) for name in names]


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
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
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
    """
    file = root / "dataset.toml"
    if not file.is_file():
        raise DataError(f"{root} is not a prepared dataset (no dataset.toml); make one with: "
                        f"cmcgan prepare SOURCE --out {root}")  # fmt: skip
    about = read_toml(file)
    if about.get("format") != FORMAT:
        raise DataError(f"{file} has format {about.get('format')}, this cmcgan reads {FORMAT}; prepare it again")
    return about


def _read_index(file: Path) -> list[Pair]:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except OSError as error:
        raise DataError(
            f"{file} cannot be read ({error.strerror}); see: cmcgan prepare --check {file.parent}"
        ) from error
    return [Pair(**{**row, "start": float(row["start"])}) for row in rows]  # type: ignore[arg-type]


def _map(file: Path) -> NDArray[Any]:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error}); see: cmcgan prepare --check {file.parent.parent}") from error
