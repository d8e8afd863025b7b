"""."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cmcgan_core.config import Config
from cmcgan_core.modality import CHANNELS
from cmcgan_core.nn.encoders import ENCODERS
from cmcgan_core.nn.layers import CODE, full_precision


class FusionNetwork(nn.Module):
    """Encoders of the given modalities and a fully connected layer on their codes.

    Args:
        config: of the run.
        sizes: (H, W) by modality.
        modalities: those that it is given; the others are ignored.
        classes: number of classes.
    """

    def __init__(
        self, config: Config, sizes: Mapping[str, tuple[int, int]], modalities: tuple[str, ...], classes: int
    ) -> None:
        super().__init__()
        encoder = ENCODERS.get(config.network.encoder)
        self.encoders = nn.ModuleDict({m: encoder(CHANNELS[m], sizes[m], config.network, ["real"]) for m in modalities})
        self.head = nn.Linear(CODE * len(modalities), classes)

    def features(self, **maps: Tensor) -> Tensor:
        """Codes of `audio` and `visual`, those that the network has an encoder for, as (B, 64 n)."""
        given = {"a": maps.get("audio"), "v": maps.get("visual")}
        return torch.cat([e(given[m], "real").flatten(1) for m, e in self.encoders.items()], dim=1)

    def forward(self, **maps: Tensor) -> Tensor:
        """Logits (B, classes) from `audio` (B, 1, M, T) and `visual` (B, 3, S, S)."""
        logits: Tensor = self.head(full_precision(self.features(**maps)))
        return logits
