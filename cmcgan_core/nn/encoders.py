"""A residual encoder: another architecture than the paper's, for judges that do not share its blind spots."""

import itertools
from collections.abc import Sequence
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from cmcgan_core.config import NetworkConfig
from cmcgan_core.errors import ConfigError
from cmcgan_core.nn.layers import Convolution, RouteNorm, scaled
from cmcgan_core.registry import Registry

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


#: Kernels of the sound classifier's convolutions; the first three halve the map, so 64 x 64 becomes 16 x 8 x 8 = 1024.
SOUND_CHANNELS = (4, 8, 16, 16)


#: Kernels of the image classifier's convolutions; the map is halved after the second and after the last.
PICTURE_CHANNELS = (16, 16, 32, 32, 64, 64)


#: Values of the two fully connected layers, and the share of each that its dropout keeps.
HIDDEN = ((1024, 0.7), (128, 0.8))


#: Values of the code, phi in the paper.
CODE = 64


#: Width does not narrow layers of fewer values than this, which are the sound classifier's.
NARROWEST = 16


class ClassifierEncoder(nn.Module):
    """Convolutions three by three, fully connected layers of 1024 and 128 with dropout, a linear map to the code.

    The paper reads the class from the 128 values; between those and the code there is nothing but a linear map to more
    values than there are classes, so a class read from the code is the same function.

    Args:
        channels: C of the input; 1 makes the sound classifier, 3 the image classifier.
        size: (H, W) of the input (paper: 64 x 64).
        network: width, a factor on the layers' values, `NARROWEST` at least; layers, 3 or 4, of the sound classifier.
        routes: not needed, as there is no normalisation.

    Raises:
        ConfigError: the sound classifier has another number of layers.
    """

    def __init__(self, channels: int, size: tuple[int, int], network: NetworkConfig, routes: Sequence[str]) -> None:
        super().__init__()
        del routes
        if network.layers not in (3, 4):
            raise ConfigError(
                f"network.layers: CMAV's encoders have 3 or 4, not {network.layers}; other numbers are "
                "for --set network.encoder=conv"
            )
        make = _picture_layers if channels == 3 else _sound_layers
        self.convolutions = make(channels, network)
        last = [module for module in self.convolutions if isinstance(module, nn.Conv2d)][-1].out_channels
        halvings = 2 if channels == 3 else 3
        height, width = (_halved(side, halvings, up=channels == 1) for side in size)
        layers: list[nn.Module] = [nn.Flatten()]
        before = last * height * width
        for count, keep in HIDDEN:
            layers += [nn.Linear(before, _narrowed(count, network)), nn.Dropout(1 - keep), nn.ReLU()]
            before = _narrowed(count, network)
        self.connected = nn.Sequential(*layers)
        self.code = nn.Linear(before, CODE)

    def forward(self, maps: Tensor, route: str) -> Tensor:
        """Maps (B, C, H, W) to codes (B, 64, 1, 1)."""
        del route
        code: Tensor = self.code(self.connected(self.convolutions(maps)))
        return code[:, :, None, None]


def _sound_layers(channels: int, network: NetworkConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    for place, count in enumerate(SOUND_CHANNELS[: network.layers]):
        kernels = _narrowed(count, network)
        layers += [nn.Conv2d(channels, kernels, 3, stride=2 if place < 3 else 1, padding=1), nn.ReLU()]
        channels = kernels
    return nn.Sequential(*layers)


def _picture_layers(channels: int, network: NetworkConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    for place, count in enumerate(PICTURE_CHANNELS, start=1):
        kernels = _narrowed(count, network)
        layers += [nn.Conv2d(channels, kernels, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if place in (2, len(PICTURE_CHANNELS)) else []
        channels = kernels
    return nn.Sequential(*layers)


def _narrowed(count: int, network: NetworkConfig) -> int:
    return max(min(count, NARROWEST), round(count * network.width))


def _halved(side: int, times: int, *, up: bool) -> int:
    """A side after halvings, each rounded up, as by convolutions, or down, as by pooling."""
    for _ in range(times):
        side = (side + 1) // 2 if up else side // 2
    return side


#: Kernels of the seven convolutional layers of image and sound encoder; the last is the code.
ENCODER_CHANNELS = (64, 128, 256, 512, 512, 256, 64)


class EncoderClass(Protocol):
    """What `ENCODERS` holds: a class of modules (B, C, H, W) -> (B, 64, 1, 1)."""

    def __call__(
        self, channels: int, size: tuple[int, int], network: NetworkConfig, routes: Sequence[str]
    ) -> nn.Module:
        """An encoder for maps of `channels` and `size`; its `forward` takes the maps and the name of their route."""


class Encoder(nn.Module):
    """Convolutions, five by five with stride two, each with batch normalisation and ReLU; to a code.

    Seven layers take 128 x 128 and 128 x 32 to 1 x 1. The paper does not say what its encoders of five and six layers
    look like; here the last but one are left out, and the code is the mean over the map that remains.

    Args:
        channels: C of the input.
        size: (H, W) of the input; halved, rounding up, by every layer.
        network: layers, and width as a factor on the paper's channel counts.
        routes: see `RouteNorm`.
    """

    def __init__(self, channels: int, size: tuple[int, int], network: NetworkConfig, routes: Sequence[str]) -> None:
        super().__init__()
        counts = [channels, *scaled(ENCODER_CHANNELS[: network.layers - 1], network.width), CODE]
        self.convolutions = nn.ModuleList(Convolution(i, o) for i, o in itertools.pairwise(counts))
        self.norms = nn.ModuleList(RouteNorm(count, routes) for count in counts[1:])

    def forward(self, maps: Tensor, route: str) -> Tensor:
        """Maps (B, C, H, W) to codes (B, 64, 1, 1)."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            maps = F.relu(norm(convolution(maps), route))
        return maps if maps.shape[-2:] == (1, 1) else maps.mean(dim=(2, 3), keepdim=True)


#: Encoders by name; plugins add to them.
ENCODERS: Registry[EncoderClass] = Registry(
    "cmcgan.encoders", {"conv": Encoder, "resnet": ResidualEncoder, "cmav": ClassifierEncoder}
)
