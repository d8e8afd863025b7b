"""Layers and helpers that several networks share.

Source: CMCGAN, "Network Architectures". `docs/reproduction.md` lists what the paper leaves open.

Shapes, here and in all of `nn`: B items; C channels (3 of a picture, 1 of a spectrogram); H, W size of a map (128 x 128
pixels, 128 bins x 32 frames); 64 channels of a code; Z size of a latent (100).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Channels of the discriminators' convolutional layers, for each modality; the paper says "several" layers.
DISCRIMINATOR_CHANNELS = (64, 128, 256, 512, 512)
#: Channels of a code, at every width of the network.
CODE = 64
#: Slope of the leaky ReLUs. The paper gives none; this is DCGAN's.
SLOPE = 0.2


class Convolution(nn.Conv2d):
    """A 5 x 5 convolution with stride 2, and a fast exact form for 1 x 1 maps.

    On a 1 x 1 map, all taps except the centre read padding only, so a linear layer on the centre tap gives the same
    result at a 25th of the cost. Maps with a side of 1 or 2 are convolved in float32: in bfloat16 on CPUs with AVX-512
    or AMX, some of their outputs and weight gradients are wrong (torch 2.13; `tests/test_layers.py` has the cases).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 5, stride=2, padding=2, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve maps (B, C, H, W) to half their size, rounded up."""
        if min(maps.shape[-2:]) > 2:
            return super().forward(maps)
        with without_autocast(maps.device):
            maps = full_precision(maps)
            if maps.shape[-2:] != (1, 1):
                return super().forward(maps)
            return F.linear(maps.flatten(1), self.weight[:, :, 2, 2])[:, :, None, None]


class Deconvolution(nn.ConvTranspose2d):
    """A 5 x 5 transposed convolution with stride 2, to a size that is twice as large or one less.

    Maps with a side of 1 are deconvolved in float32, for the reason that `Convolution` gives.
    """

    def __init__(self, channels_in: int, channels_out: int, before: tuple[int, int], after: tuple[int, int]) -> None:
        extra = (after[0] - 2 * before[0] + 1, after[1] - 2 * before[1] + 1)
        super().__init__(channels_in, channels_out, 5, stride=2, padding=2, output_padding=extra)

    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]
        """Upsample maps (B, C, H, W) to twice their size, or one less."""
        if 1 not in maps.shape[-2:]:
            return super().forward(maps)
        with without_autocast(maps.device):
            maps = full_precision(maps)
            if maps.shape[-2:] != (1, 1):
                return super().forward(maps)
            # The taps of a single position that fall inside the output start at the centre tap.
            height, width = (1 + extra for extra in self.output_padding)
            taps = self.weight[:, :, 2 : 2 + height, 2 : 2 + width]
            mapped = torch.einsum("bi,iohw->bohw", maps.flatten(1), taps)
            return mapped + self.bias[:, None, None] if self.bias is not None else mapped


class ResizedConvolution(nn.Conv2d):
    """Nearest-neighbour resizing, then a 3 x 3 convolution, which avoids checkerboards (Odena et al. 2016).

    Sizes as in `Deconvolution`.
    """

    def __init__(self, channels_in: int, channels_out: int, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)
        self.after = after

    def forward(self, maps: Tensor) -> Tensor:
        """Upsample maps (B, C, H, W) to twice their size, or one less."""
        return super().forward(self.resize(maps))

    def resize(self, maps: Tensor) -> Tensor:
        """Resize maps to the size of the output."""
        return F.interpolate(maps, size=self.after, mode="nearest")


class TimeLinearConvolution(ResizedConvolution):
    """Resizing that is linear in time only, then a 3 x 3 convolution.

    It is for spectrograms: they are smooth in time, but harmonics, which are lines, are blurred by linear resizing in
    frequency.
    """

    def resize(self, maps: Tensor) -> Tensor:
        """Resize maps, with frequencies as rows and times as columns, to the size of the output."""
        rows = F.interpolate(maps, size=(self.after[0], maps.shape[-1]), mode="nearest")
        return F.interpolate(rows, size=self.after, mode="bilinear")


def upsampling_layer(
    upsampling: str, channels: int, before: tuple[int, int], resized_from: int
) -> type[Deconvolution] | type[ResizedConvolution]:
    """Choose the layer that doubles a map.

    Args:
        upsampling: see `NetworkConfig.upsampling`.
        channels: channels of what the decoder generates: 3 of a picture, 1 of a spectrogram.
        before: (H, W) of the input.
        resized_from: smallest longer side of an input that may be resized; smaller ones are deconvolved.
    """
    if upsampling == "deconvolution" or max(before) < resized_from:
        return Deconvolution
    return TimeLinearConvolution if upsampling == "linear" and channels == 1 else ResizedConvolution


def to_channels_last(network: nn.Module) -> None:
    """Store the weights of a network with channels last, which makes it a quarter faster on a CPU.

    Strided 1 x 1 convolutions read only every second (third, ...) pixel afterwards, with stride 1, which is the same
    function. With a stride and few channels, their backward pass on the CPU writes past the end of its memory (torch
    2.13), and the process crashes.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d) or layer.kernel_size != (1, 1) or layer.padding != (0, 0):
            continue
        if layer.stride != (1, 1):
            layer.register_forward_pre_hook(partial(_subsample, layer.stride))
            layer.stride = (1, 1)


