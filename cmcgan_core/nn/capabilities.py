"""What a trained network can do. Evaluation, inference and the command line ask for a capability, never for a method.

A network may have several: the generators of CMCGAN translate and embed, the classifiers classify and embed.

Shapes: B items; C channels, H, W size of a map; Z size of a latent; D values of an embedding.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from cmcgan_core.modality import Direction, Modality


class Translator(nn.Module, ABC):
    """A network that turns one modality into the other.

    Attributes:
        directions: the directions that it can translate in.
        hops: number of subnetworks in a row for its own output, see `methods.cmcgan.Options.hops`.
        possible_hops: all numbers of subnetworks in a row that it supports.
        recovers: by modality, the numbers of subnetworks in a row by which it was trained to return this modality from
            itself: 1 for one subnetwork, 2 for the way through the other modality and back.
        latent: size of a latent, Z.
    """

    directions: tuple[Direction, ...]
    hops: int
    possible_hops: tuple[int, ...] = (1,)
    recovers: Mapping[Modality, tuple[int, ...]] = MappingProxyType({})
    latent: int

    def draw(self, count: int, rng: torch.Generator, hops: int | None = None) -> Tensor:
        """Draw latents from N(0, 1) for `count` items, (H, count, Z): one for each of H subnetworks in a row.

        Args:
            count: number of items.
            rng: on the CPU, so that a seed means the same on every device.
            hops: H; None is the network's own number.
        """
        return torch.stack([torch.randn(count, self.latent, generator=rng) for _ in range(hops or self.hops)])

    @abstractmethod
    def translate(self, direction: Direction, source: Tensor, z: Tensor) -> Tensor:
        """Translate one modality to the other.

        Args:
            direction: one of `directions`.
            source: maps (B, C, H, W) of the source modality in [-1, 1].
            z: latents (H, B, Z), see `draw`; H is the number of subnetworks in a row.

        Returns:
            Maps (B, C, H, W) of the target modality in [-1, 1].
        """

    def recover(self, modality: Modality, source: Tensor, z: Tensor) -> Tensor:
        """Return a modality from itself: by one subnetwork, or by way of the other modality.

        Args:
            modality: one of `recovers`.
            source: maps (B, C, H, W) of that modality in [-1, 1].
            z: latents (H, B, Z), see `draw`; H is one of `recovers[modality]`.

        Returns:
            Maps (B, C, H, W) of the same modality in [-1, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} recovers no modality")


class Embedder(nn.Module, ABC):
    """A network that maps items of one or both modalities to vectors. If both, the vectors can be compared by cosine.

    Attributes:
        embeds: the modalities that it can embed.
    """

    embeds: tuple[Modality, ...]

    @abstractmethod
    def embed(self, modality: Modality, maps: Tensor) -> Tensor:
        """Embed maps (B, C, H, W) in [-1, 1] of one of `embeds` as vectors (B, D)."""


def embeds(network: nn.Module, modality: Modality) -> bool:
    """Return whether a network can embed a modality."""
    return isinstance(network, Embedder) and modality in network.embeds


def embeds_both(network: nn.Module) -> bool:
    """Return whether a network can embed both modalities, so that sounds and pictures can be compared."""
    return all(embeds(network, modality) for modality in Modality)


class Classifier(nn.Module, ABC):
    """A network that classifies pictures, sounds, or pairs of both.

    Attributes:
        modalities: the modalities that it needs.
    """

    modalities: tuple[Modality, ...]

    @abstractmethod
    def forward(self, maps: Mapping[Modality, Tensor]) -> Tensor:
        """Classify maps (B, C, H, W) in [-1, 1] by modality; other modalities than `modalities` are ignored.

        Returns:
            Logits (B, classes).
        """
