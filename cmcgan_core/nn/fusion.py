"""The multimodal classification networks: codes of the modalities are concatenated, or the modalities themselves."""

from collections.abc import Collection, Mapping, Sequence

import torch
import torch.nn.functional as F
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
        alone: whether there is also a layer on the code of each modality alone.
    """

    def __init__(
        self, network: NetworkConfig, modalities: Sequence[Modality], classes: int, *, alone: bool = False
    ) -> None:
        super().__init__()
        self.modalities = self.embeds = tuple(modalities)
        encoder = ENCODERS.get(network.encoder)
        self.encoders = nn.ModuleDict({m: encoder(m.channels, network.size(m), network, ["real"]) for m in modalities})
        self.head = nn.Linear(CODE * len(modalities), classes)
        self.alone = nn.ModuleDict({m: nn.Linear(CODE, classes) for m in modalities} if alone else {})

    def embed(self, modality: Modality, maps: Tensor) -> Tensor:
        """Return the codes (B, 64) of maps (B, C, H, W)."""
        return full_precision(self.encoders[modality](maps, "real").flatten(1))

    def features(self, maps: Mapping[Modality, Tensor]) -> Tensor:
        """Return the codes (B, 64 n) of the n modalities of the network that are given, concatenated."""
        given = [modality for modality in self.modalities if modality in maps]
        return torch.cat([self.embed(modality, maps[modality]) for modality in given], dim=1)

    def classify_codes(self, codes: Tensor, modalities: Collection[Modality]) -> Tensor:
        """Return logits (B, classes) of the codes (B, 64 n) of all modalities, or of one that has its own layer."""
        layer = self.head if set(modalities) >= set(self.modalities) else self.alone[next(iter(modalities))]
        logits: Tensor = layer(codes)
        return logits

    def logits_by_layer(self, maps: Mapping[Modality, Tensor]) -> list[Tensor]:
        """Return the logits (B, classes) of every layer on the codes: of all modalities, then of each one alone.

        If there are layers on single codes, only these train the encoders, so that each encoder learns what it would
        learn in a network of its own.
        """
        codes = self.features(maps)
        if not self.alone:
            return [self.head(codes)]
        parts = dict(zip(self.modalities, torch.split(codes, CODE, dim=1), strict=True))
        return [self.head(codes.detach()), *(layer(parts[Modality(name)]) for name, layer in self.alone.items())]

    def forward(self, maps: Mapping[Modality, Tensor]) -> Tensor:
        """Return logits (B, classes) of sounds (B, 1, M, T), pictures (B, 3, S, S), or pairs of both."""
        return self.classify_codes(self.features(maps), self.modalities)


class ConcatenationNetwork(Classifier):
    """One encoder of sound and picture, concatenated as channels, and a fully connected layer (early fusion).

    Source: CMCGAN, "Dynamic Multimodal Classification Network": image and sound "are concatenated directly". Their
        sizes differ, so here the sound is resized to the size of the picture.

    Args:
        network: the encoder's name and sizes.
        classes: number of classes.
    """

    modalities = tuple(Modality)

    def __init__(self, network: NetworkConfig, classes: int) -> None:
        super().__init__()
        self.size = network.size(Modality.VISUAL)
        channels = sum(modality.channels for modality in self.modalities)
        self.encoder = ENCODERS.get(network.encoder)(channels, self.size, network, ["real"])
        self.head = nn.Linear(CODE, classes)

    def logits_by_layer(self, maps: Mapping[Modality, Tensor]) -> list[Tensor]:
        """Return the logits (B, classes) of the only layer, see `FusionNetwork.logits_by_layer`."""
        return [self(maps)]

    def forward(self, maps: Mapping[Modality, Tensor]) -> Tensor:
        """Return logits (B, classes) of pairs of sounds (B, 1, M, T) and pictures (B, 3, S, S)."""
        sound = F.interpolate(maps[Modality.AUDIO], self.size, mode="bilinear", antialias=True)
        code = self.encoder(torch.cat([sound, maps[Modality.VISUAL]], dim=1), "real")
        logits: Tensor = self.head(full_precision(code.flatten(1)))
        return logits
