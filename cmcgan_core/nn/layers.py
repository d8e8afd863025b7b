"""The networks of CMCGAN: encoders, decoders, pair discriminator, classifiers' stacks.

Source: CMCGAN, "Network Architectures"; geometry where the paper is silent: `docs/reproduction.md`.

Shapes: B pairs; C channels (3 of a picture, 1 of a log-mel spectrogram); H, W size of the map (128 x 128 pixels,
128 bands x 32 frames); F code channels (64); Z latent size (100).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Kernels of the discriminator's convolutional layers a modality; the paper says "several".
DISCRIMINATOR_CHANNELS = (64, 128, 256, 512, 512)
#: Channels of a code, whatever the width of the layers before it.
CODE = 64
#: Slope of the leaky ReLUs; the paper gives none, DCGAN's is taken.
SLOPE = 0.2


class Convolution(nn.Conv2d):
    """Five by five, stride two; on a 1 x 1 map only the centre tap meets anything but padding, so only it is used.

    That is exact and 25 times cheaper; and bfloat16 is left there, whose weight gradient of a convolution of a 1 x 1
    map is wrong on the CPU (torch 2.13).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 5, stride=2, padding=2, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) to half the size, rounded up."""
        if maps.shape[-2:] != (1, 1):
            return super().forward(maps)
        with torch.autocast(maps.device.type, enabled=False):
            return F.linear(full_precision(maps).flatten(1), self.weight[:, :, 2, 2])[:, :, None, None]


class Deconvolution(nn.ConvTranspose2d):
    """Five by five, stride two, from one size to another that is twice as large or one less; 1 x 1 as above."""

    def __init__(self, channels_in: int, channels_out: int, before: tuple[int, int], after: tuple[int, int]) -> None:
        extra = (after[0] - 2 * before[0] + 1, after[1] - 2 * before[1] + 1)
        super().__init__(channels_in, channels_out, 5, stride=2, padding=2, output_padding=extra)

    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]
        """Maps (B, C, H, W) to twice the size."""
        if maps.shape[-2:] != (1, 1):
            return super().forward(maps)
        # Of a single position, the taps from the centre on fall inside the output.
        height, width = (1 + extra for extra in self.output_padding)
        with torch.autocast(maps.device.type, enabled=False):
            taps = self.weight[:, :, 2 : 2 + height, 2 : 2 + width]
            mapped = torch.einsum("bi,iohw->bohw", full_precision(maps).flatten(1), taps)
            return mapped + self.bias[:, None, None] if self.bias is not None else mapped


class ResizedConvolution(nn.Conv2d):
    """The nearest neighbours, then three by three: no checkerboard (Odena et al. 2016); the sizes as above."""

    def __init__(self, channels_in: int, channels_out: int, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)
        self.after = after

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) to twice the size."""
        return super().forward(F.interpolate(maps, size=self.after, mode="nearest"))


def upsampling_layer(
    upsampling: str, before: tuple[int, int], resized_from: int
) -> type[Deconvolution] | type[ResizedConvolution]:
    """The layer that doubles a map of this size; see `NetworkConfig.upsampling` and `RESIZED_FROM`."""
    return ResizedConvolution if upsampling == "resize" and max(before) >= resized_from else Deconvolution


def full_precision(maps: Tensor) -> Tensor:
    """Maps as float32 where mixed precision made them bfloat16; others as they are."""
    return maps.float() if maps.dtype == torch.bfloat16 else maps


def layer_sizes(size: tuple[int, int], layers: int) -> list[tuple[int, int]]:
    """Sizes of the maps from the input of an encoder to its code: (H, W), halved, rounding up, `layers` times."""
    sizes = [size]
    for _ in range(layers):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def scaled(counts: Sequence[int], width: float) -> list[int]:
    """Channel counts times `width`, at least 8."""
    return [max(8, round(count * width)) for count in counts]


def branch_channels(size: tuple[int, int], width: float) -> list[int]:
    """Channel counts of a discriminator branch: as many layers as halve the longer side to about four."""
    layers = max(1, min(len(DISCRIMINATOR_CHANNELS), (max(size) // 4).bit_length() - 1))
    return scaled(DISCRIMINATOR_CHANNELS[:layers], width)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


class RouteNorm(nn.Module):
    """Batch normalisation (B, C, H, W) whose running statistics are kept apart by the route that a map came by.

    Weights are shared by all generation paths, as the paper says, and in training a batch is normalised by itself, so
    training is that of an ordinary batch normalisation. Only evaluation differs: real and generated inputs have
    different statistics, and one running average for both moved judged accuracy by up to 30 points.

    Args:
        channels: C.
        routes: names of the routes that will be given.
    """

    def __init__(self, channels: int, routes: Sequence[str]) -> None:
        super().__init__()
        self.routes = tuple(routes)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(len(self.routes), channels))
        self.register_buffer("running_var", torch.ones(len(self.routes), channels))

    def forward(self, maps: Tensor, route: str) -> Tensor:
        """Normalise by the batch in training, by the running statistics of the route in evaluation."""
        i = self.routes.index(route)
        return F.batch_norm(maps, self.running_mean[i], self.running_var[i], self.weight, self.bias, self.training)
