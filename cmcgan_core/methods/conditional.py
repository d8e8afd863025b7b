"""CMAV's conditional GANs, one for each direction: S2I-C, S2I-N, S2I-A (sound to picture) and I2S (picture to sound).

Source: Chen, Srivastava, Duan and Xu, "Deep Cross-Modal Audio-Visual Generation" (2017). An encoder is trained first,
as a classifier or as an autoencoder, and left alone from then on; then a generator, which is given its code, plays
against a discriminator that is given it too. What the paper leaves open is in `docs/reproduction.md`.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cmcgan_core.config import Config, NetworkConfig, OptimizerConfig, Range, build
from cmcgan_core.data.dataset import Batch, wrong_pairs
from cmcgan_core.data.features import FeatureSettings
from cmcgan_core.errors import ConfigError
from cmcgan_core.losses import matching_discriminator_loss, plain_discriminator_loss, says_real
from cmcgan_core.methods.base import CHANNELS, Method, Translator, frozen, make_optimizer, update
from cmcgan_core.networks import (
    CODE,
    ENCODERS,
    SLOPE,
    branch_channels,
    discriminator_branch,
    full_precision,
    layer_sizes,
    scaled,
    upsampling_layer,
)


@dataclass(frozen=True)
class Options:
    """Which of CMAV's models it is.

    Attributes:
        direction: "a2v" (S2I) or "v2a" (I2S).
        encoder: what the encoder is trained as: a "classifier" of the classes (S2I-C, S2I-N, I2S) or an "autoencoder"
            of its input (S2I-A).
        mismatch: whether the discriminator is shown wrong pairs (all but S2I-N).
        encoder_epochs: epochs at the start of the run, counted in `train.epochs`, that train the encoder.
        encoder_optimizer: the encoder's, and that of what its training needs besides.
    """

    direction: Literal["a2v", "v2a"] = "a2v"
    encoder: Literal["classifier", "autoencoder"] = "classifier"
    mismatch: bool = True
    encoder_epochs: Annotated[int, Range(minimum=1)] = 20
    encoder_optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)


class Generator(nn.Module):
    """A fully connected layer, then deconvolutions, to [-1, 1]; batch normalisation and ReLU between them.

    Args:
        channels: C of the output.
        size: (H, W) of the output; halved, rounding up, until the longer side is about four.
        network: width as a factor on the channel counts (512-256-128-64 for 64 x 64), and how to upsample.
        latent: Z.
    """

    def __init__(self, channels: int, size: tuple[int, int], network: NetworkConfig, latent: int) -> None:
        super().__init__()
        counts = [*reversed(branch_channels(size, network.width)), channels]
        sizes = layer_sizes(size, len(counts) - 1)[::-1]
        self.start = (counts[0], *sizes[0])
        self.first = nn.Linear(CODE + latent, counts[0] * sizes[0][0] * sizes[0][1])
        self.deconvolutions = nn.ModuleList(
            upsampling_layer(network.upsampling, before, 1)(i, o, before, after)
            for (i, o), (before, after) in zip(itertools.pairwise(counts), itertools.pairwise(sizes), strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in counts[:-1])

    def forward(self, code: Tensor, z: Tensor) -> Tensor:
        """Codes (B, 64) and latents (B, Z) to maps (B, C, H, W) in [-1, 1]."""
        maps = self.first(torch.cat([code, z], dim=1)).unflatten(1, self.start)
        for norm, deconvolution in zip(self.norms, self.deconvolutions, strict=True):
            maps = deconvolution(F.relu(norm(maps)))
        return full_precision(maps).tanh()


class MatchingDiscriminator(nn.Module):
    """Says of a map and a code whether the map is real and matches it; no normalisation.

    Source: CMAV, Figure 2, after GAN-CLS (Reed et al. 2016): convolutions to 4 x 4, beside the code, tiled. A map's
    features do not depend on what else is in the batch, so the real ones serve right and wrong pairs.

    Args:
        channels: C of the maps.
        size: (H, W) of the maps.
        width: factor on the channel counts (64-128-256-512 for 64 x 64).
    """

    def __init__(self, channels: int, size: tuple[int, int], width: float) -> None:
        super().__init__()
        self.features = discriminator_branch(channels, size, width)
        hidden = scaled([512], width)[0]
        joined = branch_channels(size, width)[-1] + CODE
        self.joint = nn.Sequential(nn.Conv2d(joined, hidden, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(hidden, 1, 4))

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """Features of maps (B, c, 4, 4) and codes (B, 64) to the logit of S (B,)."""
        tiled = code[:, :, None, None].expand(-1, -1, 4, 4)
        logit: Tensor = self.joint(torch.cat([features, tiled], dim=1))
        return full_precision(logit.flatten())


class ConditionalTranslator(Translator):
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


class Conditional(Method):
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
        self.inference = ConditionalTranslator(config, sizes, self.options.direction)
        self.discriminator = MatchingDiscriminator(CHANNELS[target], sizes[target], config.network.width)
        self.helper = (
            nn.Linear(CODE, len(classes))
            if self.options.encoder == "classifier"
            else Generator(CHANNELS[source], sizes[source], config.network, latent=0)
        )

    @property
    def translator(self) -> ConditionalTranslator:
        """The encoder and the generator that are trained."""
        assert isinstance(self.inference, ConditionalTranslator)
        return self.inference

    def optimizers(self) -> dict[str, Optimizer]:
        """One for the encoder and what it is trained with, one for the generator, one for the discriminator."""
        train = self.config.train
        encoding = [*self.translator.encoder.parameters(), *self.helper.parameters()]
        return {
            "encoder": make_optimizer(self.options.encoder_optimizer, iter(encoding)),
            "discriminator": make_optimizer(train.discriminator, self.discriminator.parameters()),
            "generator": make_optimizer(train.generator, self.translator.generator.parameters()),
        }

    def train_step(
        self, batch: Batch, optimizers: Mapping[str, Optimizer], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update of the encoder while it is trained; then one of the discriminator and K of the generator."""
        if self.pretraining:
            logged = {"encoder": self.encoder_loss(batch)}
            update(optimizers["encoder"], logged["encoder"])
        else:
            code = self._code(batch)
            fake = self._fake(code, batch, generator)
            logged = {"discriminator": self.discriminator_loss(code, fake.detach(), batch, generator)}
            update(optimizers["discriminator"], logged["discriminator"])
            for k in range(self.config.train.generator_updates):
                fake = self._fake(code, batch, generator) if k else fake
                logged["adversarial"] = self.adversarial_loss(code, fake, batch)
                update(optimizers["generator"], logged["adversarial"])
        return {name: loss.detach() for name, loss in logged.items()}

    def encoder_loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the class from the code, or the mean squared error of the source from it."""
        source, _ = self._sides(batch)
        self.translator.encoder.train()
        with self.autocast(batch):
            code = self.translator.encode(source)
            if self.options.encoder == "classifier":
                return F.cross_entropy(full_precision(self.helper(code)), batch.label)
            return F.mse_loss(self.helper(code, code[:, :0]), source)

    def discriminator_loss(self, code: Tensor, fake: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        """The negative of what CMAV's discriminator maximises."""
        _, target = self._sides(batch)
        with self.autocast(batch):
            real, made = self.discriminator.features(torch.cat([target, fake])).chunk(2)
            right, faked = self.discriminator(real, code), self.discriminator(made, code)
            if not self.options.mismatch:
                return plain_discriminator_loss(right, faked)
            wrong = wrong_pairs(batch, self.config.train.wrong_pairs, generator)
            return matching_discriminator_loss(right, self.discriminator(real[wrong], code), faked)

    def adversarial_loss(self, code: Tensor, fake: Tensor, batch: Batch) -> Tensor:
        """The negative of what CMAV's generator maximises, log S_f."""
        with self.autocast(batch), frozen(self.discriminator):
            return says_real(self.discriminator(self.discriminator.features(fake), code))

    def validation_loss(self, inference: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean L1 of the translation to the ground truth."""
        source, target = self._sides(batch)
        return F.l1_loss(self._translated(inference, source, generator), target)

    def samples(self, inference: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Ground truth, and the translation."""
        made = self._translated(inference, self._sides(batch)[0], generator)
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

    def _fake(self, code: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        z = self.translator.draw(len(code), generator)[0].to(code.device, non_blocking=True)
        with self.autocast(batch):
            made: Tensor = self.translator.generator(code, z)
        return made

    def _translated(self, inference: nn.Module, source: Tensor, generator: torch.Generator) -> Tensor:
        assert isinstance(inference, ConditionalTranslator)
        return inference.translate(self.options.direction, source, inference.draw(len(source), generator))


def _check(config: Config, options: Options, classes: tuple[str, ...]) -> None:
    faults = []
    if options.encoder == "classifier" and len(classes) < 2:
        faults.append("an encoder that is a classifier needs two classes; for one take options.encoder=autoencoder")
    if faults:
        raise ConfigError("the settings contradict one another:\n" + "\n".join(f"  {fault}" for fault in faults))
