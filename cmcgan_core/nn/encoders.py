"""Encoders: networks that turn the maps of a modality into a code. The paper's, a residual one, and CMAV's.

Sources: CMCGAN, "Network Architectures"; He et al., "Identity Mappings in Deep Residual Networks" (2016); Chen,
Srivastava, Duan and Xu, "Deep Cross-Modal Audio-Visual Generation" (CMAV, 2017), Figures 2, 4 and 5.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from cmcgan_core.config import NetworkConfig
from cmcgan_core.errors import ConfigError
from cmcgan_core.nn.layers import CODE, Convolution, RouteNorm, layer_sizes, scaled
from cmcgan_core.registry import Registry

#: Channels of the paper's seven convolutional layers, the same for picture and sound; the last layer makes the code.
ENCODER_CHANNELS = (64, 128, 256, 512, 512, 256, 64)
#: Channels of the stages of the residual encoder at width 1; each stage except the first halves the map.
RESIDUAL_CHANNELS = (64, 128, 256, 512)
#: Channels of CMAV's sound classifier. The first three layers halve the map, so 64 x 64 becomes 16 x 8 x 8 = 1024
#: values.
CMAV_SOUND_CHANNELS = (4, 8, 16, 16)
#: Channels of CMAV's image classifier. The map is halved after the second and after the last layer.
CMAV_PICTURE_CHANNELS = (16, 16, 32, 32, 64, 64)
#: Sizes of CMAV's two fully connected layers, and the share of values that the dropout of each keeps.
CMAV_HIDDEN = ((1024, 0.7), (128, 0.8))
#: A factor below 1 on the width never makes a layer of CMAV narrower than this.
CMAV_NARROWEST = 16


class EncoderClass(Protocol):
    """What `ENCODERS` holds: a class of modules that turn maps into codes."""

    def __call__(
        self, channels: int, size: tuple[int, int], network: NetworkConfig, routes: Sequence[str]
    ) -> nn.Module:
        """Make an encoder for maps of `channels` and `size`.

        Its `forward` takes maps (B, C, H, W) and the name of their route, and returns codes (B, 64, 1, 1). It may have
        a method `features` with the same arguments, see `read_features`, and then an attribute `feature_count`: the
        number D of their values. Without it, D is found by reading a black map.
        """


class Encoder(nn.Module):
    """CMCGAN's encoder: 5 x 5 convolutions with stride 2, each with batch normalisation and ReLU.

    Source: CMCGAN, "Network Architectures". Seven layers reduce 128 x 128 and 128 x 32 to 1 x 1. The paper does not
        describe its encoders of five and six layers. Here the layers before the last are left out, and the code is the
        mean over the map that remains.

    Args:
        channels: C of the input.
        size: (H, W) of the input; every layer halves it, rounded up.
        network: number of layers, and width.
        routes: see `RouteNorm`.
    """

    def __init__(self, channels: int, size: tuple[int, int], network: NetworkConfig, routes: Sequence[str]) -> None:
        super().__init__()
        counts = [channels, *scaled(ENCODER_CHANNELS[: network.layers - 1], network.width), CODE]
        self.convolutions = nn.ModuleList(Convolution(i, o) for i, o in itertools.pairwise(counts))
        self.norms = nn.ModuleList(RouteNorm(count, routes) for count in counts[1:])
        self.feature_count = counts[-2] * math.prod(layer_sizes(size, network.layers - 1)[-1])

    def forward(self, maps: Tensor, route: str) -> Tensor:
        """Encode maps (B, C, H, W) as codes (B, 64, 1, 1)."""
        maps = self._apply_layer(-1, self._last_map(maps, route), route)
        return maps if maps.shape[-2:] == (1, 1) else maps.mean(dim=(2, 3), keepdim=True)

    def features(self, maps: Tensor, route: str) -> Tensor:
        """Return the values of the map before the last layer (B, D); 256 x 2 x 2 for 128 x 128 pixels and 7 layers."""
        return self._last_map(maps, route).flatten(1)

    def _last_map(self, maps: Tensor, route: str) -> Tensor:
        """Return the map (B, c, h, w) before the last layer."""
        for layer in range(len(self.convolutions) - 1):
            maps = self._apply_layer(layer, maps, route)
        return maps

    def _apply_layer(self, layer: int, maps: Tensor, route: str) -> Tensor:
        return F.relu(self.norms[layer](self.convolutions[layer](maps), route), inplace=True)


class ResidualEncoder(nn.Module):
    """Pre-activation residual blocks of 3 x 3 convolutions, global average pooling, and a linear map to the code.

    It shares no architecture with the paper's networks, so a judge with this encoder makes different mistakes.

    Source: He et al. 2016, one block per stage.

    Args:
        channels: C of the input.
        size: not needed: the last map is pooled, so the input may have any size.
        network: width, a factor on `RESIDUAL_CHANNELS`.
        routes: see `RouteNorm`.
    """

    def __init__(self, channels: int, size: tuple[int, int], network: NetworkConfig, routes: Sequence[str]) -> None:
        super().__init__()
        counts = scaled(RESIDUAL_CHANNELS, network.width)
        self.stem = nn.Conv2d(channels, counts[0], 3, stride=2, padding=1, bias=False)
        self.blocks = nn.ModuleList([ResidualBlock(counts[0], counts[0], 1, routes)])
        self.blocks.extend(ResidualBlock(before, after, 2, routes) for before, after in itertools.pairwise(counts))
        self.norm = RouteNorm(counts[-1], routes)
        self.code = nn.Conv2d(counts[-1], CODE, 1)
        self.feature_count = counts[-1]

    def forward(self, maps: Tensor, route: str) -> Tensor:
        """Encode maps (B, C, H, W) as codes (B, 64, 1, 1)."""
        code: Tensor = self.code(self.features(maps, route)[:, :, None, None])
        return code

    def features(self, maps: Tensor, route: str) -> Tensor:
        """Return the means over the last map (B, D); 512 at width 1."""
        maps = self.stem(maps)
        for block in self.blocks:
            maps = block(maps, route)
        return F.relu(self.norm(maps, route), inplace=True).mean(dim=(-1, -2))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, each after normalisation and ReLU, added to the input."""

    def __init__(self, before: int, after: int, stride: int, routes: Sequence[str]) -> None:
        super().__init__()
        self.norms = nn.ModuleList([RouteNorm(before, routes), RouteNorm(after, routes)])
        self.first = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        changes = (before, stride) != (after, 1)
        self.shortcut = nn.Conv2d(before, after, 1, stride=stride, bias=False) if changes else None

    def forward(self, maps: Tensor, route: str) -> Tensor:
        """Apply the block to maps (B, C, H, W)."""
        active = F.relu(self.norms[0](maps, route), inplace=True)
        kept = maps if self.shortcut is None else self.shortcut(active)
        added: Tensor = self.second(F.relu(self.norms[1](self.first(active), route), inplace=True)).add_(kept)
        return added


