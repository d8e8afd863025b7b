"""CM-GANs: a common representation of sounds and pictures, for retrieval across the modalities.

Source: Peng, Qi and Yuan, "CM-GANs: Cross-modal Generative Adversarial Networks for Common Representation Learning"
    (2017), and the authors' published code. `docs/retrieval.md` lists where this implementation departs from it.

Shapes: B items; D values of the features of one modality; R values of the common representation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cmcgan_core.config import Config, OptimizerConfig
from cmcgan_core.data.augment import augment
from cmcgan_core.data.loader import Batch, wrong_pairs
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.base import Method, frozen, make_optimizer, read_options, update, weighted_sum
from cmcgan_core.modality import Modality
from cmcgan_core.nn.common import CommonNetwork, FeatureDecoder, InterDiscriminator, IntraDiscriminator
from cmcgan_core.nn.layers import CODE
from cmcgan_core.nn.losses import matching_discriminator_loss, plain_discriminator_loss, real_loss
from cmcgan_core.utils.schema import Range


@dataclass(frozen=True)
class Options:
    """Sizes of the layers, and what an ablation changes.

    Attributes:
        hidden: values of the layer between features and representation (published code: 1,024). The inter-modality
            discriminators have half as many.
        common: values of the common representation, R (published code: 1,024).
        shared: whether both modalities share the layer that makes the representation (paper: yes).
        mismatch: what the inter-modality discriminators get as mismatched: the representation of an item with the
            "features" of an item of another class; or, as "published", representation and features of one other item.
            That pair has the form of a right pair, so it only adds noise to the labels.
        encoder_epochs: epochs at the start of the run that train the front ends as classifiers; they count as part of
            `train.epochs`. Afterwards the front ends are frozen.
        encoder_optimizer: optimizer of the front ends.
        augment: augment the pairs in all epochs (`data.augment`). Not in the paper.
    """

    hidden: Annotated[int, Range(minimum=1, maximum=65_536)] = 1024
    common: Annotated[int, Range(minimum=1, maximum=65_536)] = 1024
    shared: bool = True
    mismatch: Literal["features", "published"] = "features"
    encoder_epochs: Annotated[int, Range(minimum=1)] = 20
    encoder_optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    augment: bool = True


class CMGANs(Method[CommonNetwork]):
    """Front ends in the first epochs, then cross-modal autoencoders against two kinds of discriminators."""

    paper = "Peng, Qi and Yuan, CM-GANs (2017)"
    pretraining_optimizers = ("encoder",)
    #: The generators' losses. The discriminators have the weights of "inter" and "intra" too.
    losses: ClassVar[Mapping[str, Callable[..., Tensor]]] = {
        "inter": real_loss,
        "intra": real_loss,
        "class": F.cross_entropy,
        "reconstruction": F.mse_loss,
        "correspondence": F.mse_loss,
    }

    def __init__(self, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> None:
        super().__init__(config, classes, settings)
        self.options = read_options(Options, config)
        self.pretraining_epochs = self.options.encoder_epochs
        hidden, common, sizes = self.options.hidden, self.options.common, self.network.sizes
        self.decoders = nn.ModuleDict({m: FeatureDecoder(common, hidden, sizes[m]) for m in Modality})
        self.intra = nn.ModuleDict({m: IntraDiscriminator(sizes[m]) for m in Modality})
        self.inter = nn.ModuleDict({m: InterDiscriminator(common, sizes[m], max(1, hidden // 2)) for m in Modality})
        # Only the front ends' training needs these layers.
        self.code_heads = nn.ModuleDict({m: nn.Linear(CODE, len(classes)) for m in Modality})

    @classmethod
    def build_network(cls, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> CommonNetwork:
        """Build the front ends and the layers to the common representation."""
        options = read_options(Options, config)
        return CommonNetwork(config.network, options.hidden, options.common, len(classes), shared=options.shared)

    def optimizers(self) -> dict[str, Optimizer]:
        """Make one for the front ends, one for the layers on them, one for the discriminators."""
        front_ends = [*self.network.front_ends.parameters()]
        known = set(front_ends)
        layers = [p for p in (*self.network.parameters(), *self.decoders.parameters()) if p not in known]
        discriminators = [*self.intra.parameters(), *self.inter.parameters()]
        train = self.config.train
        return {
            "encoder": make_optimizer(self.options.encoder_optimizer, [*front_ends, *self.code_heads.parameters()]),
            "discriminator": make_optimizer(train.discriminator, discriminators),
            "generator": make_optimizer(train.generator, layers),
        }

    def pretrain_step(
        self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Update the front ends once, on the class that their codes show."""
        if self.options.augment:
            batch = augment(batch, rng)
        with self.autocast(batch):
            logits = [
                self.code_heads[m](self.network.front_ends[m](maps, "real").flatten(1))
                for m, maps in batch.maps().items()
            ]
        loss = torch.stack([F.cross_entropy(part.float(), batch.label) for part in logits]).sum()
        update(optimizers["encoder"], loss)
        return {"encoder": loss.detach()}

    def train_step(self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator) -> dict[str, Tensor]:
        """Update all discriminators once, then the generators K times (published code: K = 5)."""
        features = self._read_features(augment(batch, rng) if self.options.augment else batch)
        wrong = wrong_pairs(batch, self.config.train.wrong_pairs, rng)
        logged = {"discriminator": self.discriminator_loss(features, wrong)}
        update(optimizers["discriminator"], logged["discriminator"])
        for _ in range(self.config.train.generator_updates):
            losses = self.generator_losses(features, batch.label)
            update(optimizers["generator"], weighted_sum(losses, self.loss_weights))
        return {name: loss.detach() for name, loss in (logged | losses).items()}

    def discriminator_loss(self, features: Mapping[Modality, Tensor], wrong: Tensor) -> Tensor:
        """Compute the loss of all discriminators; a scalar.

        For the features x of each modality, its representation c, the other modality's representation c', and a wrong
        item w: L_intra = -log D(x) - log(1 - D(decoded c)), and L_inter = -log D'(c, x) - (log(1 - D'(c', x)) +
        log(1 - D'(c, x_w))) / 2.

        Args:
            features: standardised features (B, D) by modality.
            wrong: position (B,) in the batch of a wrong item for each item.
        """
        with torch.no_grad():
            common = {m: self.network.represent(m, x) for m, x in features.items()}
            decoded = {m: self.decoders[m](c) for m, c in common.items()}
        terms = []
        for m, x in features.items():
            intra = plain_discriminator_loss(self.intra[m](x), self.intra[m](decoded[m]))
            mismatched = common[m] if self.options.mismatch == "features" else common[m][wrong]
            inter = matching_discriminator_loss(
                right=self.inter[m](common[m], x),
                wrong=self.inter[m](mismatched, x[wrong]),
                fake=self.inter[m](common[m.other], x),
            )
            terms.append(weighted_sum({"intra": intra, "inter": inter}, self.loss_weights))
        return torch.stack(terms).sum()

    def generator_losses(self, features: Mapping[Modality, Tensor], label: Tensor) -> dict[str, Tensor]:
        """Compute the losses of the autoencoders by name, each summed over the modalities; scalars.

        - inter: the representation c of one modality passes for that of the other, -log D'_other(c, x_other).
        - intra: the decoded features pass for original ones, -log D(decoded c).
        - class: cross-entropy of the class, which one head reads from the representations of both modalities.
        - reconstruction: mean squared error of the decoded features. Not in the published code; the abstract asks to
          "preserve reconstruction information".
        - correspondence: mean squared distance of the representations of a pair; it is counted once. Not in CM-GANs:
          with "reconstruction" alone it makes the correspondence autoencoder (Feng et al. 2014).

        Args:
            features: standardised features (B, D) by modality.
            label: class indices (B,).
        """
        common = {m: self.network.represent(m, x) for m, x in features.items()}
        decoded = {m: self.decoders[m](c) for m, c in common.items()}
        with frozen(self.inter), frozen(self.intra):
            inter = [real_loss(self.inter[m.other](c, features[m.other])) for m, c in common.items()]
            intra = [real_loss(self.intra[m](x)) for m, x in decoded.items()]
        return {
            "inter": torch.stack(inter).sum(),
            "intra": torch.stack(intra).sum(),
            "class": torch.stack([F.cross_entropy(self.network.head(c), label) for c in common.values()]).sum(),
            "reconstruction": torch.stack([F.mse_loss(decoded[m], x) for m, x in features.items()]).sum(),
            "correspondence": F.mse_loss(common[Modality.AUDIO], common[Modality.VISUAL]),
        }

    def validation_loss(self, network: CommonNetwork, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute the class loss. Without a weight of "class" it says nothing, because the head is not trained."""
        logits = [network.head(network.embed(m, maps)) for m, maps in batch.maps().items()]
        return torch.stack([F.cross_entropy(part, batch.label) for part in logits]).sum()

    def _read_features(self, batch: Batch) -> dict[Modality, Tensor]:
        """Return the standardised features (B, D) of the frozen front ends, by modality."""
        self.network.front_ends.eval()
        with torch.no_grad(), self.autocast(batch):
            return {m: self.network.read(m, maps) for m, maps in batch.maps().items()}
