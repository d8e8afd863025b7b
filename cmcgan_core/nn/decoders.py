"""Networks that generate maps: the decoder of CMCGAN, the generator of CMAV, and the registry of decoders."""

import itertools
from collections.abc import Sequence
from typing import Protocol

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
from cmcgan_core.registry import Registry

#: Channels of the first six deconvolutional layers of the picture and sound decoders; the seventh has 3 or 1.
DECODER_CHANNELS = (256, 512, 512, 256, 128, 64)


#: Smallest longer side of a map that may be resized rather than deconvolved, by the number of output channels.
#: Upsampling a 1 x 1 map leaves position to be inferred from the padding, which produces a plaid artefact in pictures.
#: Spectrograms, whose harmonics cross all frames, improved, so they are resized from 1 x 1 on.
RESIZED_FROM = {1: 1, 3: 8}


class DecoderClass(Protocol):
    """What `DECODERS` holds: a class of modules that turn codes and latents into maps."""

    def __call__(
        self, channels: int, size: tuple[int, int], network: NetworkConfig, routes: Sequence[str]
    ) -> nn.Module:
        """Make a decoder for maps of `channels` and `size`.

        Its `forward` takes codes (B, 64, 1, 1), latents (B, Z) and the name of the route, and returns maps
        (B, C, H, W) in [-1, 1].
        """


class Decoder(nn.Module):
    """CMCGAN's decoder: 5 x 5 deconvolutions with stride 2, batch normalisation and leaky ReLU; output in [-1, 1].

    Source: CMCGAN, "Network Architectures". The last layer is a bare tanh here. The paper's text puts batch
        normalisation and leaky ReLU after every layer, but these cannot represent the range of the data. With fewer
        than seven layers the first ones are left out, and the code is repeated over the map that they would have
        generated.

    Args:
        channels: C of the output.
        size: (H, W) of the output; the sizes between layers are the encoder's in reverse.
        network: layers, width, latent size and upsampling.
        routes: see `RouteNorm`.
    """

    def __init__(self, channels: int, size: tuple[int, int], network: NetworkConfig, routes: Sequence[str]) -> None:
        super().__init__()
        inner = scaled(DECODER_CHANNELS[len(DECODER_CHANNELS) + 1 - network.layers :], network.width)
        counts = [CODE + network.latent, *inner, channels]
        sizes = layer_sizes(size, network.layers)[::-1]
        self.start = sizes[0]
        self.deconvolutions = nn.ModuleList(
            upsampling_layer(network.upsampling, channels, before, RESIZED_FROM[channels])(i, o, before, after)
            for (i, o), (before, after) in zip(itertools.pairwise(counts), itertools.pairwise(sizes), strict=True)
        )
        self.norms = nn.ModuleList(RouteNorm(count, routes) for count in counts[1:-1])

    def forward(self, codes: Tensor, z: Tensor, route: str) -> Tensor:
        """Decode codes (B, 64, 1, 1) and latents (B, Z) to maps (B, C, H, W) in [-1, 1]."""
        maps = torch.cat([codes, z[:, :, None, None].to(codes.dtype)], dim=1).expand(-1, -1, *self.start)
        for deconvolution, norm in zip(self.deconvolutions, self.norms, strict=False):
            maps = F.leaky_relu(norm(deconvolution(maps), route), SLOPE)
        return full_precision(self.deconvolutions[-1](maps)).tanh()


class Generator(nn.Module):
    """CMAV's generator: a fully connected layer, then deconvolutions; output in [-1, 1].

    Batch normalisation and ReLU stand between the layers.

    Source: CMAV, Figure 2. The number of kernels is not printed; it is DCGAN's.

    Args:
        channels: C of the output.
        size: (H, W) of the output. The first map is this size, halved until the longer side is about 4.
        network: width (a factor on 512-256-128-64 for 64 x 64) and upsampling.
        latent: Z.
    """

    def __init__(self, channels: int, size: tuple[int, int], network: NetworkConfig, latent: int) -> None:
        super().__init__()
        counts = [*reversed(branch_channels(size, network.width)), channels]
        sizes = layer_sizes(size, len(counts) - 1)[::-1]
        self.start = (counts[0], *sizes[0])
        self.first = nn.Linear(CODE + latent, counts[0] * sizes[0][0] * sizes[0][1])
        self.deconvolutions = nn.ModuleList(
            upsampling_layer(network.upsampling, channels, before, 1)(i, o, before, after)
            for (i, o), (before, after) in zip(itertools.pairwise(counts), itertools.pairwise(sizes), strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in counts[:-1])

    def forward(self, code: Tensor, z: Tensor) -> Tensor:
        """Generate maps (B, C, H, W) in [-1, 1] from codes (B, 64) and latents (B, Z)."""
        maps = self.first(torch.cat([code, z], dim=1)).unflatten(1, self.start)
        for norm, deconvolution in zip(self.norms, self.deconvolutions, strict=True):
            maps = deconvolution(F.relu(norm(maps)))
        return full_precision(maps).tanh()


#: Decoders by name; plugins add to them.
DECODERS: Registry[DecoderClass] = Registry("cmcgan.decoders", {"deconv": Decoder})
