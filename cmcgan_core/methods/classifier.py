"""The paper's classifiers: of pictures (V), of sounds (A), and the dynamic multimodal one of both (V-A).

Source: CMCGAN, "Network Architectures" (3/1-64-128-256-512-512-256-64-fc) and "Dynamic Multimodal Classification
Network". The paper concatenates picture and sound "directly", which their shapes do not allow; here the two codes are
concatenated (late fusion), so that V, A and V-A differ only in what they are given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cmcgan_core.config import Config
from cmcgan_core.data.augment import augment
from cmcgan_core.data.loader import Batch
from cmcgan_core.errors import ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.base import Method, make_optimizer, update, weighted_sum
from cmcgan_core.nn.fusion import FusionNetwork
from cmcgan_core.utils.schema import build


@dataclass(frozen=True)
class Options:
    """What the classifier is given, and how it is trained.

    Attributes:
        modalities: a(udio), v(isual), or both.
        augment: train on varied colours, levels and positions (see `augment`), so that the classifier looks at the
            instrument rather than at the room. Not in the paper.
        class_weights: by class, how much its pairs count in the loss; none: all alike. The inverse of the classes'
            frequencies makes up for classes that have fewer pairs. Not in the paper.
    """

    modalities: tuple[Literal["a", "v"], ...] = ("a", "v")
    augment: bool = True
    class_weights: tuple[float, ...] = ()


class Classifier(Method):
    """One stack a modality, their codes concatenated, one fully connected layer."""

    losses = ("class",)
    class_weights: Tensor

    def __init__(self, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> None:
        super().__init__(config, classes, settings)
        self.options = build(Options, config.options, f"[options] of {config.method}")
        weights = self.options.class_weights or (1.0,) * len(classes)
        if len(weights) != len(classes) or min(weights) < 0:
            raise ConfigError(
                f"options.class_weights needs a number from 0 up for each of {len(classes)} classes; "
                f"it has {list(weights)}"
            )
        self.register_buffer("class_weights", torch.tensor(weights), persistent=False)
        self.network = FusionNetwork(config, self.sizes(), self.options.modalities, len(classes))

    def optimizers(self) -> dict[str, Optimizer]:
        """One, with the settings of `train.rng`."""
        return {"generator": make_optimizer(self.config.train.generator, self.network.parameters())}

    def train_step(self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator) -> dict[str, Tensor]:
        """One update on the class loss."""
        if self.options.augment:
            batch = augment(batch, rng)
        with self.autocast(batch):
            logits = self.network(audio=batch.audio, visual=batch.visual)
        losses = {"class": self.class_loss(logits.float(), batch.label)}
        update(optimizers["generator"], weighted_sum(losses, self.config.loss_weights))
        return {name: loss.detach() for name, loss in losses.items()}

    def validation_loss(self, network: nn.Module, batch: Batch, rng: torch.Generator) -> Tensor:
        """The class loss."""
        return self.class_loss(network(audio=batch.audio, visual=batch.visual), batch.label)

    def class_loss(self, logits: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy of logits (B, classes), each pair weighted by its class; a scalar."""
        return F.cross_entropy(logits, label, self.class_weights)
