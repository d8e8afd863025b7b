"""What the training loop, and whoever uses a trained run, need of a method."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from cmcgan_core.config import Config, OptimizerConfig
from cmcgan_core.data.loader import Batch
from cmcgan_core.errors import ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.utils import device as devices


class Translator(nn.Module, ABC):
    """A network that turns one modality into the other.

    Attributes:
        directions: what it can do, of "a2v" and "v2a".
        hops: number of subnetworks in a row that its own output takes, see `cmcgan.Options.hops`.
        possible_hops: all numbers of subnetworks in a row that it can take.
        recovers: modalities, of "a" and "v", that it has learnt to recover from what it makes of them in the other one.
        latent: size of a latent, Z.
    """

    directions: tuple[str, ...]
    hops: int
    possible_hops: tuple[int, ...] = (1,)
    recovers: tuple[str, ...] = ()
    latent: int

    def draw(self, count: int, rng: torch.Generator, hops: int | None = None) -> Tensor:
        """Latents of N(0, 1) for `count` items, (H, count, Z): one for each of H subnetworks in a row.

        Args:
            count: of items.
            rng: on the CPU, so that a seed means the same on every device.
            hops: H; None is the network's own number.
        """
        return torch.stack([torch.randn(count, self.latent, generator=rng) for _ in range(hops or self.hops)])

    @abstractmethod
    def translate(self, direction: str, source: Tensor, z: Tensor) -> Tensor:
        """One modality to the other, and nothing else computed.

        Args:
            direction: one of `directions`.
            source: maps (B, C, H, W) of the first modality in [-1, 1].
            z: latents (H, B, Z), see `draw`; H says how many subnetworks in a row are taken.
        """

    def recover(self, modality: str, source: Tensor, z: Tensor) -> Tensor:
        """To the other modality and back.

        Args:
            modality: one of `recovers`.
            source: maps (B, C, H, W) of it in [-1, 1].
            z: latents (2, B, Z), see `draw`.
        """
        raise NotImplementedError


class Method(nn.Module, ABC):
    """A way to train a network; knows its networks, its losses and one step.

    Attributes:
        config: of the run.
        classes: names of the classes, by index.
        settings: feature settings of the pairs.
        network: the part that a trained run is used with; its weights are averaged if the configuration says so.
        pretraining_epochs: epochs at the start of a run that train a part by itself, with a schedule of its own.
        pretraining: whether the run is in those epochs; the loop says so.
    """

    #: Names of the losses; `Config.loss_weights` must have exactly these.
    losses: ClassVar[tuple[str, ...]]
    network: nn.Module
    pretraining_epochs: int = 0
    pretraining: bool = False

    def __init__(self, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> None:
        super().__init__()
        if set(config.loss_weights) != set(self.losses):
            raise ConfigError(
                f"the losses of {config.method} are {sorted(self.losses)}, but loss_weights has "
                f"{sorted(config.loss_weights)}"
            )
        self.config = config
        self.classes = classes
        self.settings = settings

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """Fresh optimizers by name."""

    @abstractmethod
    def train_step(self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator) -> dict[str, Tensor]:
        """One update of everything; the losses by name, as scalars that are still on the device."""

    @abstractmethod
    def validation_loss(self, network: nn.Module, batch: Batch, rng: torch.Generator) -> Tensor:
        """The figure by which the best checkpoint is chosen on held-out recordings; a scalar, lower is better."""

    def samples(self, network: nn.Module, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Outputs (B, C, H, W) in [-1, 1] worth looking at, by the name of their row; none by default."""
        return {}

    def sizes(self) -> dict[str, tuple[int, int]]:
        """(H, W) of each modality's maps."""
        network = self.config.network
        return {"a": network.spectrogram_size, "v": (network.picture_size, network.picture_size)}

    def autocast(self, batch: Batch) -> AbstractContextManager[None]:
        """Mixed precision as the configuration says."""
        return devices.autocast(batch.visual.device, self.config.train.precision)


def make_optimizer(config: OptimizerConfig, parameters: Iterator[nn.Parameter]) -> Optimizer:
    """SGD with momentum, or Adam whose first beta is the momentum."""
    if config.name == "sgd":
        return SGD(parameters, config.learning_rate, config.momentum)
    return Adam(parameters, config.learning_rate, (config.momentum, 0.999))


def update(optimizer: Optimizer, loss: Tensor) -> None:
    """One step down the gradient of the loss."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The losses, each times its weight, added up."""
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Let gradients pass through a module without computing any for its parameters."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
