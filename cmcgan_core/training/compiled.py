"""Compile the networks of a method with `torch.compile`."""

from typing import Any

import torch
from torch import nn

from cmcgan_core.nn.decoders import Decoder, Generator
from cmcgan_core.nn.discriminators import Branch
from cmcgan_core.nn.encoders import Encoder, ResidualEncoder

#: The networks that are compiled: those of layers on maps, which take nearly all of a step. Plugins' networks and all
#: others run as they are.
COMPILED = (Encoder, ResidualEncoder, Decoder, Generator, Branch)
#: Largest number of versions of one network. Each route, batch size and set of frozen weights needs a version; above
#: torch's default of 8, it would stop compiling.
VERSIONS = 64


def compile_networks(method: nn.Module, **options: Any) -> None:
    """Compile the networks of a method in place. Each version is compiled when it runs first.

    Args:
        method: a method with its networks, on their device.
        **options: further arguments of `torch.compile`.
    """
    torch._dynamo.config.recompile_limit = VERSIONS
    for network in method.modules():
        if isinstance(network, COMPILED):
            network.compile(dynamic=False, **options)
