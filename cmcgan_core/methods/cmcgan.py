"""CMCGAN: four subnetworks of two encoders and two decoders, four generation paths, one joint adversarial loss.

Source: Hao, Zhang and Guan, "CMCGAN: A Uniform Framework for Cross-Modal Visual-Audio Mutual Generation" (AAAI 2018).
Departures from the paper are settings; `docs/reproduction.md` lists them with their reasons.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cmcgan_core.config import Config
from cmcgan_core.data.augment import augment
from cmcgan_core.data.loader import Batch, wrong_pairs
from cmcgan_core.errors import ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.base import Method, Translator, frozen, make_optimizer, update, weighted_sum
from cmcgan_core.modality import CHANNELS
from cmcgan_core.nn.decoders import Decoder
from cmcgan_core.nn.discriminators import Discriminator
from cmcgan_core.nn.encoders import ENCODERS
from cmcgan_core.nn.layers import CODE, full_precision
from cmcgan_core.nn.losses import (
    LOSSES,
    joint_discriminator_loss,
    joint_generator_loss,
    kl_divergence,
    standard_discriminator_loss,
)
from cmcgan_core.utils.schema import Share, build

#: The subnetworks: encoder of the first modality, decoder of the last (a = audio, v = visual).
SUBNETWORKS = ("a2v", "v2a", "a2a", "v2v")
#: The generation paths: each names its two subnetworks in order.
PATHS = {"v2a2v": ("v2a", "a2v"), "a2v2a": ("a2v", "v2a"), "v2v2a": ("v2v", "v2a"), "a2a2v": ("a2a", "a2v")}
#: By number of hops, what makes the other modality: the subnetwork itself, or the paper's cross-modal path.
TRANSLATIONS = {1: {"a2v": "a2v", "v2a": "v2a"}, 2: {"a2v": "a2a2v", "v2a": "v2v2a"}}
#: By modality, the path that leads through the other one and back.
CYCLES = {"a": "a2v2a", "v": "v2a2v"}
#: Outputs of each modality that pass for fakes, by the name that `Options.fakes` uses.
FAKES: dict[str, dict[str, tuple[str, ...]]] = {
    "direct": {"a": ("v2a",), "v": ("a2v",)},
    "two-hop": {"a": ("a2v2a", "v2v2a"), "v": ("v2a2v", "a2a2v")},
}


@dataclass(frozen=True)
class Options:
    """What the paper leaves open or compares, and what we add to it.

    Attributes:
        hops: what `generate` and `evaluate` take for the model's output: 2 the paper's paths A->A->V and V->V->A,
            1 the subnetworks A2V and V2A by themselves.
        paths: the generation paths; without those from one modality to the other, v2v2a and a2a2v, it is the paper's
            LCGAN.
        draw_paths: take two of the paths a step, one that ends in each modality, drawn evenly (paper: all of them).
        adversarial: "joint" (paper), or "standard", which knows no wrong pairs (its Figure 5).
        fakes: which outputs the discriminator sees as fakes.
        consistency: distance of the consistency loss, a name in `losses.LOSSES` (paper: l1).
        spectral_norm: bound the discriminator by spectral normalisation (paper: no).
        augment: give the encoders varied sounds and pictures (`classifier.augment`); the truth stays as it is (paper: no).
        posterior: share of each batch whose latents are inferred from the truth, as in a conditional variational
            autoencoder (Sohn et al. 2015; with a discriminator, Zhu et al. 2017), so that z says what the input cannot
            know, such as the room. Only these pairs are held against the truth. 0 is the paper's z, which training
            then ignores.
    """

    hops: Literal[1, 2] = 2
    paths: tuple[Literal["v2a2v", "a2v2a", "v2v2a", "a2a2v"], ...] = ("v2a2v", "a2v2a", "v2v2a", "a2a2v")
    draw_paths: bool = False
    adversarial: Literal["joint", "standard"] = "joint"
    fakes: tuple[Literal["direct", "two-hop"], ...] = ("direct", "two-hop")
    consistency: str = "l1"
    spectral_norm: bool = False
    augment: bool = False
    posterior: Share = 0.0


class Outputs(NamedTuple):
    """Everything that one forward pass makes."""

    maps: dict[str, Tensor]  #: by subnetwork and path, (B, C, H, W) in [-1, 1]
    codes: dict[str, Tensor]  #: by "a" and "v" of the inputs, by subnetwork of what a path encodes, (B, 64, 1, 1)


class Generators(Translator):
    """EncoderA, EncoderV, DecoderA and DecoderV, shared by all paths.

    Args:
        config: of the run.
        sizes: (H, W) by modality.
        options: of the method.
    """

    directions = ("a2v", "v2a")

    def __init__(self, config: Config, sizes: Mapping[str, tuple[int, int]], options: Options) -> None:
        super().__init__()
        network, encoder = config.network, ENCODERS.get(config.network.encoder)
        self.hops = options.hops
        self.possible_hops = (1, 2) if set(TRANSLATIONS[2].values()) <= set(options.paths) else (1,)
        self.recovers = tuple(modality for modality, path in CYCLES.items() if path in options.paths)
        self.latent = network.latent
        self.encoders = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        for m in CHANNELS:
            made_by = [s for s in SUBNETWORKS if s[-1] == m]
            routes = made_by + [p for p in PATHS if p[-1] == m]
            self.encoders[m] = encoder(CHANNELS[m], sizes[m], network, ["real", *made_by])
            self.decoders[m] = Decoder(CHANNELS[m], sizes[m], network, routes)

    def encode(self, audio: Tensor, visual: Tensor) -> dict[str, Tensor]:
        """Codes (B, 64, 1, 1) of sounds (B, 1, M, T) and pictures (B, 3, S, S), by modality."""
        return {"a": self.encoders["a"](audio, "real"), "v": self.encoders["v"](visual, "real")}

    def forward(self, codes: Mapping[str, Tensor], z: Mapping[str, Tensor], paths: Sequence[str]) -> Outputs:
        """The subnetworks and paths; a feature that several paths share is computed once.

        Args:
            codes: of the inputs, see `encode`.
            z: latents (B, Z) by subnetwork and path; what has none is not computed.
            paths: to be taken.
        """
        maps = {s: self.decoders[s[-1]](codes[s[0]], z[s], s) for s in SUBNETWORKS if s in z}
        codes = dict(codes)
        for path in paths:
            first, second = PATHS[path]
            codes[first] = self.encoders[second[0]](maps[first], first)
            maps[path] = self.decoders[second[-1]](codes[first], z[path], path)
        return Outputs(maps, codes)

    def translate(self, direction: str, source: Tensor, z: Tensor) -> Tensor:
        """See `Translator`; every decoding has a latent of its own."""
        return self._along(TRANSLATIONS[len(z)][direction], source, z)

    def recover(self, modality: str, source: Tensor, z: Tensor) -> Tensor:
        """See `Translator`; RF_Sound and RF_Image of the paper's Figure 3."""
        return self._along(CYCLES[modality], source, z)

    def _along(self, route: str, source: Tensor, z: Tensor) -> Tensor:
        """What a subnetwork or a path makes of maps (B, C, H, W), with latents (1 or 2, B, Z)."""
        z = z.to(source.device, non_blocking=True)
        code = self.encoders[route[0]](source, "real")
        if route in PATHS:
            first, second = PATHS[route]
            between = self.decoders[first[-1]](code, z[0], first)
            code = self.encoders[second[0]](between, first)
        made: Tensor = self.decoders[route[-1]](code, z[-1], route)
        return made


