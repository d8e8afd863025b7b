"""Batches for networks, made from the pairs of a split."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import PairDataset, StoredPairs
from cmcgan_core.data.mismatch import MIN_POSE_GAP_S, By, PosePartners, wrong_partners, wrong_poses
from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.features.scaling import resize, scale_pictures, scale_spectrograms
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.modality import Modality
from cmcgan_core.utils.batches import in_batches
from cmcgan_core.utils.read_ahead import read_ahead
from cmcgan_core.utils.rng import derive_seed
from cmcgan_core.utils.tensors import send


class Batch(NamedTuple):
    """B pairs whose sound and picture belong together, in [-1, 1], which is the range of the generators' tanh."""

    audio: Tensor  #: (B, 1, M, T) spectrogram: M bands, T frames
    visual: Tensor  #: (B, 3, S, S)
    label: Tensor  #: (B,) class index
    host_label: Tensor  #: (B,) the same on the host, because drawing wrong pairs must not wait for a GPU
    timestamp_ms: Tensor  #: (B,) on the host; see `mismatch.timestamps_ms`

    def maps(self) -> dict[Modality, Tensor]:
        """Return the maps by modality."""
        return {Modality.AUDIO: self.audio, Modality.VISUAL: self.visual}

    def select(self, items: Tensor) -> "Batch":
        """Return the pairs at some positions (N,), which are on the host."""
        on_device = send(items, self.label.device)
        maps = self.audio[on_device], self.visual[on_device]
        return Batch(*maps, self.label[on_device], self.host_label[items], self.timestamp_ms[items])


class Loader:
    """The batches of a split, in an order that depends on the seed and the epoch only.

    An incomplete last batch is left out, because its batch statistics would differ. Wrong pairs can be drawn from every
    batch. With wrong pairs by class, every batch has at least two classes. With wrong pairs by pose, the second half of
    a batch consists of partners of the first half, and pairs without a partner (see `mismatch.PosePartners`) are left
    out.

    Args:
        dataset: the split.
        network: the configuration with the sizes that the maps are resized to.
        batch_size: pairs per batch; if the split has fewer pairs, a batch has all of them.
        seed: the seed of the order.
        device: the device of the batches.
        by: what a wrong pair mismatches, see `TrainConfig.wrong_pairs`.
        part: number of the process that uses the batches, from 0.
        parts: number of processes; each gets an equal part of every batch.

    Attributes:
        items: positions in the split of the pairs that the batches are drawn from.

    Raises:
        ConfigError: a batch cannot be divided into equal parts of at least two pairs.
        DataError: the split is too small, or has no wrong pairs.
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
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self.dataset = dataset
        self.part, self.parts = part, parts
        self.partners = PosePartners(dataset.labels, dataset.timestamps_ms) if by == "pose" else None
        self.items = self.partners.items if self.partners else range(len(dataset))
        self._require_wrong_pairs()
        self.network = network
        self.batch_size = min(batch_size, len(self.items))
        if self.batch_size % parts or self.batch_size < 2 * parts:
            raise ConfigError(
                f"a batch of {self.batch_size} pairs cannot be divided among {parts} processes; set another "
                f"train.batch_size, for example {max(2, round(self.batch_size / parts)) * parts}"
            )
        self.seed = seed
        self.device = device

    def __len__(self) -> int:
        return len(self.items) // self.batch_size

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, except the first `skip`."""
        read = partial(read_pairs, self.dataset, self.device)
        for stored in read_ahead(read, itertools.islice(self.order(number), skip, None)):
            yield to_batch(stored, self.network, self.dataset.settings, self.device)

    def order(self, number: int) -> Iterator[list[int]]:
        """Yield, for each batch of one epoch, the positions in the split of the pairs of this process."""
        rng = torch.Generator().manual_seed(derive_seed(self.seed, number))
        shuffled = torch.randperm(len(self.items), generator=rng)
        for first in range(0, len(self) * self.batch_size, self.batch_size):
            drawn = shuffled[first : first + self.batch_size].tolist()
            items = [self.items[i] for i in drawn[self.part :: self.parts]]
            yield self._with_poses(items, rng) if self.partners else self._with_classes(items, rng)

    def _with_classes(self, items: list[int], rng: torch.Generator) -> list[int]:
        """Replace the last item with one of another class, if all items are of one class."""
        labels = self.dataset.labels
        if bool((labels[items] == labels[items[0]]).all()):
            others = (labels != labels[items[0]]).nonzero().flatten()
            items[-1] = int(others[torch.randint(len(others), (1,), generator=rng)])
        return items

    def _with_poses(self, items: list[int], rng: torch.Generator) -> list[int]:
        """Return the first half of the items, followed by a partner of each."""
        assert self.partners is not None
        first = items[: len(items) // 2]
        return first + [self.partners.draw(item, rng) for item in first]

    def _require_wrong_pairs(self) -> None:
        """Raise a `DataError` if no wrong pairs can be drawn."""
        dataset = self.dataset
        if self.partners and not self.items and len(dataset):
            raise DataError(
                f"{dataset.root} has no wrong pairs by pose: no class of its {dataset.split} split has "
                f"pairs of two recordings, or {MIN_POSE_GAP_S:g} s apart; train with --set train.wrong_pairs=class"
            )
        if len(dataset) < 2 or (not self.partners and len(set(dataset.labels.tolist())) < 2):
            raise DataError(
                f"{dataset.root} has too few pairs to train on: its {dataset.split} split has {len(dataset)} pairs; "
                "at least two pairs, of two classes, are needed"
            )


def in_order(dataset: PairDataset, network: NetworkConfig, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """Yield all pairs of a split once, in the order of the index; the last batch may be smaller."""
    batches = in_batches(range(len(dataset)), batch_size)
    for stored in read_ahead(partial(read_pairs, dataset, device), batches):
        yield to_batch(stored, network, dataset.settings, device)


def read_pairs(dataset: PairDataset, device: torch.device, items: list[int]) -> StoredPairs:
    """Read pairs of a split, into pinned memory if they are for a GPU, see `utils.tensors.send`."""
    stored = dataset.read(items)
    return StoredPairs(*(part.pin_memory() for part in stored)) if device.type == "cuda" else stored


def to_batch(stored: StoredPairs, network: NetworkConfig, settings: FeatureSettings, device: torch.device) -> Batch:
    """Scale stored pairs to [-1, 1], and resize them to the networks' sizes."""
    audio = scale_spectrograms(send(stored.spectrograms, device).float(), settings)[:, None]
    visual = scale_pictures(send(stored.pictures, device))
    return Batch(
        resize(audio, network.size(Modality.AUDIO)),
        resize(visual, network.size(Modality.VISUAL)),
        send(stored.label, device),
        stored.label,
        stored.timestamp_ms,
    )


def wrong_pairs(batch: Batch, by: By, rng: torch.Generator) -> Tensor:
    """Draw, for each pair of a batch, another pair whose picture or sound is wrong for it.

    Args:
        batch: B pairs.
        by: what a wrong pair mismatches, see `TrainConfig.wrong_pairs`.
        rng: the random numbers of the draw.

    Returns:
        Positions (B,) in the batch, on its device.

    Raises:
        DataError: a pair has no such partner.
    """
    if by == "class":
        drawn = wrong_partners(batch.host_label, rng)
    else:
        drawn = wrong_poses(batch.host_label, batch.timestamp_ms, rng)
    return send(drawn, batch.label.device)