class ClassifierEncoder(nn.Module):
    """CMAV's classifiers as encoders: 3 x 3 convolutions, two fully connected layers with dropout, a linear map.

    CMAV reads the class from the 128 values of the last hidden layer. Here a linear map follows, to 64 values, which
    are more than there are classes. So a class that is read linearly from the code is the same function.

    Source: CMAV, Figures 2, 4 and 5.

    Args:
        channels: C of the input; 1 makes the sound classifier, 3 the image classifier.
        size: (H, W) of the input (paper: 64 x 64).
        network: width, a factor on the sizes of the layers (down to `CMAV_NARROWEST`), and the number of layers of the
            sound classifier, 3 or 4.
        routes: not needed: there is no normalisation.

    Raises:
        ConfigError: `network.layers` is neither 3 nor 4.
    """

    def __init__(self, channels: int, size: tuple[int, int], network: NetworkConfig, routes: Sequence[str]) -> None:
        super().__init__()
        if network.layers not in (3, 4):
            raise ConfigError(
                f"network.layers: CMAV's encoders have 3 or 4 layers, not {network.layers}; for other numbers take "
                "--set network.encoder=conv"
            )
        is_picture = channels == 3
        self.convolutions = (_cmav_picture_layers if is_picture else _cmav_sound_layers)(channels, network)
        last = [module for module in self.convolutions if isinstance(module, nn.Conv2d)][-1].out_channels
        height, width = (_halve(side, 2 if is_picture else 3, round_up=not is_picture) for side in size)
        layers: list[nn.Module] = [nn.Flatten()]
        before = last * height * width
        for count, keep in CMAV_HIDDEN:
            layers += [nn.Linear(before, _narrowed(count, network)), nn.Dropout(1 - keep), nn.ReLU()]
            before = _narrowed(count, network)
        self.connected = nn.Sequential(*layers)
        self.code = nn.Linear(before, CODE)
        self.feature_count = before

    def forward(self, maps: Tensor, route: str) -> Tensor:
        """Encode maps (B, C, H, W) as codes (B, 64, 1, 1); the route makes no difference."""
        code: Tensor = self.code(self.features(maps, route))
        return code[:, :, None, None]

    def features(self, maps: Tensor, route: str) -> Tensor:
        """Return the values of the last hidden layer (B, D), of which CMAV has 128."""
        features: Tensor = self.connected(self.convolutions(maps))
        return features


def read_features(encoder: nn.Module, maps: Tensor, route: str) -> Tensor:
    """Return the features (B, D) of maps (B, C, H, W): what the encoder's last layer reads.

    For an encoder without a method `features`, for example of a plugin, they are its codes (B, 64).
    """
    features: Tensor = (
        encoder.features(maps, route) if hasattr(encoder, "features") else encoder(maps, route).flatten(1)  # type: ignore[operator]
    )
    return features


def _cmav_sound_layers(channels: int, network: NetworkConfig) -> nn.Sequential:
    """Make three or four convolutions, the first three with stride 2."""
    layers: list[nn.Module] = []
    for index, count in enumerate(CMAV_SOUND_CHANNELS[: network.layers]):
        kernels = _narrowed(count, network)
        layers += [nn.Conv2d(channels, kernels, 3, stride=2 if index < 3 else 1, padding=1), nn.ReLU()]
        channels = kernels
    return nn.Sequential(*layers)


def _cmav_picture_layers(channels: int, network: NetworkConfig) -> nn.Sequential:
    """Make six convolutions, with max pooling after the second and the last."""
    layers: list[nn.Module] = []
    for number, count in enumerate(CMAV_PICTURE_CHANNELS, start=1):
        kernels = _narrowed(count, network)
        layers += [nn.Conv2d(channels, kernels, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if number in (2, len(CMAV_PICTURE_CHANNELS)) else []
        channels = kernels
    return nn.Sequential(*layers)


def _narrowed(count: int, network: NetworkConfig) -> int:
    """Multiply the size of a layer by the width, see `CMAV_NARROWEST`."""
    return max(min(count, CMAV_NARROWEST), round(count * network.width))


def _halve(side: int, times: int, *, round_up: bool) -> int:
    """Halve a side several times. Strided convolutions round up; pooling rounds down."""
    for _ in range(times):
        side = (side + 1) // 2 if round_up else side // 2
    return side


#: Encoders by name; plugins add to them.
ENCODERS: Registry[EncoderClass] = Registry(
    "cmcgan.encoders", {"conv": Encoder, "resnet": ResidualEncoder, "cmav": ClassifierEncoder}
)
