"""Memorisation: how near samples are to the nearest training sample, compared with real samples.

Distances are those of coarse maps: averages over `GRID` x `GRID` areas. So shifts by few pixels and fine noise hardly
count, and a copied training picture is found even if it was generated with less detail.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.loader import to_batch
from cmcgan_core.modality import Modality
from cmcgan_core.utils.batches import in_batches, spread_evenly

#: Areas of a coarse map, in each dimension.
GRID = 16
#: Largest number of training pairs that are searched; they are spread evenly over the split.
LIMIT = 5000
#: Pairs that are read at once.
BATCH = 64
#: Share of the real samples that count as near to a training sample.
NEAR = 0.01


class TrainingMaps:
    """The coarse maps of training samples.

    Args:
        split: the training split.
        network: configuration with the sizes of the maps.
        device: device of the maps.

    Attributes:
        items: positions in the split of the M pairs that are searched.
    """

    def __init__(self, split: PairDataset, network: NetworkConfig, device: torch.device) -> None:
        self.items = spread_evenly(len(split), LIMIT)
        parts: dict[Modality, list[Tensor]] = {modality: [] for modality in Modality}
        for items in in_batches(self.items, BATCH):
            for modality, maps in to_batch(split.read(items), network, split.settings, device).maps().items():
                parts[modality].append(coarse(maps))
        self.maps = {modality: torch.cat(coarse_maps) for modality, coarse_maps in parts.items()}

    def find_nearest(self, modality: Modality, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Find the nearest training sample of each of N samples.

        Args:
            modality: modality of the samples.
            maps: samples (N, C, H, W) in [-1, 1], at the size of the networks.

        Returns:
            Distances (N,), 0 to 2: root mean squares of the differences of coarse maps. Positions (N,) in `items`.
        """
        training = self.maps[modality]
        distances, positions = torch.cdist(coarse(maps), training).min(dim=1)
        return distances / training.shape[1] ** 0.5, positions


def coarse(maps: Tensor) -> Tensor:
    """Return the coarse maps (N, C `GRID`^2) of maps (N, C, H, W)."""
    return F.adaptive_avg_pool2d(maps.float(), GRID).flatten(1)


def relative_distance(distance: Tensor, real: Tensor) -> float | None:
    """Return the median of distances (N,) of samples, divided by that of real samples; None if the latter is 0.

    It is far below 1 if most samples are copies of training samples.
    """
    median = float(real.median())
    return float(distance.median()) / median if median else None


def share_nearer(distance: Tensor, real: Tensor) -> float:
    """Return the share of samples that are nearer than all but the nearest `NEAR` of the real samples, 0 to 1.

    Args:
        distance: distances (N,) of samples to the nearest training sample.
        real: those of real samples (M,).
    """
    return float((distance < real.quantile(NEAR)).float().mean())
