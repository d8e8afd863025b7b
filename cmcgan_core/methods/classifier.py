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

from cmcgan_core.config import Config, build
from cmcgan_core.data.dataset import Batch
from cmcgan_core.data.features import FeatureSettings
from cmcgan_core.errors import ConfigError
from cmcgan_core.methods.base import CHANNELS, Method, make_optimizer, update, weighted_sum
from cmcgan_core.networks import CODE, ENCODERS, full_precision


@dataclass(frozen=True)
class Options:
    """What the classifier is given, and how it is trained.

    Attributes:
        modalities: a(udio), v(isual), or both.
        vary: train on varied colours, levels and positions (see `varied`), so that the classifier looks at the
            instrument rather than at the room. Not in the paper.
        class_weights: by class, how much its pairs count in the loss; none: all alike. The inverse of the classes'
            frequencies makes up for classes that have fewer pairs. Not in the paper.
    """

    modalities: tuple[Literal["a", "v"], ...] = ("a", "v")
    vary: bool = True
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
            raise ConfigError(f"options.class_weights needs a number from 0 up for each of {len(classes)} classes; "
                              f"it has {list(weights)}")  # fmt: skip
        self.register_buffer("class_weights", torch.tensor(weights), persistent=False)
        self.inference = FusionNetwork(config, self.sizes(), self.options.modalities, len(classes))

    def optimizers(self) -> dict[str, Optimizer]:
        """One, with the settings of `train.generator`."""
        return {"generator": make_optimizer(self.config.train.generator, self.inference.parameters())}

    def train_step(
        self, batch: Batch, optimizers: Mapping[str, Optimizer], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update on the class loss."""
        if self.options.vary:
            batch = varied(batch, generator)
        with self.autocast(batch):
            logits = self.inference(audio=batch.audio, visual=batch.visual)
        losses = {"class": self.class_loss(logits.float(), batch.label)}
        update(optimizers["generator"], weighted_sum(losses, self.config.loss_weights))
        return {name: loss.detach() for name, loss in losses.items()}

    def validation_loss(self, inference: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """The class loss."""
        return self.class_loss(inference(audio=batch.audio, visual=batch.visual), batch.label)

    def class_loss(self, logits: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy of logits (B, classes), each pair weighted by its class; a scalar."""
        return F.cross_entropy(logits, label, self.class_weights)


def varied(batch: Batch, generator: torch.Generator) -> Batch:
    """The batch in other light, through other microphones, and moved by up to a twelfth of the picture.

    Each picture gets its own contrast and brightness by colour, each spectrogram its own level and its own tilt over
    the bands; all are moved alike.
    """
    count, side, bands = len(batch.label), batch.visual.shape[-1], batch.audio.shape[-2]

    def draw(low: float, high: float, channels: int) -> Tensor:
        drawn = torch.rand(count, channels, 1, 1, generator=generator) * (high - low) + low
        return drawn.to(batch.visual.device)

    down, right = torch.randint(-(side // 12), side // 12 + 1, (2,), generator=generator).tolist()
    visual = (batch.visual * draw(0.5, 1.3, 3) + draw(-0.4, 0.4, 3)).clamp(-1, 1).roll((down, right), (2, 3))
    slope = torch.linspace(-1, 1, bands, device=batch.audio.device)[:, None]
    audio = (batch.audio + draw(-0.15, 0.15, 1) + draw(-0.15, 0.15, 1) * slope).clamp(-1, 1)
    return batch._replace(audio=audio, visual=visual)


class FusionNetwork(nn.Module):
    """Encoders of the given modalities and a fully connected layer on their codes.

    Args:
        config: of the run.
        sizes: (H, W) by modality.
        modalities: those that it is given; the others are ignored.
        classes: number of classes.
    """

    def __init__(
        self, config: Config, sizes: Mapping[str, tuple[int, int]], modalities: tuple[str, ...], classes: int
    ) -> None:
        super().__init__()
        encoder = ENCODERS.get(config.network.encoder)
        self.encoders = nn.ModuleDict({m: encoder(CHANNELS[m], sizes[m], config.network, ["real"]) for m in modalities})
        self.head = nn.Linear(CODE * len(modalities), classes)

    def features(self, **maps: Tensor) -> Tensor:
        """Codes of `audio` and `visual`, those that the network has an encoder for, as (B, 64 n)."""
        given = {"a": maps.get("audio"), "v": maps.get("visual")}
        return torch.cat([e(given[m], "real").flatten(1) for m, e in self.encoders.items()], dim=1)

    def forward(self, **maps: Tensor) -> Tensor:
        """Logits (B, classes) from `audio` (B, 1, M, T) and `visual` (B, 3, S, S)."""
        logits: Tensor = self.head(full_precision(self.features(**maps)))
        return logits