class CMCGAN(Method):
    """The generators, the discriminator and Algorithm 1."""

    losses = ("adversarial", "consistency", "direct", "class", "class_of_generated", "latent")

    def __init__(self, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> None:
        super().__init__(config, classes, settings)
        self.options = build(Options, config.options, f"[options] of {config.method}")
        _check(config, self.options)
        self.distance = LOSSES.get(self.options.consistency)
        sizes = self.sizes()
        self.generators = self.network = Generators(config, sizes, self.options)
        self.discriminator = Discriminator(
            config.network.picture_size, sizes["a"], config.network.width, spectral=self.options.spectral_norm
        )
        self.heads = nn.ModuleDict({m: nn.Linear(CODE, len(classes)) for m in CHANNELS})
        self.posteriors = nn.ModuleDict()
        if self.options.posterior:
            self.posteriors.update({m: nn.Linear(CODE, 2 * config.network.latent) for m in CHANNELS})

    def optimizers(self) -> dict[str, Optimizer]:
        """One for the discriminator, one for generators, heads and posteriors."""
        train = self.config.train
        generating = [p for part in (self.generators, self.heads, self.posteriors) for p in part.parameters()]
        return {
            "discriminator": make_optimizer(train.discriminator, self.discriminator.parameters()),
            "generator": make_optimizer(train.generator, iter(generating)),
        }

    def train_step(self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator) -> dict[str, Tensor]:
        """One update of the discriminator, then K of the generators (Algorithm 1)."""
        weights = self.config.loss_weights
        outputs = self._forward(batch, rng)
        logged = {}
        if weights["adversarial"]:
            logged["discriminator"] = self.discriminator_loss(outputs, batch, rng)
            update(optimizers["discriminator"], logged["discriminator"])
        for k in range(self.config.train.generator_updates):
            if k > 0:
                outputs = self._forward(batch, rng)
            losses = self.generator_losses(outputs, batch, rng)
            update(optimizers["generator"], weighted_sum(losses, weights))
        return {name: loss.detach() for name, loss in {**logged, **losses}.items()}

    def discriminator_loss(self, outputs: Outputs, batch: Batch, rng: torch.Generator) -> Tensor:
        """Eq. 1; real, wrong and fake pairs meet in `joint`, each map's features computed once."""
        with self.autocast(batch):
            visual, *fakes = self._features("v", [batch.visual, *(f.detach() for f in self._fakes(outputs, "v"))])
            fake_visual = torch.cat(fakes)
            audio, *fakes = self._features("a", [batch.audio, *(f.detach() for f in self._fakes(outputs, "a"))])
            fake_audio = torch.cat(fakes)
            score = self.discriminator
            rvra = score(visual, audio)
            rvfa = score(_repeat(visual, fake_audio), fake_audio)
            fvra = score(fake_visual, _repeat(audio, fake_visual))
            if self.options.adversarial == "standard":
                return standard_discriminator_loss(rvra, rvfa, fvra)
            wrong_audio, wrong_visual = (wrong_pairs(batch, self.config.train.wrong_pairs, rng) for _ in range(2))
            rvwa = score(visual, audio[wrong_audio])
            wvra = score(visual[wrong_visual], audio)
            return joint_discriminator_loss(rvra, rvwa, wvra, rvfa, fvra)

    def generator_losses(self, outputs: Outputs, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The losses whose weight is not zero, by name."""
        compute: dict[str, Callable[[Outputs, Batch], Tensor]] = {
            "adversarial": self.adversarial_loss,
            "consistency": self.consistency_loss,
            "direct": self.direct_loss,
            "class": self.class_loss,
            "class_of_generated": partial(self.generated_class_loss, rng=rng),
            "latent": self.latent_loss,
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
        """Eq. 3: the sum over the paths, each against the ground truth of its last modality.

        Of drawn paths each counts for the two that it was drawn from.
        """
        paths = [path for path in PATHS if path in outputs.maps]
        return self._distances(outputs, batch, paths) * (len(self.options.paths) / len(paths))

    def direct_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The same distance for the four subnetworks' own outputs; not in the paper."""
        return self._distances(outputs, batch, [s for s in SUBNETWORKS if s in outputs.maps])

    def class_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Cross-entropy of the class from each code; not in the paper. Labels are used here, never to generate."""
        return torch.stack([self._cross_entropy(m, outputs.codes[m], batch.label) for m in CHANNELS]).sum()

    def generated_class_loss(self, outputs: Outputs, batch: Batch, rng: torch.Generator) -> Tensor:
        """Cross-entropy of the class that is read from what was generated; not in the paper.

        What A2V and V2A made is read by encoders and heads that this leaves alone: their idea of a class stays that of
        real samples, so that decoders cannot agree with them on signs that nobody else sees. Where inputs are varied,
        so is what is read, for the same reason. What a path encodes on its second hop is read as well, and there the
        encoders learn too: otherwise two hops forget the class.
        """
        made = batch._replace(audio=outputs.maps["v2a"], visual=outputs.maps["a2v"])
        if self.options.augment:
            made = augment(made, rng)
        read = []
        for direction in TRANSLATIONS[1]:
            m = direction[-1]
            encoder, head = self.generators.encoders[m], self.heads[m]
            with frozen(encoder), frozen(head), self.autocast(batch):
                code = encoder({"a": made.audio, "v": made.visual}[m], direction)
                read.append(self._cross_entropy(m, code, batch.label))
        encoded = [s for s in SUBNETWORKS if s in outputs.codes]
        read += [self._cross_entropy(s[-1], outputs.codes[s], batch.label) for s in encoded]
        return torch.stack(read).sum()

    def latent_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Divergence (nats) of the inferred latents from N(0, 1), over both modalities; not in the paper."""
        del batch
        return torch.stack([kl_divergence(*self._infer(outputs.codes[m], m)) for m in CHANNELS]).sum()

    def validation_loss(self, network: nn.Module, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean L1 of both translations to the ground truth."""
        assert isinstance(network, Generators)
        sources = {"a2v": (batch.audio, batch.visual), "v2a": (batch.visual, batch.audio)}
        distances = [
            F.l1_loss(network.translate(direction, source, network.draw(len(source), rng)), target)
            for direction, (source, target) in sources.items()
        ]
        return torch.stack(distances).mean()

    def samples(self, network: nn.Module, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Ground truth, and both translations by one hop and, where there are such paths, by two."""
        assert isinstance(network, Generators)
        rows = {"picture": batch.visual, "sound": batch.audio}
        for direction, source in (("a2v", batch.audio), ("v2a", batch.visual)):
            for hops in network.possible_hops:
                z = network.draw(len(source), rng, hops)
                rows[TRANSLATIONS[hops][direction]] = network.translate(direction, source, z)
        return rows

    def _forward(self, batch: Batch, rng: torch.Generator) -> Outputs:
        paths = self._draw_paths(rng)
        given = augment(batch, rng) if self.options.augment else batch
        with self.autocast(batch):
            codes = self.generators.encode(given.audio, given.visual)
            needed = [*TRANSLATIONS[1], *(PATHS[path][0] for path in paths), *paths]
            routes = needed if self.options.draw_paths else [*SUBNETWORKS, *paths]
            z = {route: self._latent(codes, route, rng) for route in routes}
            outputs: Outputs = self.generators(codes, z, paths)
        return outputs

    def _draw_paths(self, rng: torch.Generator) -> list[str]:
        if not self.options.draw_paths:
            return list(self.options.paths)
        choices = [[path for path in self.options.paths if path[-1] == m] for m in CHANNELS]
        return [paths[int(torch.randint(len(paths), (), generator=rng))] for paths in choices]

    def _latent(self, codes: Mapping[str, Tensor], route: str, rng: torch.Generator) -> Tensor:
        """Z (B, Z) of a decoding: of N(0, 1), but for the first pairs inferred from the truth (`Options.posterior`)."""
        truth = codes[route[-1]]
        drawn: Tensor = self.generators.draw(len(truth), rng, hops=1)[0].to(truth.device, non_blocking=True)
        if not self.options.posterior:
            return drawn
        count = self._held(len(drawn))
        mean, log_variance = self._infer(truth[:count], route[-1])
        return torch.cat([mean + drawn[:count] * (log_variance / 2).exp(), drawn[count:]])

    def _infer(self, codes: Tensor, modality: str) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance (B, Z) of the latents that codes (B, 64, 1, 1) of the truth tell."""
        inferred: Tensor = self.posteriors[modality](full_precision(codes).flatten(1))
        mean, log_variance = inferred.chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 4)

    def _held(self, pairs: int) -> int:
        """How many pairs of a batch are held against the truth, the first ones."""
        return max(1, round(self.options.posterior * pairs)) if self.options.posterior else pairs

    def _cross_entropy(self, modality: str, codes: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(self.heads[modality](full_precision(codes).flatten(1)), label)

    def _fakes(self, outputs: Outputs, modality: str) -> list[Tensor]:
        return [
            outputs.maps[route]
            for kind in self.options.fakes
            for route in FAKES[kind][modality]
            if route in outputs.maps
        ]

    def _features(self, modality: str, maps: list[Tensor]) -> list[Tensor]:
        """Discriminator features (B, c, 4, 4) of each of several maps (B, C, H, W), in one call."""
        branch = {"a": self.discriminator.audio, "v": self.discriminator.visual}[modality]
        features: Tensor = branch(torch.cat(maps))
        return list(features.chunk(len(maps)))

    def _distances(self, outputs: Outputs, batch: Batch, routes: Sequence[str]) -> Tensor:
        truth, held = {"a": batch.audio, "v": batch.visual}, self._held(len(batch.label))
        return torch.stack([self.distance(outputs.maps[r][:held], truth[r[-1]][:held]) for r in routes]).sum()


def _repeat(features: Tensor, fakes: Tensor) -> Tensor:
    """The real partners of n kinds of fakes: (B, ...) repeated to (n B, ...)."""
    return features.repeat(len(fakes) // len(features), 1, 1, 1)


def _check(config: Config, options: Options) -> None:
    """Refuse settings that contradict one another."""
    weights, paths = config.loss_weights, set(options.paths)
    faults = []
    if options.hops == 2 and not {"a2a2v", "v2v2a"} <= paths:
        faults.append("options.hops=2 needs the paths a2a2v and v2v2a")
    if not paths and (weights.get("consistency") or "two-hop" in options.fakes):
        faults.append("without options.paths there is no loss_weights.consistency and no options.fakes two-hop")
    if options.draw_paths and {path[-1] for path in paths} != set(CHANNELS):
        faults.append("options.draw_paths needs a path to each modality")
    if bool(options.posterior) != bool(weights.get("latent")):
        faults.append("options.posterior and loss_weights.latent need each other")
    if options.posterior and not config.network.latent:
        faults.append("options.posterior needs a latent vector (network.latent)")
    if faults:
        raise ConfigError("the settings contradict one another:\n" + "\n".join(f"  {fault}" for fault in faults))
