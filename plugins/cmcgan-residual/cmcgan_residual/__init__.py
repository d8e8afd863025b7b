"""An example plugin of cmcgan: an encoder with shortcuts, and a smoother distance for the consistency loss.

cmcgan train prepared/urmp --set network.encoder=residual --set options.consistency=smooth_l1
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from cmcgan_core import NetworkConfig


class ResidualEncoder(nn.Module):
    """Five stages that halve the map, each a convolution with a shortcut, then the mean over the map.

    Group normalisation keeps no running statistics, so the route of the input makes no difference.

    Args:
        channels: C of the input.
        size: not needed: the last map is averaged, so the input may have any size.
        network: width, a factor on the channel counts.
        routes: not needed.
    """

    def __init__(self, channels: int, size: tuple[int, int], network: NetworkConfig, routes: Sequence[str]) -> None:
        super().__init__()
        counts = [max(8, round(count * network.width) // 8 * 8) for count in (64, 128, 256, 512, 512)]
        befores = [channels, *counts[:-1]]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, 5, stride=2, padding=2) for i, o in zip(befores, counts, strict=True)
        )
        self.shortcuts = nn.ModuleList(nn.Conv2d(i, o, 1, stride=2) for i, o in zip(befores, counts, strict=True))
        self.norms = nn.ModuleList(nn.GroupNorm(8, count) for count in counts)
        self.code = nn.Linear(counts[-1], 64)

    def forward(self, maps: Tensor, route: str) -> Tensor:
        """Encode maps (B, C, H, W) as codes (B, 64, 1, 1)."""
        for convolution, shortcut, norm in zip(self.convolutions, self.shortcuts, self.norms, strict=True):
            maps = shortcut(maps) + F.relu(norm(convolution(maps)))
        code: Tensor = self.code(maps.mean(dim=(2, 3)))
        return code[:, :, None, None]


def smooth_l1_loss(generated: Tensor, target: Tensor) -> Tensor:
    """Compute an L1 distance that is quadratic below 0.1, so small errors have small gradients; a scalar."""
    return F.smooth_l1_loss(generated, target, beta=0.1)
