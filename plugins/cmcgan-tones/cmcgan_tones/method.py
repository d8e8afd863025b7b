"""A method: one linear layer per direction, trained on the squared error. A baseline without a discriminator."""

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cmcgan_core import (
    Batch,
    Config,
    Direction,
    FeatureSettings,
    Method,
    NetworkConfig,
    Translator,
    make_optimizer,
    update,
    weighted_sum,
)


class LinearTranslator(Translator):
    """A linear map from the pixels of one modality to those of the other, for each direction; it ignores the latents.

    Args:
        network: sizes of the maps.
    """

    directions = tuple(Direction)
    hops = 1

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__()
        self.latent = network.latent
        self.shapes = {d: (d.target.channels, *network.size(d.target)) for d in Direction}
        self.layers = nn.ModuleDict()
        for direction in Direction:
            source = direction.source.channels * torch.Size(network.size(direction.source)).numel()
            self.layers[direction] = nn.Linear(source, torch.Size(self.shapes[direction]).numel())

    def translate(self, direction: Direction, source: Tensor, z: Tensor) -> Tensor:
        """See `Translator`."""
        output: Tensor = self.layers[direction](source.flatten(1)).tanh()
        return output.unflatten(1, self.shapes[direction])


class LinearMethod(Method[LinearTranslator]):
    """Train both linear layers on the squared error."""

    @classmethod
    def build_network(cls, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> LinearTranslator:
        """Build both linear layers."""
        return LinearTranslator(config.network)

    def optimizers(self) -> dict[str, Optimizer]:
        """Make one optimizer, with the settings of `train.generator`."""
        return {"generator": make_optimizer(self.config.train.generator, self.network.parameters())}

    def train_step(self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator) -> dict[str, Tensor]:
        """Update both layers once."""
        losses = {"square": self.square_loss(self.network, batch, rng)}
        update(optimizers["generator"], weighted_sum(losses, self.loss_weights))
        return {name: loss.detach() for name, loss in losses.items()}

    def square_loss(self, network: LinearTranslator, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute the mean squared error of both translations; a scalar."""
        maps = batch.maps()
        z = network.draw(len(batch.label), rng)
        errors = [F.mse_loss(network.translate(d, maps[d.source], z), maps[d.target]) for d in Direction]
        return torch.stack(errors).sum()

    losses: ClassVar[Mapping[str, Callable[..., Tensor]]] = {"square": square_loss}

    def validation_loss(self, network: LinearTranslator, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute the same error on held-out pairs."""
        return self.square_loss(network, batch, rng)