def _subsample(stride: tuple[int, ...], layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Return the pixels that a layer with this stride reads; a hook of `to_channels_last`."""
    down, right = stride
    return (inputs[0][..., ::down, ::right],)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context manager that switches mixed precision off; torch has none for its meta device."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def full_precision(maps: Tensor) -> Tensor:
    """Return bfloat16 maps, which mixed precision makes, as float32; return others unchanged."""
    return maps.float() if maps.dtype == torch.bfloat16 else maps


def layer_sizes(size: tuple[int, int], layers: int) -> list[tuple[int, int]]:
    """Return the sizes (H, W) from the input of an encoder to its code: `layers` halvings, rounded up."""
    sizes = [size]
    for _ in range(layers):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def scaled(counts: Sequence[int], width: float) -> list[int]:
    """Multiply channel counts by `width`; every result is at least 8."""
    return [max(8, round(count * width)) for count in counts]


def branch_channels(size: tuple[int, int], width: float) -> list[int]:
    """Return the channel counts of a discriminator branch, whose layers halve the longer side to about 4."""
    layers = max(1, min(len(DISCRIMINATOR_CHANNELS), (max(size) // 4).bit_length() - 1))
    return scaled(DISCRIMINATOR_CHANNELS[:layers], width)


def count_parameters(module: nn.Module) -> int:
    """Count the trainable values of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


class RouteNorm(nn.Module):
    """Batch normalisation with separate running statistics for each input route.

    A route is "real", or the subnetwork that generated the input. All routes share the weights, as the paper says. In
    training a batch is normalised by its own statistics, as in ordinary batch normalisation. Only evaluation differs:
    real and generated inputs have different statistics, and a shared running average moved judged accuracy by up to 30
    points.

    Args:
        channels: C of the maps (B, C, H, W).
        routes: names of all routes.
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
        """Normalise by the batch in training, and by the running statistics of the route in evaluation."""
        i = self.routes.index(route)
        mean, variance = self.running_mean[i], self.running_var[i]
        if not torch.compiler.is_compiling():
            return F.batch_norm(maps, mean, variance, self.weight, self.bias, self.training)
        # A compiled backward pass keeps the statistics, and fails if another route has changed the buffer since.
        mean, variance = mean.clone(), variance.clone()
        normalised = F.batch_norm(maps, mean, variance, self.weight, self.bias, self.training)
        if self.training:
            self.running_mean[i].copy_(mean)
            self.running_var[i].copy_(variance)
        return normalised
