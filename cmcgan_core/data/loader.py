"""."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import PairDataset, StoredPairs
from cmcgan_core.data.mismatch import MIN_POSE_GAP_S, By, PosePartners, wrong_partners, wrong_poses
from cmcgan_core.errors import DataError
from cmcgan_core.features.scaling import resize, scale_pictures, scale_spectrograms
from cmcgan_core.features.settings import FeatureSettings


class Batch(NamedTuple):
    """B pairs whose sound and picture belong together; values in [-1, 1], as the generators' tanh is."""

    audio: Tensor  #: (B, 1, M, T) spectrogram: M bands, T frames
    visual: Tensor  #: (B, 3, S, S)
    label: Tensor  #: (B,) class index
    timestamp_ms: Tensor  #: (B,) where on the axis of `wrong.timestamps_ms`


class Loader:
    """Batches of a split, on a device, in an order that depends on the seed and the epoch alone.

    The last, smaller batch is left out, as batch statistics would differ. Every batch has wrong pairs: it holds at
    least two classes; by pose, its second half are partners of its first, drawn for it, and pairs that have none (see
    `wrong.PosePartners`) are left out.

    Args:
        dataset: a split.
        network: the sizes that the batches get.
        batch_size: pairs a batch; all, where the split has fewer.
        seed: of the order.
        device: of the batches.
        by: what makes a pair wrong, see `TrainConfig.wrong_pairs`.

    Attributes:
        items: positions of the pairs that batches are made of.
    """

    def __init__(
        self,
        dataset: PairDataset,
        network: NetworkConfig,
        batch_size: int,
        seed: int,
        device: torch.device,
        *,
        by: By = "class",
    ) -> None:
        self.dataset = dataset
        self.partners = PosePartners(dataset.labels, dataset.timestamps_ms) if by == "pose" else None
        self.items = self.partners.items if self.partners else list(range(len(dataset)))
        self._require_wrong_pairs()
        self.network = network
        self.batch_size = min(batch_size, len(self.items))
        self.seed = seed
        self.device = device

    def __len__(self) -> int:
        return len(self.items) // self.batch_size

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, but for the first `skip`."""
        for items in itertools.islice(self.order(number), skip, None):
            yield to_batch(self.dataset.read(items), self.network, self.dataset.settings, self.device)

    def order(self, number: int) -> Iterator[list[int]]:
        """Positions of the pairs of each batch."""
        rng = torch.Generator().manual_seed((self.seed * 1_000_003 + number) % 2**63)
        shuffled = torch.randperm(len(self.items), generator=rng).tolist()
        for first in range(0, len(self) * self.batch_size, self.batch_size):
            items = [self.items[i] for i in shuffled[first : first + self.batch_size]]
            yield self._with_poses(items, rng) if self.partners else self._with_classes(items, rng)

    def _with_classes(self, items: list[int], rng: torch.Generator) -> list[int]:
        """The items, but for the last one where it takes another class."""
        labels = self.dataset.labels
        if bool((labels[items] == labels[items[0]]).all()):
            others = (labels != labels[items[0]]).nonzero().flatten()
            items[-1] = int(others[torch.randint(len(others), (1,), generator=rng)])
        return items

    def _with_poses(self, items: list[int], rng: torch.Generator) -> list[int]:
        """The first half of the items, and partners of each."""
        assert self.partners is not None
        first = items[: len(items) // 2]
        return first + [self.partners.draw(item, rng) for item in first]

    def _require_wrong_pairs(self) -> None:
        dataset = self.dataset
        if self.partners and not self.items and len(dataset):
            raise DataError(
                f"{dataset.root} has no wrong pairs by pose: no class of its {dataset.split} split has "
                f"pairs of two recordings, or {MIN_POSE_GAP_S:g} s apart; train with --wrong-pairs class"
            )
        if len(dataset) < 2 or (not self.partners and len(set(dataset.labels.tolist())) < 2):
            raise DataError(
                f"{dataset.root} has too little to train on: its {dataset.split} split has {len(dataset)} "
                "pairs; at least two, of two classes, are needed"
            )


def in_order(dataset: PairDataset, network: NetworkConfig, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """All pairs of a split once, in the order of the index; the last batch may be smaller."""
    for first in range(0, len(dataset), batch_size):
        items = list(range(first, min(first + batch_size, len(dataset))))
        yield to_batch(dataset.read(items), network, dataset.settings, device)


def to_batch(stored: StoredPairs, network: NetworkConfig, settings: FeatureSettings, device: torch.device) -> Batch:
    """Stored pairs, resized to the networks' sizes and scaled to [-1, 1]."""
    levels = scale_spectrograms(stored.levels.to(device).float(), settings)[:, None]
    visual = scale_pictures(stored.pictures.to(device))
    size = network.picture_size
    return Batch(
        resize(levels, network.spectrogram_size),
        resize(visual, (size, size)),
        stored.label.to(device),
        stored.timestamp_ms.to(device),
    )


def wrong_pairs(batch: Batch, by: By, rng: torch.Generator) -> Tensor:
    """For every pair of a batch the position (B,) of another whose picture, or sound, is wrong for it."""
    if by == "class":
        return wrong_partners(batch.label, rng)
    return wrong_poses(batch.label, batch.timestamp_ms, rng)
