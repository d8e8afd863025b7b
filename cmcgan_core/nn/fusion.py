"""The multimodal classification network: encoders of the given modalities, and one layer on their codes."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from cmcgan_core.config import NetworkConfig
from cmcgan_core.modality import Modality
from cmcgan_core.nn.capabilities import Classifier, Embedder
from cmcgan_core.nn.encoders import ENCODERS
from cmcgan_core.nn.layers import CODE, full_precision


class FusionNetwork(Classifier, Embedder):
    """Encoders of the given modalities and a fully connected layer on their codes (late fusion).

    Args:
        network: the encoder's name and sizes.
        modalities: the modalities that it classifies by.
        classes: number of classes.
    """

    def __init__(self, network: NetworkConfig, modalities: Sequence[Modality], classes: int) -> None:
        super().__init__()
        self.modalities = self.embeds = tuple(modalities)
        encoder = ENCODERS.get(network.encoder)
        self.encoders = nn.ModuleDict({m: encoder(m.channels, network.size(m), network, ["real"]) for m in modalities})
        self.head = nn.Linear(CODE * len(modalities), classes)

    def embed(self, modality: Modality, maps: Tensor) -> Tensor:
        """Return the codes (B, 64) of maps (B, C, H, W)."""
        return full_precision(self.encoders[modality](maps, "real").flatten(1))

    def features(self, maps: Mapping[Modality, Tensor]) -> Tensor:
        """Return the codes (B, 64 n) of the n modalities of the network, concatenated."""
        return torch.cat([self.embed(modality, maps[modality]) for modality in self.modalities], dim=1)

    def forward(self, maps: Mapping[Modality, Tensor]) -> Tensor:
        """Return logits (B, classes) of sounds (B, 1, M, T), pictures (B, 3, S, S), or pairs of both."""
        logits: Tensor = self.head(self.features(maps))
        return logits
