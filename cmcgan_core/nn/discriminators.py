"""."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from cmcgan_core.nn.layers import (
    CODE,
    SLOPE,
    branch_channels,
    full_precision,
    scaled,
)


class Discriminator(nn.Module):
    """Says of a picture and a spectrogram whether they are a real and matching pair; no normalisation.

    Source: CMCGAN, "Discriminator": two convolutional stacks, concatenated, one scalar. Without batch normalisation a
    modality's features do not depend on what else is in the batch, so `train_step` computes each of them once.

    Args:
        picture_size: side of the pictures.
        levels_size: (bands, frames) of the spectrograms.
        width: factor on the channel counts.
        spectral: bound every layer by spectral normalisation (Miyato et al. 2018); not in the paper.
    """

    def __init__(self, picture_size: int, levels_size: tuple[int, int], width: float, *, spectral: bool) -> None:
        super().__init__()
        self.visual = discriminator_branch(3, (picture_size, picture_size), width)
        self.audio = discriminator_branch(1, levels_size, width)
        joined = sum(branch_channels(size, width)[-1] for size in ((picture_size, picture_size), levels_size))
        hidden = scaled([512], width)[0]
        self.joint = nn.Sequential(nn.Conv2d(joined, hidden, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(hidden, 1, 4))
        if spectral:
            for module in [m for m in self.modules() if isinstance(m, nn.Conv2d)]:
                spectral_norm(module)

    def forward(self, visual: Tensor, audio: Tensor) -> Tensor:
        """Features of a picture and of a spectrogram (B, c, 4, 4) each, to the logit of S (B,)."""
        logit: Tensor = self.joint(torch.cat([visual, audio], dim=1))
        return full_precision(logit.flatten())


def discriminator_branch(channels: int, size: tuple[int, int], width: float) -> nn.Sequential:
    """Convolutions that halve each side until it is about four; (B, C, H, W) to (B, c, 4, 4)."""
    layers: list[nn.Module] = []
    for count in branch_channels(size, width):
        stride = tuple(2 if side > 4 else 1 for side in size)
        layers += [nn.Conv2d(channels, count, 5, stride=stride, padding=2), nn.LeakyReLU(SLOPE)]  # type: ignore[arg-type]
        channels, size = count, ((size[0] - 1) // stride[0] + 1, (size[1] - 1) // stride[1] + 1)
    if size != (4, 4):
        layers.append(nn.AdaptiveAvgPool2d(4))
    return nn.Sequential(*layers)


class MatchingDiscriminator(nn.Module):
    """Says of a map and a code whether the map is real and matches it; no normalisation.

    Source: CMAV, Figure 2, after GAN-CLS (Reed et al. 2016): convolutions to 4 x 4, beside the code, tiled. A map's
    features do not depend on what else is in the batch, so the real ones serve right and wrong pairs.

    Args:
        channels: C of the maps.
        size: (H, W) of the maps.
        width: factor on the channel counts (64-128-256-512 for 64 x 64).
    """

    def __init__(self, channels: int, size: tuple[int, int], width: float) -> None:
        super().__init__()
        self.features = discriminator_branch(channels, size, width)
        hidden = scaled([512], width)[0]
        joined = branch_channels(size, width)[-1] + CODE
        self.joint = nn.Sequential(nn.Conv2d(joined, hidden, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(hidden, 1, 4))

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """Features of maps (B, c, 4, 4) and codes (B, 64) to the logit of S (B,)."""
        tiled = code[:, :, None, None].expand(-1, -1, 4, 4)
        logit: Tensor = self.joint(torch.cat([features, tiled], dim=1))
        return full_precision(logit.flatten())
