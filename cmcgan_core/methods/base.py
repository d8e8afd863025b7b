"""The base class of all methods, and helpers for a training step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from cmcgan_core.config import Config, OptimizerConfig
from cmcgan_core.data.loader import Batch
from cmcgan_core.errors import ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.utils import device as devices
from cmcgan_core.utils import distributed
from cmcgan_core.utils.schema import C, build

Network = TypeVar("Network", bound=nn.Module)


class Method(nn.Module, ABC, Generic[Network]):
    """A way to train a network: the networks, the loss terms and one training step.

    To add a method, write a subclass with a `build_network`, `optimizers`, `train_step` and `validation_loss`, and
    register it in `METHODS` or under the entry point `cmcgan.methods`.

    Args:
        config: configuration of the run.
        classes: names of the classes, by index.
        settings: feature settings of the pairs.

    Attributes:
        network: the network that a trained run uses. Its type says what it can do, see `nn.capabilities`.
        loss_weights: weight of every loss term; 0 for terms that the configuration does not name.
        pretraining_epochs: number of epochs at the start of a run that call `pretrain_step`; their learning
            rate has a separate schedule.

    Raises:
        ConfigError: the configuration names unknown loss terms, or gives all terms weight 0.
    """

    #: Publication that the method implements, for reports; "" for none.
    paper: ClassVar[str] = ""
    #: The table of loss terms: the function of each, by name. `Config.loss_weights` may weight these and no others.
    #: It holds functions: a subclass that overrides a loss function must also enter it in its own table.
    losses: ClassVar[Mapping[str, Callable[..., Tensor]]] = {}
    #: Names of the optimizers that `pretrain_step` uses. `train_step` uses the others.
    pretraining_optimizers: ClassVar[tuple[str, ...]] = ()

    network: Network
    pretraining_epochs: int = 0

    def __init__(self, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> None:
        super().__init__()
        if unknown := config.loss_weights.keys() - self.losses.keys():
            raise ConfigError(
                f"loss_weights: {config.method} has no loss {', '.join(sorted(unknown))}; "
                f"its losses are {', '.join(sorted(self.losses)) or 'fixed'}"
            )
        self.loss_weights = {name: config.loss_weights.get(name, 0.0) for name in self.losses}
        if self.losses and not any(self.loss_weights.values()):
            raise ConfigError(
                f"loss_weights: every loss of {config.method} has weight 0; its losses are {', '.join(self.losses)}; "
                f"set one above 0, as --set loss_weights.{next(iter(self.losses))}=1"
            )
        self.config = config
        self.classes = classes
        self.settings = settings
        self.network = self.build_network(config, classes, settings)

    @classmethod
    @abstractmethod
    def build_network(cls, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> Network:
        """Build the network that a trained run uses, without the parts that only training needs."""

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """Make fresh optimizers, by name."""

    @abstractmethod
    def train_step(self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator) -> dict[str, Tensor]:
        """Update everything once.

        Returns:
            The losses by name, as scalars that are still on the device.
        """

    def pretrain_step(
        self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Update the part that is trained first (see `pretraining_epochs`), and return losses as `train_step` does."""
        raise NotImplementedError(f"{type(self).__name__} has no pretraining")

    @abstractmethod
    def validation_loss(self, network: Network, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute the scalar that selects the best checkpoint on held-out recordings; lower is better.

        Args:
            network: the network to validate, which may be an average of the trained one.
            batch: held-out pairs.
            rng: draws the latents.
        """

    def samples(self, network: Network, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Return maps (B, C, H, W) in [-1, 1] for a sample grid, by the name of their row; none by default."""
        return {}

    def autocast(self, batch: Batch) -> AbstractContextManager[None]:
        """Return the context manager for the precision that the configuration sets."""
        return devices.autocast(batch.visual.device, self.config.train.precision)


def read_options(cls: type[C], config: Config) -> C:
    """Build a method's options, a dataclass, from the table `options` of the configuration.

    Raises:
        ConfigError: lists every fault: unknown and missing names, wrong types, values out of range.
    """
    return build(cls, config.options, f"[options] of {config.method}")


def make_optimizer(config: OptimizerConfig, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Make SGD with momentum, or Adam whose first beta is the momentum.

    On a GPU, few kernels update all parameters. On a CPU, that saves nothing.
    """
    parameters = list(parameters)
    fused = all(parameter.is_cuda for parameter in parameters)
    if config.name == "sgd":
        return SGD(parameters, config.learning_rate, config.momentum, fused=fused)
    return Adam(parameters, config.learning_rate, (config.momentum, 0.999), fused=fused)


def update(optimizer: Optimizer, loss: Tensor) -> None:
    """Take one optimizer step down the gradient of a loss, averaged over the processes that train together."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    distributed.average_gradients(p for group in optimizer.param_groups for p in group["params"])
    optimizer.step()


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Multiply each loss by its weight, and add them up."""
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


def require_consistent(faults: Iterable[str]) -> None:
    """Raise a `ConfigError` that lists the faults, if there are any."""
    if listed := "\n".join(f"  {fault}" for fault in faults):
        raise ConfigError(f"the settings contradict one another:\n{listed}")


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Let gradients pass through a module without computing gradients of its parameters."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
