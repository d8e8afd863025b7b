"""A residual encoder: another architecture than the paper's, for judges that do not share its blind spots."""

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from cmcgan_core.config import NetworkConfig
from cmcgan_core.norms import RouteNorm

#: Channels of the stages at width 1; each stage but the first halves the map.
STAGES = (64, 128, 256, 512)


class ResidualEncoder(nn.Module):
    """Pre-activation residual blocks of 3 x 3 convolutions, global average pooling, a linear map to the code.

    Source: He et al., "Identity Mappings in Deep Residual Networks" (2016), one block a stage.

    Args:
        channels: C of the input.
        size: (H, W) of the input; any, as the end is pooled.
        network: width, a factor on `STAGES`.
        routes: see `RouteNorm`.
    """

    def __init__(self, channels: int, size: tuple[int, int], network: NetworkConfig, routes: Sequence[str]) -> None:
        super().__init__()
        del size
        counts = [max(8, round(count * network.width)) for count in STAGES]
        self.stem = nn.Conv2d(channels, counts[0], 3, stride=2, padding=1, bias=False)
        self.blocks = nn.ModuleList([Block(counts[0], counts[0], 1, routes)])
        self.blocks.extend(Block(before, after, 2, routes) for before, after in itertools.pairwise(counts))
        self.norm = RouteNorm(counts[-1], routes)
        self.code = nn.Conv2d(counts[-1], 64, 1)

    def forward(self, maps: Tensor, route: str) -> Tensor:
        """Maps (B, C, H, W) to codes (B, 64, 1, 1)."""
        maps = self.stem(maps)
        for block in self.blocks:
            maps = block(maps, route)
        code: Tensor = self.code(F.relu(self.norm(maps, route)).mean(dim=(-1, -2), keepdim=True))
        return code


class Block(nn.Module):
    """Two 3 x 3 convolutions, each after normalisation and ReLU, added to what they were given."""

    def __init__(self, before: int, after: int, stride: int, routes: Sequence[str]) -> None:
        super().__init__()
        self.norms = nn.ModuleList([RouteNorm(before, routes), RouteNorm(after, routes)])
        self.first = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        changes = (before, stride) != (after, 1)
        self.shortcut = nn.Conv2d(before, after, 1, stride=stride, bias=False) if changes else None

    def forward(self, maps: Tensor, route: str) -> Tensor:
        """Maps (B, C, H, W) to maps of the block's channels and stride."""
        active = F.relu(self.norms[0](maps, route))
        kept = maps if self.shortcut is None else self.shortcut(active)
        added: Tensor = kept + self.second(F.relu(self.norms[1](self.first(active), route)))
        return added
