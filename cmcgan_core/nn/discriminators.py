"""Networks that score pairs: the pair discriminator of CMCGAN, the matching discriminator of CMAV, and the registry."""

from typing import Protocol

import torch
from torch import Tensor, nn

from cmcgan_core.config import NetworkConfig
from cmcgan_core.modality import Modality
from cmcgan_core.nn.layers import CODE, SLOPE, branch_channels, full_precision, scaled
from cmcgan_core.registry import Registry


class DiscriminatorClass(Protocol):
    """What `DISCRIMINATORS` holds: a class of modules that score pairs of a picture and a sound."""

    def __call__(self, network: NetworkConfig) -> "PairScorer":
        """Make a discriminator for the sizes in `network`."""


class PairScorer(nn.Module):
    """A discriminator in two steps, so that the features of a map in several pairs are computed once."""

    def features(self, modality: Modality, maps: Tensor) -> Tensor:
        """Compute the features (B, ...) of maps (B, C, H, W); they must not depend on the rest of the batch."""
        raise NotImplementedError

    def forward(self, visual: Tensor, audio: Tensor) -> Tensor:
        """Score pairs, given the features of their pictures and sounds: logits (B,) of S."""
        raise NotImplementedError


class Discriminator(PairScorer):
    """CMCGAN's discriminator: scores whether a picture and a sound are real and belong together.

    Source: CMCGAN, "Discriminator": two convolutional stacks, concatenated, one scalar. It has no batch normalisation.

    Args:
        network: sizes and width.
    """

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__()
        sizes, width = {modality: network.size(modality) for modality in Modality}, network.width
        self.visual = Branch(Modality.VISUAL.channels, sizes[Modality.VISUAL], width)
        self.audio = Branch(Modality.AUDIO.channels, sizes[Modality.AUDIO], width)
        joined = sum(branch_channels(size, width)[-1] for size in sizes.values())
        hidden = scaled([512], width)[0]
        self.joint = nn.Sequential(nn.Conv2d(joined, hidden, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(hidden, 1, 4))

    def features(self, modality: Modality, maps: Tensor) -> Tensor:
        """Compute the features (B, c, 4, 4) of maps (B, C, H, W)."""
        features: Tensor = (self.audio if modality is Modality.AUDIO else self.visual)(maps)
        return features

    def forward(self, visual: Tensor, audio: Tensor) -> Tensor:
        """Score pairs, given features (B, c, 4, 4) of pictures and sounds: logits (B,) of S."""
        logit: Tensor = self.joint(torch.cat([visual, audio], dim=1))
        return full_precision(logit.flatten())


class RealismDiscriminators(nn.Module):
    """A discriminator of pictures and one of sounds, which score realism only, with the layers of `Discriminator`.

    Source: CMCGAN, Figure 5: "standard adversarial loss refers to optimize the image and sound realism".

    Args:
        network: sizes and width.
    """

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__()
        self.branches = nn.ModuleDict()
        for m in Modality:
            size, hidden = network.size(m), scaled([512], network.width)[0]
            last = branch_channels(size, network.width)[-1]
            head = nn.Sequential(nn.Conv2d(last, hidden, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(hidden, 1, 4))
            self.branches[m] = nn.Sequential(Branch(m.channels, size, network.width), head)

    def forward(self, modality: Modality, maps: Tensor) -> Tensor:
        """Score maps (B, C, H, W) of a modality: logits (B,) of S."""
        logit: Tensor = self.branches[modality](maps)
        return full_precision(logit.flatten())


class MatchingDiscriminator(nn.Module):
    """CMAV's discriminator: scores whether a map is real and matches a code.

    Source: CMAV, Figure 2, after GAN-CLS (Reed et al. 2016): convolutions to 4 x 4, concatenated with the repeated
        code. It has no batch normalisation, so the features of a map do not depend on the batch, and the features of
        real maps can be used for right and for wrong pairs.

    Args:
        channels: C of the maps.
        size: (H, W) of the maps.
        width: factor on the channel counts (64-128-256-512 for 64 x 64).
    """

    def __init__(self, channels: int, size: tuple[int, int], width: float) -> None:
        super().__init__()
        self.features = Branch(channels, size, width)
        hidden = scaled([512], width)[0]
        joined = branch_channels(size, width)[-1] + CODE
        self.joint = nn.Sequential(nn.Conv2d(joined, hidden, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(hidden, 1, 4))

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """Score maps, given their features (B, c, 4, 4) and codes (B, 64): logits (B,) of S."""
        tiled = code[:, :, None, None].expand(-1, -1, 4, 4)
        logit: Tensor = self.joint(torch.cat([features, tiled], dim=1))
        return full_precision(logit.flatten())


class Branch(nn.Sequential):
    """Convolutions that halve each side of a map until it is about 4: (B, C, H, W) to (B, c, 4, 4)."""

    def __init__(self, channels: int, size: tuple[int, int], width: float) -> None:
        layers: list[nn.Module] = []
        for count in branch_channels(size, width):
            stride = (2 if size[0] > 4 else 1, 2 if size[1] > 4 else 1)
            layers += [nn.Conv2d(channels, count, 5, stride=stride, padding=2), nn.LeakyReLU(SLOPE)]
            channels, size = count, ((size[0] - 1) // stride[0] + 1, (size[1] - 1) // stride[1] + 1)
        if size != (4, 4):
            layers.append(nn.AdaptiveAvgPool2d(4))
        super().__init__(*layers)


#: Discriminators of pairs by name; plugins add to them.
DISCRIMINATORS: Registry[DiscriminatorClass] = Registry("cmcgan.discriminators", {"pair": Discriminator})
