"""CMAV's conditional GANs, one for each direction: S2I-C, S2I-N, S2I-A (sound to picture) and I2S (picture to sound).

Source: Chen, Srivastava, Duan and Xu, "Deep Cross-Modal Audio-Visual Generation" (2017). An encoder is trained first,
as a classifier or as an autoencoder, and left alone from then on; then a generator, which is given its code, plays
against a discriminator that is given it too. What the paper leaves open is in `docs/reproduction.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cmcgan_core.config import Config, OptimizerConfig
from cmcgan_core.data.loader import Batch, wrong_pairs
from cmcgan_core.errors import ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.base import Method, Translator, frozen, make_optimizer, update
from cmcgan_core.modality import CHANNELS
from cmcgan_core.nn.decoders import Generator
from cmcgan_core.nn.discriminators import MatchingDiscriminator
from cmcgan_core.nn.encoders import ENCODERS
from cmcgan_core.nn.layers import CODE, full_precision
from cmcgan_core.nn.losses import matching_discriminator_loss, plain_discriminator_loss, real_loss
from cmcgan_core.utils.schema import Range, build


@dataclass(frozen=True)
class Options:
    """Which of CMAV's models it is.

    Attributes:
        direction: "a2v" (S2I) or "v2a" (I2S).
        encoder_objective: what the encoder is trained as: a "classifier" of the classes (S2I-C, S2I-N, I2S) or an "autoencoder"
            of its input (S2I-A).
        mismatch: whether the discriminator is shown wrong pairs (all but S2I-N).
        encoder_epochs: epochs at the start of the run, counted in `train.epochs`, that train the encoder.
        encoder_optimizer: the encoder's, and that of what its training needs besides.
    """

    direction: Literal["a2v", "v2a"] = "a2v"
    encoder_objective: Literal["classifier", "autoencoder"] = "classifier"
    mismatch: bool = True
    encoder_epochs: Annotated[int, Range(minimum=1)] = 20
    encoder_optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)


class CMAVTranslator(Translator):
    """The encoder of one modality and the generator of the other.

    Args:
        config: of the run.
        sizes: (H, W) by modality.
        direction: see `Options.direction`.
    """

    hops = 1

    def __init__(self, config: Config, sizes: Mapping[str, tuple[int, int]], direction: str) -> None:
        super().__init__()
        source, target = direction[0], direction[-1]
        self.directions = (direction,)
        self.latent = config.network.latent
        encoder = ENCODERS.get(config.network.encoder)
        self.encoder = encoder(CHANNELS[source], sizes[source], config.network, ["real"])
        self.generator = Generator(CHANNELS[target], sizes[target], config.network, self.latent)

    def encode(self, source: Tensor) -> Tensor:
        """Codes (B, 64) of maps (B, C, H, W)."""
        code: Tensor = self.encoder(source, "real")
        return full_precision(code).flatten(1)

    def translate(self, direction: str, source: Tensor, z: Tensor) -> Tensor:
        """See `Translator`; there is one direction, and one hop."""
        assert direction in self.directions
        assert len(z) == 1
        made: Tensor = self.generator(self.encode(source), z[0].to(source.device, non_blocking=True))
        return made


class CMAV(Method):
    """An encoder in its first epochs, then a conditional GAN on its codes.

    Raises:
        ConfigError: settings that contradict one another, or a classifier of one class.
    """

    losses = ()

    def __init__(self, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> None:
        super().__init__(config, classes, settings)
        self.options = build(Options, config.options, f"[options] of {config.method}")
        _check(config, self.options, classes)
        self.pretraining_epochs = self.options.encoder_epochs
        sizes, source = self.sizes(), self.options.direction[0]
        target = self.options.direction[-1]
        self.network = CMAVTranslator(config, sizes, self.options.direction)
        self.discriminator = MatchingDiscriminator(CHANNELS[target], sizes[target], config.network.width)
        self.helper = (
            nn.Linear(CODE, len(classes))
            if self.options.encoder_objective == "classifier"
            else Generator(CHANNELS[source], sizes[source], config.network, latent=0)
        )

    @property
    def translator(self) -> CMAVTranslator:
        """The encoder and the generator that are trained."""
        assert isinstance(self.network, CMAVTranslator)
        return self.network

    def optimizers(self) -> dict[str, Optimizer]:
        """One for the encoder and what it is trained with, one for the generator, one for the discriminator."""
        train = self.config.train
        encoding = [*self.translator.encoder.parameters(), *self.helper.parameters()]
        return {
            "encoder": make_optimizer(self.options.encoder_optimizer, iter(encoding)),
            "discriminator": make_optimizer(train.discriminator, self.discriminator.parameters()),
            "generator": make_optimizer(train.generator, self.translator.generator.parameters()),
        }

    def train_step(self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator) -> dict[str, Tensor]:
        """One update of the encoder while it is trained; then one of the discriminator and K of the generator."""
        if self.pretraining:
            logged = {"encoder": self.encoder_loss(batch)}
            update(optimizers["encoder"], logged["encoder"])
        else:
            code = self._code(batch)
            fake = self._fake(code, batch, rng)
            logged = {"discriminator": self.discriminator_loss(code, fake.detach(), batch, rng)}
            update(optimizers["discriminator"], logged["discriminator"])
            for k in range(self.config.train.generator_updates):
                fake = self._fake(code, batch, rng) if k else fake
                logged["adversarial"] = self.adversarial_loss(code, fake, batch)
                update(optimizers["generator"], logged["adversarial"])
        return {name: loss.detach() for name, loss in logged.items()}

    def encoder_loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the class from the code, or the mean squared error of the source from it."""
        source, _ = self._sides(batch)
        self.translator.encoder.train()
        with self.autocast(batch):
            code = self.translator.encode(source)
            if self.options.encoder_objective == "classifier":
                return F.cross_entropy(full_precision(self.helper(code)), batch.label)
            return F.mse_loss(self.helper(code, code[:, :0]), source)

    def discriminator_loss(self, code: Tensor, fake: Tensor, batch: Batch, rng: torch.Generator) -> Tensor:
        """The negative of what CMAV's discriminator maximises."""
        _, target = self._sides(batch)
        with self.autocast(batch):
            real, made = self.discriminator.features(torch.cat([target, fake])).chunk(2)
            right, faked = self.discriminator(real, code), self.discriminator(made, code)
            if not self.options.mismatch:
                return plain_discriminator_loss(right, faked)
            wrong = wrong_pairs(batch, self.config.train.wrong_pairs, rng)
            return matching_discriminator_loss(right, self.discriminator(real[wrong], code), faked)

    def adversarial_loss(self, code: Tensor, fake: Tensor, batch: Batch) -> Tensor:
        """The negative of what CMAV's generator maximises, log S_f."""
        with self.autocast(batch), frozen(self.discriminator):
            return real_loss(self.discriminator(self.discriminator.features(fake), code))

    def validation_loss(self, network: nn.Module, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean L1 of the translation to the ground truth."""
        source, target = self._sides(batch)
        return F.l1_loss(self._translated(network, source, rng), target)

    def samples(self, network: nn.Module, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Ground truth, and the translation."""
        made = self._translated(network, self._sides(batch)[0], rng)
        return {"picture": batch.visual, "sound": batch.audio, self.options.direction: made}

    def _sides(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Source and target (B, C, H, W)."""
        sides = {"a": batch.audio, "v": batch.visual}
        return sides[self.options.direction[0]], sides[self.options.direction[-1]]

    def _code(self, batch: Batch) -> Tensor:
        """Codes (B, 64) of the encoder, which is left alone, without its dropout."""
        self.translator.encoder.eval()
        with torch.no_grad(), self.autocast(batch):
            return self.translator.encode(self._sides(batch)[0])

    def _fake(self, code: Tensor, batch: Batch, rng: torch.Generator) -> Tensor:
        z = self.translator.draw(len(code), rng)[0].to(code.device, non_blocking=True)
        with self.autocast(batch):
            made: Tensor = self.translator.generator(code, z)
        return made

    def _translated(self, network: nn.Module, source: Tensor, rng: torch.Generator) -> Tensor:
        assert isinstance(network, CMAVTranslator)
        return network.translate(self.options.direction, source, network.draw(len(source), rng))


def _check(config: Config, options: Options, classes: tuple[str, ...]) -> None:
    faults = []
    if options.encoder_objective == "classifier" and len(classes) < 2:
        faults.append(
            "an encoder that is a classifier needs two classes; for one take options.encoder_objective=autoencoder"
        )
    if faults:
        raise ConfigError("the settings contradict one another:\n" + "\n".join(f"  {fault}" for fault in faults))
