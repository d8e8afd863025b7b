"""The encoders of CMAV: a sound classifier of three or four convolutions, and an image classifier of six.

Source: Chen, Srivastava, Duan and Xu, "Deep Cross-Modal Audio-Visual Generation" (2017), Figures 2, 4 and 5.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from cmcgan_core.config import NetworkConfig
from cmcgan_core.errors import ConfigError

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
            raise ConfigError(f"network.layers: CMAV's encoders have 3 or 4, not {network.layers}; other numbers are "
                              "for --set network.encoder=conv")  # fmt: skip
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
