"""CMCGAN: four subnetworks of two encoders and two decoders, four generation paths, one joint adversarial loss.

Source: Hao, Zhang and Guan, "CMCGAN: A Uniform Framework for Cross-Modal Visual-Audio Mutual Generation" (AAAI 2018).
Departures from the paper are settings; `docs/reproduction.md` lists them with their reasons.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cmcgan_core.config import Config, build
from cmcgan_core.data.dataset import Batch, wrong_partners
from cmcgan_core.data.features import FeatureSettings
from cmcgan_core.losses import LOSSES, joint_discriminator_loss, joint_generator_loss
from cmcgan_core.methods.base import CHANNELS, Method, Translator, frozen, make_optimizer, update, weighted_sum
from cmcgan_core.networks import CODE, ENCODERS, Decoder, Discriminator, full_precision

#: The subnetworks: encoder of the first modality, decoder of the last (a = audio, v = visual).
SUBNETWORKS = ("a2v", "v2a", "a2a", "v2v")
#: The generation paths: each names its two subnetworks in order.
PATHS = {"v2a2v": ("v2a", "a2v"), "a2v2a": ("a2v", "v2a"), "v2v2a": ("v2v", "v2a"), "a2a2v": ("a2a", "a2v")}
#: By number of hops, what makes the other modality: the subnetwork itself, or the paper's cross-modal path.
TRANSLATIONS = {1: {"a2v": "a2v", "v2a": "v2a"}, 2: {"a2v": "a2a2v", "v2a": "v2v2a"}}
#: Outputs of each modality that pass for fakes, by the name that `Options.fakes` uses.
FAKES: dict[str, dict[str, tuple[str, ...]]] = {
    "direct": {"a": ("v2a",), "v": ("a2v",)},
    "two-hop": {"a": ("a2v2a", "v2v2a"), "v": ("v2a2v", "a2a2v")},
}


@dataclass(frozen=True)
class Options:
    """What the paper leaves open, or what we add to it.

    Attributes:
        hops: what `generate` and `evaluate` take for the model's output: 2 the paper's paths A->A->V and V->V->A,
            1 the subnetworks A2V and V2A by themselves.
        fakes: which outputs the discriminator sees as fakes.
        consistency: distance of the consistency loss, a name in `losses.LOSSES` (paper: l1).
        spectral_norm: bound the discriminator by spectral normalisation (paper: no).
    """

    hops: Literal[1, 2] = 2
    fakes: tuple[Literal["direct", "two-hop"], ...] = ("direct", "two-hop")
    consistency: str = "l1"
    spectral_norm: bool = False


class Outputs(NamedTuple):
    """Everything that one forward pass makes."""

    maps: dict[str, Tensor]  #: by subnetwork and path, (B, C, H, W) in [-1, 1]
    codes: dict[str, Tensor]  #: of the real inputs, by modality, (B, 64, 1, 1)


class Generators(Translator):
    """EncoderA, EncoderV, DecoderA and DecoderV, shared by all paths.

    Args:
        config: of the run.
        sizes: (H, W) by modality.
        hops: see `Options.hops`.
    """

    directions = ("a2v", "v2a")

    def __init__(self, config: Config, sizes: Mapping[str, tuple[int, int]], hops: int) -> None:
        super().__init__()
        network, encoder = config.network, ENCODERS.get(config.network.encoder)
        self.hops = hops
        self.latent = network.latent
        self.encoders = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        for m in CHANNELS:
            made_by = [s for s in SUBNETWORKS if s[-1] == m]
            routes = made_by + [p for p in PATHS if p[-1] == m]
            self.encoders[m] = encoder(CHANNELS[m], sizes[m], network.width, ["real", *made_by])
            self.decoders[m] = Decoder(CHANNELS[m], sizes[m], network.width, network.latent, routes)

    def forward(self, audio: Tensor, visual: Tensor, z: Mapping[str, Tensor]) -> Outputs:
        """All subnetworks and paths; a feature that several paths share is computed once.

        Args:
            audio: real spectrograms (B, 1, M, T).
            visual: real pictures (B, 3, S, S).
            z: latents (B, Z) by subnetwork and path; see `draw_latents`.
        """
        real = {"a": audio, "v": visual}
        codes = {m: self.encoders[m](real[m], "real") for m in real}
        maps = {s: self.decoders[s[-1]](codes[s[0]], z[s], s) for s in SUBNETWORKS}
        for path, (first, second) in PATHS.items():
            code = self.encoders[second[0]](maps[first], first)
            maps[path] = self.decoders[second[-1]](code, z[path], path)
        return Outputs(maps, codes)

    def translate(self, direction: str, source: Tensor, generator: torch.Generator, hops: int | None = None) -> Tensor:
        """See `Translator`; the latent of every decoding is drawn afresh."""
        code = self.encoders[direction[0]](source, "real")
        route = TRANSLATIONS[hops or self.hops][direction]
        if route in PATHS:
            first, second = PATHS[route]
            between = self.decoders[first[-1]](code, self.draw_latent(source, generator), first)
            code = self.encoders[second[0]](between, first)
        translated: Tensor = self.decoders[direction[-1]](code, self.draw_latent(source, generator), route)
        return translated

    def draw_latents(self, like: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """A fresh z for every decoding of a forward pass."""
        return {route: self.draw_latent(like, generator) for route in (*SUBNETWORKS, *PATHS)}

    def draw_latent(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Latents of N(0, 1), (B, Z), drawn on the CPU so that a seed means the same on every device."""
        return torch.randn(len(like), self.latent, generator=generator).to(like.device, non_blocking=True)


