"""The paper's classifiers: of pictures (V), of sounds (A), and the dynamic multimodal one of both (V-A).

Source: CMCGAN, "Network Architectures" (3/1-64-128-256-512-512-256-64-fc) and "Dynamic Multimodal Classification
Network". The paper concatenates picture and sound "directly", although their sizes differ. By default their codes are
concatenated (late fusion), so V, A and V-A differ only in their inputs; `Options.fusion` chooses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from cmcgan_core.config import Config
from cmcgan_core.data.augment import augment
from cmcgan_core.data.loader import Batch
from cmcgan_core.errors import ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.base import Method, make_optimizer, read_options, update, weighted_sum
from cmcgan_core.modality import Modality
from cmcgan_core.nn.fusion import ConcatenationNetwork, FusionNetwork


@dataclass(frozen=True)
class Options:
    """What the classifier reads, and how it is trained.

    Attributes:
        modalities: "audio", "visual", or both.
        alone: whether to train a layer on the code of each modality alone too, so that one network classifies sounds,
            pictures and pairs. Not in the paper, which trains three networks.
        fusion: what is concatenated: the "codes" of the modalities, or the "inputs", with the sound resized to the size
            of the picture.
        augment: train on augmented pairs (`data.augment`), so that the classifier reads the instrument rather than the
            room. Not in the paper.
        class_weights: weight of each class in the loss, in the order of the classes; empty for equal weights. Weights
            that are inverse to the class frequencies compensate for rare classes. Not in the paper.
    """

    modalities: tuple[Modality, ...] = (Modality.AUDIO, Modality.VISUAL)
    alone: bool = False
    fusion: Literal["codes", "inputs"] = "codes"
    augment: bool = True
    class_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raise a `ConfigError` if the modalities are none, if one is named twice, or if they cannot be fused."""
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ConfigError(f"modalities: should be audio, visual, or both, not {list(map(str, self.modalities))}")
        if self.fusion == "inputs" and (self.alone or len(self.modalities) == 1):
            raise ConfigError("fusion: inputs are concatenated for pairs only; remove alone, and name both modalities")


class MultimodalClassifier(Method[FusionNetwork | ConcatenationNetwork]):
    """One encoder per modality, their codes concatenated, one fully connected layer; or one encoder of both."""

    paper = "Hao, Zhang and Guan, CMCGAN (AAAI 2018)"
    class_weights: Tensor

    def __init__(self, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> None:
        super().__init__(config, classes, settings)
        self.options = read_options(Options, config)
        weights = self.options.class_weights or (1.0,) * len(classes)
        if len(weights) != len(classes) or min(weights) <= 0:
            raise ConfigError(
                f"options.class_weights needs a number above 0 for each of {len(classes)} classes; it is "
                f"{list(weights)}"
            )
        self.register_buffer("class_weights", torch.tensor(weights), persistent=False)

    @classmethod
    def build_network(
        cls, config: Config, classes: tuple[str, ...], settings: FeatureSettings
    ) -> FusionNetwork | ConcatenationNetwork:
        """Build the encoders and the layer on their codes."""
        options = read_options(Options, config)
        if options.fusion == "inputs":
            return ConcatenationNetwork(config.network, len(classes))
        return FusionNetwork(config.network, options.modalities, len(classes), alone=options.alone)

    def optimizers(self) -> dict[str, Optimizer]:
        """Make one optimizer, with the settings of `train.generator`."""
        return {"generator": make_optimizer(self.config.train.generator, self.network.parameters())}

    def train_step(self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the network on the class loss."""
        if self.options.augment:
            batch = augment(batch, rng)
        with self.autocast(batch):
            by_layer = self.network.logits_by_layer(batch.maps())
        losses = {"class": self._sum_over_layers(by_layer, batch.label)}
        update(optimizers["generator"], weighted_sum(losses, self.loss_weights))
        return {name: loss.detach() for name, loss in losses.items()}

    def validation_loss(
        self, network: FusionNetwork | ConcatenationNetwork, batch: Batch, rng: torch.Generator
    ) -> Tensor:
        """Compute the class loss."""
        return self._sum_over_layers(network.logits_by_layer(batch.maps()), batch.label)

    def class_loss(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compute the cross-entropy of logits (B, classes); each pair has the weight of its class. A scalar."""
        return F.cross_entropy(logits, label, self.class_weights)

    def _sum_over_layers(self, by_layer: Sequence[Tensor], label: Tensor) -> Tensor:
        """Sum the class losses of the logits of all layers on the codes."""
        return torch.stack([self.class_loss(logits.float(), label) for logits in by_layer]).sum()

    losses: ClassVar[Mapping[str, Callable[..., Tensor]]] = {"class": class_loss}
