"""CMAV's conditional GANs, one for each direction: S2I-C, S2I-N, S2I-A (sound to picture) and I2S (picture to sound).

Source: Chen, Srivastava, Duan and Xu, "Deep Cross-Modal Audio-Visual Generation" (2017). First an encoder is trained,
    as a classifier or as an autoencoder, and then frozen. Then a generator and a discriminator are trained. Both get
    the encoder's code. `docs/reproduction.md` lists what the paper leaves open.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cmcgan_core.config import Config, NetworkConfig, OptimizerConfig
from cmcgan_core.data.loader import Batch, wrong_pairs
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.base import (
    Method,
    frozen,
    make_optimizer,
    read_options,
    require_consistent,
    update,
    weighted_sum,
)
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.capabilities import Embedder, Translator
from cmcgan_core.nn.decoders import Generator
from cmcgan_core.nn.discriminators import MatchingDiscriminator
from cmcgan_core.nn.encoders import ENCODERS
from cmcgan_core.nn.fusion import FusionNetwork
from cmcgan_core.nn.layers import CODE, full_precision
from cmcgan_core.nn.losses import matching_discriminator_loss, plain_discriminator_loss, real_loss
from cmcgan_core.utils.schema import Range
from cmcgan_core.utils.tensors import send


@dataclass(frozen=True)
class Options:
    """Which of CMAV's models to train.

    Attributes:
        direction: "a2v" (S2I) or "v2a" (I2S).
        encoder_objective: how the encoder is trained: as a "classifier" of the classes (S2I-C, S2I-N, I2S), or as an
            "autoencoder" of its input (S2I-A).
        mismatch: give the discriminator wrong pairs too (all models but S2I-N).
        encoder_epochs: epochs at the start of the run that train the encoder; they count as part of `train.epochs`.
        encoder_optimizer: optimizer of the encoder, and of the layers that only its training needs.
    """

    direction: Direction = Direction.A2V
    encoder_objective: Literal["classifier", "autoencoder"] = "classifier"
    mismatch: bool = True
    encoder_epochs: Annotated[int, Range(minimum=1)] = 20
    encoder_optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)


class CMAVTranslator(Translator, Embedder):
    """The encoder of one modality and the generator of the other.

    Args:
        network: architecture and sizes.
        direction: the direction that it translates in.
    """

    hops = 1

    def __init__(self, network: NetworkConfig, direction: Direction) -> None:
        super().__init__()
        source, target = direction.source, direction.target
        self.directions = (direction,)
        self.embeds = (source,)
        self.latent = network.latent
        self.encoder = ENCODERS.get(network.encoder)(source.channels, network.size(source), network, ["real"])
        self.generator = Generator(target.channels, network.size(target), network, self.latent)

    def embed(self, modality: Modality, maps: Tensor) -> Tensor:
        """See `Embedder`: the codes (B, 64)."""
        code: Tensor = self.encoder(maps, "real")
        return full_precision(code).flatten(1)

    def translate(self, direction: Direction, source: Tensor, z: Tensor) -> Tensor:
        """See `Translator`; there is one direction, and one hop."""
        assert direction in self.directions
        assert len(z) == 1
        code = self.embed(direction.source, source)
        output: Tensor = self.generator(code, send(z[0], source.device))
        return output


class CMAV(Method[CMAVTranslator]):
    """An encoder in the first epochs, then a conditional GAN on its codes.

    Raises:
        ConfigError: the encoder is to be trained as a classifier of a single class.
    """

    paper = "Chen, Srivastava, Duan and Xu, Deep Cross-Modal Audio-Visual Generation (2017)"
    pretraining_optimizers = ("encoder",)

    def __init__(self, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> None:
        super().__init__(config, classes, settings)
        self.options = read_options(Options, config)
        require_consistent(_contradictions(self.options, classes))
        self.pretraining_epochs = self.options.encoder_epochs
        self.direction = self.options.direction
        source, target, network = self.direction.source, self.direction.target, config.network
        self.discriminator = MatchingDiscriminator(target.channels, network.size(target), network.width)
        # What only the encoder's training needs: a class head, or the decoder of an autoencoder.
        self.helper = (
            nn.Linear(CODE, len(classes))
            if self.options.encoder_objective == "classifier"
            else Generator(source.channels, network.size(source), network, latent=0)
        )
        #: Classifies the target; it is trained with the encoder, and frozen with it.
        self.target_classifier = (
            FusionNetwork(network, [target], len(classes)) if self.loss_weights["class_of_generated"] else None
        )

    @classmethod
    def build_network(cls, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> CMAVTranslator:
        """Build the encoder and the generator."""
        return CMAVTranslator(config.network, read_options(Options, config).direction)

    def optimizers(self) -> dict[str, Optimizer]:
        """Make one for the encoder and its helper, one for the generator, one for the discriminator."""
        train = self.config.train
        encoding = [*self.network.encoder.parameters(), *self.helper.parameters()]
        if self.target_classifier:
            encoding += self.target_classifier.parameters()
        return {
            "encoder": make_optimizer(self.options.encoder_optimizer, encoding),
            "discriminator": make_optimizer(train.discriminator, self.discriminator.parameters()),
            "generator": make_optimizer(train.generator, self.network.generator.parameters()),
        }

    def pretrain_step(
        self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Update the encoder once, and the classifier of the target, if there is one."""
        losses = {"encoder": self.encoder_loss(batch)}
        if self.target_classifier:
            self.target_classifier.train()
            losses["target_classifier"] = self._target_entropy(batch.maps()[self.direction.target], batch)
        update(optimizers["encoder"], torch.stack(list(losses.values())).sum())
        return {name: loss.detach() for name, loss in losses.items()}

    def train_step(self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the discriminator once, then the generator K times."""
        code = self._frozen_code(batch)
        fake = self._generate(code, batch, rng)
        logged: dict[str, Tensor] = {}
        if self.loss_weights["adversarial"]:
            logged["discriminator"] = self.discriminator_loss(code, fake.detach(), batch, rng)
            update(optimizers["discriminator"], logged["discriminator"])
        for k in range(self.config.train.generator_updates):
            fake = self._generate(code, batch, rng) if k else fake
            losses = {
                name: term(self, code, fake, batch) for name, term in self.losses.items() if self.loss_weights[name]
            }
            update(optimizers["generator"], weighted_sum(losses, self.loss_weights))
        return {name: loss.detach() for name, loss in (logged | losses).items()}

    def encoder_loss(self, batch: Batch) -> Tensor:
        """Compute the cross-entropy of the class, or the mean squared error of the decoded source; a scalar."""
        source = batch.maps()[self.direction.source]
        self.network.encoder.train()
        with self.autocast(batch):
            code = self.network.embed(self.direction.source, source)
            if self.options.encoder_objective == "classifier":
                return F.cross_entropy(full_precision(self.helper(code)), batch.label)
            return F.mse_loss(self.helper(code, code[:, :0]), source)

    def discriminator_loss(self, code: Tensor, fake: Tensor, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute the discriminator's loss on real and fake targets (B, C, H, W), given codes (B, 64); a scalar."""
        target = batch.maps()[self.direction.target]
        with self.autocast(batch):
            real, generated = self.discriminator.features(torch.cat([target, fake])).chunk(2)
            right_logits, fake_logits = self.discriminator(real, code), self.discriminator(generated, code)
            if not self.options.mismatch:
                return plain_discriminator_loss(right_logits, fake_logits)
            wrong = wrong_pairs(batch, self.config.train.wrong_pairs, rng)
            return matching_discriminator_loss(right_logits, self.discriminator(real[wrong], code), fake_logits)

    def adversarial_loss(self, code: Tensor, fake: Tensor, batch: Batch) -> Tensor:
        """Compute the generator's loss, -log S_f; a scalar."""
        with self.autocast(batch), frozen(self.discriminator):
            return real_loss(self.discriminator(self.discriminator.features(fake), code))

    def squared_error(self, code: Tensor, fake: Tensor, batch: Batch) -> Tensor:
        """Compute the mean squared error of the generated targets to the real ones; a scalar.

        Source: a commentary on the paper, according to which one of its models has this loss and no discriminator.
        """
        return F.mse_loss(fake, batch.maps()[self.direction.target])

    def generated_class_loss(self, code: Tensor, fake: Tensor, batch: Batch) -> Tensor:
        """Compute the cross-entropy of the class that a frozen classifier reads from the fakes; a scalar.

        Not in the paper. It gives the model the labels that the recommended recipe of CMCGAN has.
        """
        assert self.target_classifier is not None
        self.target_classifier.eval()
        with frozen(self.target_classifier):
            return self._target_entropy(fake, batch)

    #: The table of the generator's loss terms; see `Method.losses`.
    losses: ClassVar[Mapping[str, Callable[..., Tensor]]] = {
        "adversarial": adversarial_loss,
        "squared_error": squared_error,
        "class_of_generated": generated_class_loss,
    }

    def validation_loss(self, network: CMAVTranslator, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute the mean L1 of the translation to the ground truth."""
        return F.l1_loss(self._translate(network, batch, rng), batch.maps()[self.direction.target])

    def samples(self, network: CMAVTranslator, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Return the ground truth, and the translation."""
        translated = self._translate(network, batch, rng)
        return {"picture": batch.visual, "sound": batch.audio, str(self.direction): translated}

    def _target_entropy(self, target: Tensor, batch: Batch) -> Tensor:
        """Compute the cross-entropy of the class that the target's classifier reads from maps (B, C, H, W)."""
        assert self.target_classifier is not None
        with self.autocast(batch):
            logits = self.target_classifier({self.direction.target: target})
        return F.cross_entropy(full_precision(logits), batch.label)

    def _frozen_code(self, batch: Batch) -> Tensor:
        """Compute the codes (B, 64) of the frozen encoder, without its dropout."""
        self.network.encoder.eval()
        with torch.no_grad(), self.autocast(batch):
            return self.network.embed(self.direction.source, batch.maps()[self.direction.source])

    def _generate(self, code: Tensor, batch: Batch, rng: torch.Generator) -> Tensor:
        """Generate targets (B, C, H, W) from codes (B, 64) and fresh latents."""
        z = send(self.network.draw(len(code), rng)[0], code.device)
        with self.autocast(batch):
            fake: Tensor = self.network.generator(code, z)
        return fake

    def _translate(self, network: CMAVTranslator, batch: Batch, rng: torch.Generator) -> Tensor:
        source = batch.maps()[self.direction.source]
        return network.translate(self.direction, source, network.draw(len(source), rng))


def _contradictions(options: Options, classes: tuple[str, ...]) -> list[str]:
    if options.encoder_objective == "classifier" and len(classes) < 2:
        return ["a classifier needs two classes; for one class take options.encoder_objective=autoencoder"]
    return []