class CMCGAN(Method):
    """The generators, the discriminator and Algorithm 1."""

    losses = ("adversarial", "consistency", "direct", "class")

    def __init__(self, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> None:
        super().__init__(config, classes, settings)
        self.options = build(Options, config.options, f"[options] of {config.method}")
        self.distance = LOSSES.get(self.options.consistency)
        sizes = self.sizes()
        self.generators = self.inference = Generators(config, sizes, self.options.hops)
        self.discriminator = Discriminator(
            config.network.picture_size, sizes["a"], config.network.width, spectral=self.options.spectral_norm
        )
        self.heads = nn.ModuleDict({m: nn.Linear(CODE, len(classes)) for m in CHANNELS})

    def optimizers(self) -> dict[str, Optimizer]:
        """One for the discriminator, one for generators and heads."""
        train = self.config.train
        generating = [*self.generators.parameters(), *self.heads.parameters()]
        return {
            "discriminator": make_optimizer(train.discriminator, self.discriminator.parameters()),
            "generator": make_optimizer(train.generator, iter(generating)),
        }

    def train_step(
        self, batch: Batch, optimizers: Mapping[str, Optimizer], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update of the discriminator, then K of the generators (Algorithm 1)."""
        weights = self.config.loss_weights
        outputs = self._forward(batch, generator)
        logged = {}
        if weights["adversarial"]:
            logged["discriminator"] = self.discriminator_loss(outputs, batch, generator)
            update(optimizers["discriminator"], logged["discriminator"])
        for k in range(self.config.train.generator_updates):
            if k > 0:
                outputs = self._forward(batch, generator)
            losses = self.generator_losses(outputs, batch)
            update(optimizers["generator"], weighted_sum(losses, weights))
        return {name: loss.detach() for name, loss in {**logged, **losses}.items()}

    def discriminator_loss(self, outputs: Outputs, batch: Batch, generator: torch.Generator) -> Tensor:
        """Eq. 1; real, wrong and fake pairs meet in `joint`, each map's features computed once."""
        wrong_audio, wrong_visual = (wrong_partners(batch.label, generator) for _ in range(2))
        with self.autocast(batch):
            visual, *fakes = self._features("v", [batch.visual, *(f.detach() for f in self._fakes(outputs, "v"))])
            fake_visual = torch.cat(fakes)
            audio, *fakes = self._features("a", [batch.audio, *(f.detach() for f in self._fakes(outputs, "a"))])
            fake_audio = torch.cat(fakes)
            score = self.discriminator
            return joint_discriminator_loss(
                rvra=score(visual, audio),
                rvwa=score(visual, audio[wrong_audio]),
                wvra=score(visual[wrong_visual], audio),
                rvfa=score(_repeat(visual, fake_audio), fake_audio),
                fvra=score(fake_visual, _repeat(audio, fake_visual)),
            )

    def generator_losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The losses whose weight is not zero, by name."""
        compute = {
            "adversarial": self.adversarial_loss,
            "consistency": self.consistency_loss,
            "direct": self.direct_loss,
            "class": self.class_loss,
        }
        return {name: loss(outputs, batch) for name, loss in compute.items() if self.config.loss_weights[name]}

    def adversarial_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Eq. 2."""
        with self.autocast(batch), frozen(self.discriminator):
            with torch.no_grad():
                (visual,), (audio,) = self._features("v", [batch.visual]), self._features("a", [batch.audio])
            fake_visual = torch.cat(self._features("v", self._fakes(outputs, "v")))
            fake_audio = torch.cat(self._features("a", self._fakes(outputs, "a")))
            return joint_generator_loss(
                rvfa=self.discriminator(_repeat(visual, fake_audio), fake_audio),
                fvra=self.discriminator(fake_visual, _repeat(audio, fake_visual)),
            )

    def consistency_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Eq. 3: the sum over the four paths, each against the ground truth of its last modality."""
        return self._distances(outputs, batch, tuple(PATHS))

    def direct_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The same distance for the four subnetworks' own outputs; not in the paper."""
        return self._distances(outputs, batch, SUBNETWORKS)

    def class_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Cross-entropy of the class from each code; not in the paper. Labels are used here, never to generate."""
        losses = [
            nn.functional.cross_entropy(self.heads[m](full_precision(code).flatten(1)), batch.label)
            for m, code in outputs.codes.items()
        ]
        return torch.stack(losses).sum()

    def validation_loss(self, inference: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean L1 of both translations to the ground truth."""
        sources = {"a2v": (batch.audio, batch.visual), "v2a": (batch.visual, batch.audio)}
        distances = [
            nn.functional.l1_loss(inference.translate(direction, source, generator), target)  # type: ignore[operator]
            for direction, (source, target) in sources.items()
        ]
        return torch.stack(distances).mean()

    def samples(self, inference: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Ground truth, and both translations by one hop and by two."""
        rows = {"picture": batch.visual, "sound": batch.audio}
        for direction, source in (("a2v", batch.audio), ("v2a", batch.visual)):
            for hops in (1, 2):
                made = inference.translate(direction, source, generator, hops)  # type: ignore[operator]
                rows[TRANSLATIONS[hops][direction]] = made
        return rows

    def _forward(self, batch: Batch, generator: torch.Generator) -> Outputs:
        z = self.generators.draw_latents(batch.audio, generator)
        with self.autocast(batch):
            outputs: Outputs = self.generators(batch.audio, batch.visual, z)
        return outputs

    def _fakes(self, outputs: Outputs, modality: str) -> list[Tensor]:
        return [outputs.maps[route] for kind in self.options.fakes for route in FAKES[kind][modality]]

    def _features(self, modality: str, maps: list[Tensor]) -> list[Tensor]:
        """Discriminator features (B, c, 4, 4) of each of several maps (B, C, H, W), in one call."""
        branch = {"a": self.discriminator.audio, "v": self.discriminator.visual}[modality]
        features: Tensor = branch(torch.cat(maps))
        return list(features.chunk(len(maps)))

    def _distances(self, outputs: Outputs, batch: Batch, routes: tuple[str, ...]) -> Tensor:
        truth = {"a": batch.audio, "v": batch.visual}
        return torch.stack([self.distance(outputs.maps[route], truth[route[-1]]) for route in routes]).sum()


def _repeat(features: Tensor, fakes: Tensor) -> Tensor:
    """The real partners of n kinds of fakes: (B, ...) repeated to (n B, ...)."""
    return features.repeat(len(fakes) // len(features), 1, 1, 1)
