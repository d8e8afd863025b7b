"""The networks of CMCGAN: encoders, decoders, pair discriminator, classifiers' stacks.

Source: CMCGAN, "Network Architectures"; geometry where the paper is silent: `docs/reproduction.md`.

Shapes: B pairs; C channels (3 of a picture, 1 of a log-mel spectrogram); H, W size of the map (128 x 128 pixels,
128 bands x 32 frames); F code channels (64); Z latent size (100).
"""

import itertools
from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from cmcgan_core.cmav import ClassifierEncoder
from cmcgan_core.config import NetworkConfig
from cmcgan_core.norms import RouteNorm
from cmcgan_core.registry import Registry
from cmcgan_core.residual import ResidualEncoder

#: Kernels of the seven convolutional layers of image and sound encoder; the last is the code.
ENCODER_CHANNELS = (64, 128, 256, 512, 512, 256, 64)
#: Kernels of the first six deconvolutional layers of image and sound decoder; the seventh has 3 or 1.
DECODER_CHANNELS = (256, 512, 512, 256, 128, 64)
#: Kernels of the discriminator's convolutional layers a modality; the paper says "several".
DISCRIMINATOR_CHANNELS = (64, 128, 256, 512, 512)
#: Channels of a code, whatever the width of the layers before it.
CODE = 64
#: Longer side from which on a decoder of so many channels may resize. A resized map of one value knows places only by
#: its padding, which gives pictures a plaid; spectrograms, whose harmonics cross all frames, gained by it.
RESIZED_FROM = {1: 1, 3: 8}
#: Slope of the leaky ReLUs; the paper gives none, DCGAN's is taken.
SLOPE = 0.2


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


class Decoder(nn.Module):
    """Deconvolutions, five by five with stride two, batch normalisation and leaky ReLU; to [-1, 1].

    The last layer is a bare tanh: batch normalisation and leaky ReLU, which the paper's text puts after every layer,
    cannot represent the range of the data. With fewer than seven layers the first are left out, and the code is
    repeated over the map that they would have made.

    Args:
        channels: C of the output.
        size: (H, W) of the output; the layers' sizes are the encoder's in reverse.
        network: layers, width as a factor on the paper's channel counts, Z, and how to upsample.
        routes: see `RouteNorm`.
    """

    def __init__(self, channels: int, size: tuple[int, int], network: NetworkConfig, routes: Sequence[str]) -> None:
        super().__init__()
        inner = scaled(DECODER_CHANNELS[len(DECODER_CHANNELS) + 1 - network.layers :], network.width)
        counts = [CODE + network.latent, *inner, channels]
        sizes = layer_sizes(size, network.layers)[::-1]
        self.start = sizes[0]
        self.deconvolutions = nn.ModuleList(
            upsampling_layer(network.upsampling, before, RESIZED_FROM[channels])(i, o, before, after)
            for (i, o), (before, after) in zip(itertools.pairwise(counts), itertools.pairwise(sizes), strict=True)
        )
        self.norms = nn.ModuleList(RouteNorm(count, routes) for count in counts[1:-1])

    def forward(self, codes: Tensor, z: Tensor, route: str) -> Tensor:
        """Codes (B, 64, 1, 1) and latents (B, Z) to maps (B, C, H, W) in [-1, 1]."""
        maps = torch.cat([codes, z[:, :, None, None].to(codes.dtype)], dim=1).expand(-1, -1, *self.start)
        for deconvolution, norm in zip(self.deconvolutions, self.norms, strict=False):
            maps = F.leaky_relu(norm(deconvolution(maps), route), SLOPE)
        return full_precision(self.deconvolutions[-1](maps)).tanh()


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


def count_parameters(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


#: Encoders by name; plugins add to them.
ENCODERS: Registry[EncoderClass] = Registry(
    "cmcgan.encoders", {"conv": Encoder, "resnet": ResidualEncoder, "cmav": ClassifierEncoder}
)
