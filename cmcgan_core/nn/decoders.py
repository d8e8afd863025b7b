"""."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmcgan_core.config import NetworkConfig
from cmcgan_core.nn.layers import (
    CODE,
    SLOPE,
    RouteNorm,
    branch_channels,
    full_precision,
    layer_sizes,
    scaled,
    upsampling_layer,
)

#: Kernels of the first six deconvolutional layers of image and sound decoder; the seventh has 3 or 1.
DECODER_CHANNELS = (256, 512, 512, 256, 128, 64)


#: Longer side from which on a decoder of so many channels may resize. A resized map of one value knows places only by
#: its padding, which gives pictures a plaid; spectrograms, whose harmonics cross all frames, gained by it.
RESIZED_FROM = {1: 1, 3: 8}


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


class Generator(nn.Module):
    """A fully connected layer, then deconvolutions, to [-1, 1]; batch normalisation and ReLU between them.

    Args:
        channels: C of the output.
        size: (H, W) of the output; halved, rounding up, until the longer side is about four.
        network: width as a factor on the channel counts (512-256-128-64 for 64 x 64), and how to upsample.
        latent: Z.
    """

    def __init__(self, channels: int, size: tuple[int, int], network: NetworkConfig, latent: int) -> None:
        super().__init__()
        counts = [*reversed(branch_channels(size, network.width)), channels]
        sizes = layer_sizes(size, len(counts) - 1)[::-1]
        self.start = (counts[0], *sizes[0])
        self.first = nn.Linear(CODE + latent, counts[0] * sizes[0][0] * sizes[0][1])
        self.deconvolutions = nn.ModuleList(
            upsampling_layer(network.upsampling, before, 1)(i, o, before, after)
            for (i, o), (before, after) in zip(itertools.pairwise(counts), itertools.pairwise(sizes), strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in counts[:-1])

    def forward(self, code: Tensor, z: Tensor) -> Tensor:
        """Codes (B, 64) and latents (B, Z) to maps (B, C, H, W) in [-1, 1]."""
        maps = self.first(torch.cat([code, z], dim=1)).unflatten(1, self.start)
        for norm, deconvolution in zip(self.norms, self.deconvolutions, strict=True):
            maps = deconvolution(F.relu(norm(maps)))
        return full_precision(maps).tanh()
