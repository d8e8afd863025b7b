"""CMCGAN: four subnetworks of two encoders and two decoders, four generation paths, one joint adversarial loss.

Source: Hao, Zhang and Guan, "CMCGAN: A Uniform Framework for Cross-Modal Visual-Audio Mutual Generation" (AAAI 2018).
Every departure from the paper is a setting; `docs/reproduction.md` lists them with their reasons.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cmcgan_core.config import Config, NetworkConfig
from cmcgan_core.data.augment import augment
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
from cmcgan_core.modality import Direction, Modality, source_of, target_of
from cmcgan_core.nn.capabilities import Embedder, Translator
from cmcgan_core.nn.decoders import DECODERS
from cmcgan_core.nn.discriminators import DISCRIMINATORS, PairScorer, RealismDiscriminators
from cmcgan_core.nn.encoders import ENCODERS
from cmcgan_core.nn.layers import CODE, full_precision
from cmcgan_core.nn.losses import (
    LOSSES,
    joint_discriminator_loss,
    joint_generator_loss,
    kl_divergence,
    pair_discriminator_loss,
    plain_discriminator_loss,
    real_loss,
)
from cmcgan_core.utils.schema import Share
from cmcgan_core.utils.tensors import send

#: The subnetworks: the encoder of the first modality and the decoder of the last (a = audio, v = visual).
SUBNETWORKS = ("a2v", "v2a", "a2a", "v2v")
#: The generation paths: each is two subnetworks in order.
PATHS = {"v2a2v": ("v2a", "a2v"), "a2v2a": ("a2v", "v2a"), "v2v2a": ("v2v", "v2a"), "a2a2v": ("a2a", "a2v")}
#: The route of each direction, by number of hops: the direct subnetwork, or the paper's cross-modal path.
TRANSLATIONS = {
    1: {Direction.A2V: "a2v", Direction.V2A: "v2a"},
    2: {Direction.A2V: "a2a2v", Direction.V2A: "v2v2a"},
}
#: The route from each modality to itself, by number of hops: one subnetwork, or the path through the other modality.
RECOVERIES = {
    1: {Modality.AUDIO: "a2a", Modality.VISUAL: "v2v"},
    2: {Modality.AUDIO: "a2v2a", Modality.VISUAL: "v2a2v"},
}
#: Routes whose outputs are fakes, by the name that `Options.fakes` uses.
FAKES = {"direct": ("v2a", "a2v"), "two-hop": ("a2v2a", "v2v2a", "v2a2v", "a2a2v")}


@dataclass(frozen=True)
class Options:
    """What the paper leaves open or compares, and what we add to it.

    Attributes:
        hops: the output that `generate` and `evaluate` take: 2 for the paper's paths A->A->V and V->V->A, 1 for the
            subnetworks A2V and V2A.
        paths: the generation paths. Without v2v2a and a2a2v, which end in the other modality, it is the paper's LCGAN.
        draw_paths: take two random paths per step, one that ends in each modality (paper: all paths).
        adversarial: "joint" (paper); "standard" (the paper's Figure 5), whose two discriminators see pictures only and
            sounds only, so they score realism and no pairs; or "pairs", the joint loss without wrong pairs.
        fakes: outputs that the discriminator gets as fakes.
        consistency: distance of the consistency loss, a name in `nn.losses.LOSSES` (paper: l1).
        augment: give the encoders augmented sounds and pictures (`data.augment`); the ground truth is not augmented
            (paper: no).
        posterior: share of each batch whose latents are inferred from the ground truth, as in a conditional variational
            autoencoder (Sohn et al. 2015; with a discriminator, Zhu et al. 2017). Then z carries what the input does
            not determine, such as the room. Only these pairs have losses against the ground truth. At 0, z is drawn as
            in the paper, and training learns to ignore it.
        one_latent: draw z once per step and use it in all decodings, which is how "a common Gaussian latent vector" in
            the paper's discussion can be read, instead of drawing it again for every decoding.
    """

    hops: Literal[1, 2] = 2
    paths: tuple[Literal["v2a2v", "a2v2a", "v2v2a", "a2a2v"], ...] = ("v2a2v", "a2v2a", "v2v2a", "a2a2v")
    draw_paths: bool = False
    adversarial: Literal["joint", "standard", "pairs"] = "joint"
    fakes: tuple[Literal["direct", "two-hop"], ...] = ("direct", "two-hop")
    consistency: str = "l1"
    augment: bool = False
    posterior: Share = 0.0
    one_latent: bool = False


class Outputs(NamedTuple):
    """Everything that one forward pass computes."""

    maps: dict[str, Tensor]  #: generated maps (B, C, H, W) in [-1, 1], by subnetwork and path
    codes: dict[str, Tensor]  #: codes (B, 64, 1, 1): of the inputs, by modality; of a path's first hop, by subnetwork


class Generators(Translator, Embedder):
    """The encoders and decoders of both modalities, which all paths share.

    Args:
        network: architecture and sizes.
        options: options of the method.
    """

    directions = tuple(Direction)
    embeds = tuple(Modality)

    def __init__(self, network: NetworkConfig, options: Options) -> None:
        super().__init__()
        encoder, decoder = ENCODERS.get(network.encoder), DECODERS.get(network.decoder)
        self.hops = options.hops
        self.possible_hops = (1, 2) if set(TRANSLATIONS[2].values()) <= set(options.paths) else (1,)
        trained = {*options.paths, *(subnetwork for path in options.paths for subnetwork in PATHS[path])}
        self.recovers = {
            m: tuple(hops for hops, routes in RECOVERIES.items() if routes[m] in trained) for m in Modality
        }
        self.latent = network.latent
        self.encoders = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        for m in Modality:
            size = network.size(m)
            subnetworks = [s for s in SUBNETWORKS if target_of(s) is m]
            paths = [path for path in PATHS if target_of(path) is m]
            self.encoders[m] = encoder(m.channels, size, network, ["real", *subnetworks])
            self.decoders[m] = decoder(m.channels, size, network, [*subnetworks, *paths])

    def encode(self, maps: Mapping[Modality, Tensor]) -> dict[str, Tensor]:
        """Encode real maps (B, C, H, W) by modality as codes (B, 64, 1, 1)."""
        return {m: self.encoders[m](maps[m], "real") for m in Modality}

    def embed(self, modality: Modality, maps: Tensor) -> Tensor:
        """See `Embedder`: the codes (B, 64)."""
        return full_precision(self.encoders[modality](maps, "real").flatten(1))

    def forward(self, codes: Mapping[str, Tensor], z: Mapping[str, Tensor], paths: Sequence[str]) -> Outputs:
        """Run subnetworks and paths. A feature that several paths share is computed once.

        Args:
            codes: codes of the inputs, see `encode`.
            z: latents (B, Z) by subnetwork and path; a subnetwork without latents is not run.
            paths: the paths to run.
        """
        maps = {s: self.decoders[target_of(s)](codes[source_of(s)], z[s], s) for s in SUBNETWORKS if s in z}
        codes = dict(codes)
        for path in paths:
            first, second = PATHS[path]
            codes[first] = self.encoders[source_of(second)](maps[first], first)
            maps[path] = self.decoders[target_of(second)](codes[first], z[path], path)
        return Outputs(maps, codes)

    def translate(self, direction: Direction, source: Tensor, z: Tensor) -> Tensor:
        """See `Translator`; every decoding has its own latents."""
        return self._run_route(TRANSLATIONS[len(z)][direction], source, z)

    def recover(self, modality: Modality, source: Tensor, z: Tensor) -> Tensor:
        """See `Translator`; R_Sound and R_Image of the paper's Figure 1, or RF_Sound and RF_Image."""
        return self._run_route(RECOVERIES[len(z)][modality], source, z)

    def _run_route(self, route: str, source: Tensor, z: Tensor) -> Tensor:
        """Run one subnetwork or path on maps (B, C, H, W), with latents (1 or 2, B, Z)."""
        z = send(z, source.device)
        code = self.encoders[source_of(route)](source, "real")
        if route in PATHS:
            first, second = PATHS[route]
            between = self.decoders[target_of(first)](code, z[0], first)
            code = self.encoders[source_of(second)](between, first)
        output: Tensor = self.decoders[target_of(route)](code, z[-1], route)
        return output


class CMCGAN(Method[Generators]):
    """The generators, the discriminator and Algorithm 1."""

    paper = "Hao, Zhang and Guan, CMCGAN (AAAI 2018)"

    def __init__(self, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> None:
        super().__init__(config, classes, settings)
        self.options = read_options(Options, config)
        require_consistent(_contradictions(config, self.options))
        self.distance = LOSSES.get(self.options.consistency)
        self.discriminator = (
            RealismDiscriminators(config.network)
            if self.options.adversarial == "standard"
            else DISCRIMINATORS.get(config.network.discriminator)(config.network)
        )
        self.heads = nn.ModuleDict({m: nn.Linear(CODE, len(classes)) for m in Modality})
        self.posteriors = nn.ModuleDict()
        if self.options.posterior:
            self.posteriors.update({m: nn.Linear(CODE, 2 * config.network.latent) for m in Modality})

    @classmethod
    def build_network(cls, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> Generators:
        """Build the encoders and decoders."""
        return Generators(config.network, read_options(Options, config))

    def optimizers(self) -> dict[str, Optimizer]:
        """Make one for the discriminator, if it is trained, and one for generators, heads and posteriors."""
        train = self.config.train
        parameters = itertools.chain(*(part.parameters() for part in (self.network, self.heads, self.posteriors)))
        optimizers = {"generator": make_optimizer(train.generator, list(parameters))}
        if self.loss_weights["adversarial"]:
            optimizers["discriminator"] = make_optimizer(train.discriminator, self.discriminator.parameters())
        return optimizers

    def train_step(self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the discriminator once, then the generators K times (Algorithm 1)."""
        outputs = self._forward(batch, rng)
        logged = {}
        if self.loss_weights["adversarial"]:
            logged["discriminator"] = self.discriminator_loss(outputs, batch, rng)
            update(optimizers["discriminator"], logged["discriminator"])
        for k in range(self.config.train.generator_updates):
            if k > 0:
                outputs = self._forward(batch, rng)
            losses = self.generator_losses(outputs, batch, rng)
            update(optimizers["generator"], weighted_sum(losses, self.loss_weights))
        return {name: loss.detach() for name, loss in {**logged, **losses}.items()}

    def discriminator_loss(self, outputs: Outputs, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute eq. 1. The features of each map are computed once and used for all its pairs."""
        if self.options.adversarial == "standard":
            return self._standard_discriminator_loss(outputs, batch)
        with self.autocast(batch):
            visual, fake_visual = self._real_and_fake_features(Modality.VISUAL, batch, outputs)
            audio, fake_audio = self._real_and_fake_features(Modality.AUDIO, batch, outputs)
            score = self.discriminator
            rvra = score(visual, audio)
            rvfa = score(_repeat(visual, fake_audio), fake_audio)
            fvra = score(fake_visual, _repeat(audio, fake_visual))
            if self.options.adversarial == "pairs":
                return pair_discriminator_loss(rvra, rvfa, fvra)
            wrong_audio, wrong_visual = (wrong_pairs(batch, self.config.train.wrong_pairs, rng) for _ in range(2))
            rvwa = score(visual, audio[wrong_audio])
            wvra = score(visual[wrong_visual], audio)
            return joint_discriminator_loss(rvra, rvwa, wvra, rvfa, fvra)

    def _standard_discriminator_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Compute the loss of a discriminator of pictures and one of sounds, the standard loss of Figure 5."""
        terms = []
        with self.autocast(batch):
            for m, real in batch.maps().items():
                fakes = torch.cat([fake.detach() for fake in self._fakes(outputs, m)])
                terms.append(plain_discriminator_loss(self.discriminator(m, real), self.discriminator(m, fakes)))
        return torch.stack(terms).sum()

    def generator_losses(self, outputs: Outputs, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Compute the loss terms whose weight is not 0, by name."""
        return {name: term(self, outputs, batch, rng) for name, term in self.losses.items() if self.loss_weights[name]}

    def adversarial_loss(self, outputs: Outputs, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute eq. 2, or for the standard loss, the sum of -log S of the fakes of both modalities."""
        with self.autocast(batch), frozen(self.discriminator):
            if self.options.adversarial == "standard":
                scores = [self.discriminator(m, torch.cat(self._fakes(outputs, m))) for m in Modality]
                return torch.stack([real_loss(logits) for logits in scores]).sum()
            with torch.no_grad():
                (visual,) = self._features(Modality.VISUAL, [batch.visual])
                (audio,) = self._features(Modality.AUDIO, [batch.audio])
            fake_visual = torch.cat(self._features(Modality.VISUAL, self._fakes(outputs, Modality.VISUAL)))
            fake_audio = torch.cat(self._features(Modality.AUDIO, self._fakes(outputs, Modality.AUDIO)))
            return joint_generator_loss(
                rvfa=self.discriminator(_repeat(visual, fake_audio), fake_audio),
                fvra=self.discriminator(fake_visual, _repeat(audio, fake_visual)),
            )

    def consistency_loss(self, outputs: Outputs, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute eq. 3: the sum over the paths of the distance to the ground truth of the path's last modality.

        If the paths are drawn, each stands for the two that it was drawn from.
        """
        paths = [path for path in PATHS if path in outputs.maps]
        return self._distances(outputs, batch, paths) * (len(self.options.paths) / len(paths))

    def direct_loss(self, outputs: Outputs, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute the same distance for the outputs of the four subnetworks; not in the paper."""
        return self._distances(outputs, batch, [s for s in SUBNETWORKS if s in outputs.maps])

    def class_loss(self, outputs: Outputs, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute the cross-entropy of the class, read from the codes of both inputs; not in the paper.

        Labels are used in training only, never to generate.
        """
        return torch.stack([self._cross_entropy(m, outputs.codes[m], batch.label) for m in Modality]).sum()

    def generated_class_loss(self, outputs: Outputs, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute the cross-entropy of the class, read from generated maps; not in the paper.

        The outputs of A2V and V2A are classified by frozen encoders and heads. Freezing keeps the classifier anchored
        to real samples, so the decoders cannot encode the class in patterns that only this classifier recognises. For
        the same reason the outputs are augmented if the inputs are. The codes of a path's first hop are classified too,
        and there the encoders learn: otherwise two-hop outputs lose the class.
        """
        generated = batch._replace(audio=outputs.maps["v2a"], visual=outputs.maps["a2v"])
        if self.options.augment:
            generated = augment(generated, rng)
        entropies = []
        for direction in Direction:
            m = direction.target
            encoder, head = self.network.encoders[m], self.heads[m]
            with frozen(encoder), frozen(head), self.autocast(batch):
                code = encoder(generated.maps()[m], direction)
                entropies.append(self._cross_entropy(m, code, batch.label))
        encoded = [s for s in SUBNETWORKS if s in outputs.codes]
        entropies += [self._cross_entropy(target_of(s), outputs.codes[s], batch.label) for s in encoded]
        return torch.stack(entropies).sum()

    def latent_loss(self, outputs: Outputs, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute the divergence (nats) of inferred latents from N(0, 1), over both modalities; not in the paper."""
        return torch.stack([kl_divergence(*self._infer(outputs.codes[m], m)) for m in Modality]).sum()

    #: The table of loss terms; see `Method.losses`. To add one, write its function above and enter it here.
    losses: ClassVar[Mapping[str, Callable[..., Tensor]]] = {
        "adversarial": adversarial_loss,
        "consistency": consistency_loss,
        "direct": direct_loss,
        "class": class_loss,
        "class_of_generated": generated_class_loss,
        "latent": latent_loss,
    }

    def validation_loss(self, network: Generators, batch: Batch, rng: torch.Generator) -> Tensor:
        """Compute the mean L1 of both translations to the ground truth."""
        maps = batch.maps()
        distances = [
            F.l1_loss(network.translate(d, maps[d.source], network.draw(len(batch.label), rng)), maps[d.target])
            for d in network.directions
        ]
        return torch.stack(distances).mean()

    def samples(self, network: Generators, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Return the ground truth, and both translations by every number of hops that is possible."""
        rows = {"picture": batch.visual, "sound": batch.audio}
        for direction in network.directions:
            source = batch.maps()[direction.source]
            for hops in network.possible_hops:
                z = network.draw(len(source), rng, hops)
                rows[TRANSLATIONS[hops][direction]] = network.translate(direction, source, z)
        return rows

    def _forward(self, batch: Batch, rng: torch.Generator) -> Outputs:
        """Encode the batch and run all subnetworks and paths that this step needs."""
        paths = self._draw_paths(rng)
        inputs = augment(batch, rng) if self.options.augment else batch
        with self.autocast(batch):
            codes = self.network.encode(inputs.maps())
            needed = [*TRANSLATIONS[1].values(), *(PATHS[path][0] for path in paths), *paths]
            routes = needed if self.options.draw_paths else [*SUBNETWORKS, *paths]
            drawn = self._draw_latents(routes, batch, rng)
            z = {route: self._latent(codes, route, drawn[route]) for route in routes}
            outputs: Outputs = self.network(codes, z, paths)
        return outputs

    def _draw_paths(self, rng: torch.Generator) -> list[str]:
        """Return the paths of this step, see `Options.draw_paths`."""
        if not self.options.draw_paths:
            return list(self.options.paths)
        choices = [[path for path in self.options.paths if target_of(path) is m] for m in Modality]
        return [paths[int(torch.randint(len(paths), (), generator=rng))] for paths in choices]

    def _draw_latents(self, routes: Sequence[str], batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Draw latents (B, Z) from N(0, 1) for each route; the same for all with `Options.one_latent`."""
        count = 1 if self.options.one_latent else len(routes)
        drawn = send(self.network.draw(len(batch.label), rng, hops=count), batch.visual.device)
        return dict(zip(routes, drawn.expand(len(routes), -1, -1), strict=True))

    def _latent(self, codes: Mapping[str, Tensor], route: str, drawn: Tensor) -> Tensor:
        """Return the latents (B, Z) of a decoding.

        They are the drawn ones, except those of the first pairs, which are inferred from the ground truth if
        `Options.posterior` says so.
        """
        if not self.options.posterior:
            return drawn
        count = self._supervised(len(drawn))
        mean, log_variance = self._infer(codes[target_of(route)][:count], target_of(route))
        return torch.cat([mean + drawn[:count] * (log_variance / 2).exp(), drawn[count:]])

    def _infer(self, codes: Tensor, modality: Modality) -> tuple[Tensor, Tensor]:
        """Infer the mean and the log variance (B, Z) of latents from codes (B, 64, 1, 1) of the ground truth."""
        inferred: Tensor = self.posteriors[modality](full_precision(codes).flatten(1))
        mean, log_variance = inferred.chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 4)

    def _supervised(self, pairs: int) -> int:
        """Return how many pairs of a batch, the first ones, have losses against the ground truth."""
        return max(1, round(self.options.posterior * pairs)) if self.options.posterior else pairs

    def _cross_entropy(self, modality: Modality, codes: Tensor, label: Tensor) -> Tensor:
        """Compute the cross-entropy of the class, read from codes (B, 64, 1, 1); a scalar."""
        return F.cross_entropy(self.heads[modality](full_precision(codes).flatten(1)), label)

    def _fakes(self, outputs: Outputs, modality: Modality) -> list[Tensor]:
        """Return the outputs of a modality that the discriminator gets as fakes."""
        routes = [route for kind in self.options.fakes for route in FAKES[kind] if target_of(route) is modality]
        return [outputs.maps[route] for route in routes if route in outputs.maps]

    def _features(self, modality: Modality, maps: list[Tensor]) -> list[Tensor]:
        """Compute the discriminator's features of each of several maps (B, C, H, W), in one call."""
        scorer = cast("PairScorer", self.discriminator)
        return list(scorer.features(modality, torch.cat(maps)).chunk(len(maps)))

    def _real_and_fake_features(self, modality: Modality, batch: Batch, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Compute the discriminator's features of the real maps (B, ...), and of all n kinds of fakes (n B, ...)."""
        fakes = [fake.detach() for fake in self._fakes(outputs, modality)]
        real, *fake = self._features(modality, [batch.maps()[modality], *fakes])
        return real, torch.cat(fake)

    def _distances(self, outputs: Outputs, batch: Batch, routes: Sequence[str]) -> Tensor:
        """Sum the distances of the routes' outputs to the ground truth, over the supervised pairs."""
        truth, count = batch.maps(), self._supervised(len(batch.label))
        distances = [self.distance(outputs.maps[r][:count], truth[target_of(r)][:count]) for r in routes]
        return torch.stack(distances).sum()


def _repeat(features: Tensor, fakes: Tensor) -> Tensor:
    """Repeat the features of real partners (B, ...) for n kinds of fakes (n B, ...)."""
    return features.repeat(len(fakes) // len(features), 1, 1, 1)


def _contradictions(config: Config, options: Options) -> list[str]:
    """List the settings that contradict one another."""
    weights, paths = config.loss_weights, set(options.paths)
    faults = []
    if options.hops == 2 and not {"a2a2v", "v2v2a"} <= paths:
        faults.append("options.hops=2 needs the paths a2a2v and v2v2a")
    if not paths and (weights.get("consistency") or "two-hop" in options.fakes):
        faults.append("loss_weights.consistency and two-hop in options.fakes need options.paths")
    if options.draw_paths and {target_of(path) for path in paths} != set(Modality):
        faults.append("options.draw_paths needs a path to each modality")
    if bool(options.posterior) != bool(weights.get("latent")):
        faults.append("set both options.posterior and loss_weights.latent, or neither")
    if options.posterior and not config.network.latent:
        faults.append("options.posterior needs a latent vector (network.latent)")
    if options.adversarial == "standard" and config.network.discriminator != "pair":
        faults.append(f"options.adversarial=standard has no discriminator of pairs ({config.network.discriminator})")
    routes = {route for kind in options.fakes for route in FAKES[kind] if kind == "direct" or route in paths}
    if weights.get("adversarial") and {target_of(route) for route in routes} != set(Modality):
        faults.append("options.fakes has no fakes of one modality; add direct, or paths that end in it")
    return faults
