"""One pass over a split: every pair is translated once a latent, and everything is judged. No label takes part.

What is found is tensors (K, N, ...) by name: K latents, or 1 where none is drawn, and N pairs. A name is a tuple:

- ("class", judge, sample): class that a judge sees; ("code", judge, sample): its code.
- ("height", sample): what the pose judge sees in a picture, for every class that it may be of: (K, N, classes).
- ("energy", sample): high-frequency energy; ("l1" | "ssim" | "decibels" | "diversity", sample): against the truth, and
  over the latents.

Samples are called "v" and "a" where they are real, "a2v 1" or "v2a 2" (direction and hops) where they are generated,
"v recovered" or "a recovered" where they have gone through the other modality and back, and "V-A", "GV-A", "GA-V",
"GV-A noise", ... where a picture and a sound are judged together.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.loader import Batch, to_batch
from cmcgan_core.data.mismatch import wrong_partners
from cmcgan_core.evaluation import metrics
from cmcgan_core.evaluation.judges import JudgePanel
from cmcgan_core.evaluation.outputs import CONTROLS, TABLE_NAMES, JudgeOutputs, Name
from cmcgan_core.features.representations import REPRESENTATIONS
from cmcgan_core.inference.translate import require_translator
from cmcgan_core.progress import OnProgress, Progress, silent

#: Pairs of a class that the spread within it is measured on, spread evenly.
WITHIN = 100


class EvaluationPass:
    """A model, a split, and whoever judges the one on the other.

    Args:
        trained: the generating model.
        panel: the judges.
        dataset: a split.
        latents: K; the k-th latents are drawn by a generator of seed + k, so they do not depend on K.
        seed: of latents and stand-ins.
        most: at most so many pairs, spread evenly.
    """

    def __init__(
        self,
        trained: Trained,
        panel: JudgePanel,
        dataset: PairDataset,
        *,
        latents: int,
        seed: int,
        most: int | None = None,
    ) -> None:
        self.trained, self.panel, self.dataset = trained, panel, dataset
        count = min(most or len(dataset), len(dataset))
        self.items = torch.linspace(0, len(dataset) - 1, count).round().long().tolist()
        self.network = require_translator(trained)
        self.latents = [torch.Generator().manual_seed(seed + k) for k in range(latents)]
        # Apart from the latents', as stand-ins are drawn by class, and no label may change what is generated.
        self.stand_ins = torch.Generator().manual_seed(seed)
        # Apart from both, so that whether a model recovers anything changes nothing else.
        self.recovering = torch.Generator().manual_seed(seed)
        self.device = next(trained.network.parameters()).device

    @property
    def directions(self) -> dict[str, str]:
        """What the model does of "a2v" and "v2a", and its name in the papers' tables."""
        return {direction: name for direction, name in TABLE_NAMES.items() if direction in self.network.directions}

    def run(self, *, full: bool, on_progress: OnProgress = silent, batch_size: int = 64) -> JudgeOutputs:
        """Judge all pairs.

        Args:
            full: everything; otherwise only what single judges see.
            on_progress: told after every batch.
            batch_size: pairs at a time.
        """
        found: dict[Name, list[Tensor]] = {}
        for first in range(0, len(self.items), batch_size):
            items = self.items[first : first + batch_size]
            with torch.inference_mode():
                for name, values in self._judge_batch(items, full=full):
                    found.setdefault(name, []).append(values.cpu())
            on_progress(Progress(f"judging {self.dataset.split}", first + len(items), len(self.items), "pairs"))
        return {name: torch.cat(parts, dim=1) for name, parts in found.items()}

    def diversity_within_classes(self, modality: str) -> float | None:
        """`metrics.diversity` of real maps of one class, "v" or "a", mean over the classes with two pairs or more."""
        spreads = []
        for label in range(len(self.dataset.classes)):
            items = [i for i in self.items if self.dataset.labels[i] == label]
            chosen = items[:: max(1, len(items) // WITHIN)][:WITHIN]
            if len(chosen) > 1:
                batch = self._batch(chosen, self.trained.about.config.network)
                spreads.append(metrics.diversity(batch.visual if modality == "v" else batch.audio))
        return sum(spreads) / len(spreads) if spreads else None

    def _judge_batch(self, items: list[int], *, full: bool) -> Iterator[tuple[Name, Tensor]]:
        batch = self._batch(items, self.trained.about.config.network)
        real = batch if self._same_sizes() else self._batch(items, self.panel.network)
        yield from self._judged("v", real.visual[None])
        yield from self._judged("a", real.audio[None])
        if full:
            yield ("energy", "v"), metrics.high_frequency_energy(batch.visual)[None]
            yield ("energy", "a"), metrics.high_frequency_energy(batch.audio)[None]
            yield from self._together("V-A", real.audio[None], real.visual[None])
        sides = {"a": batch.audio, "v": batch.visual}
        for direction in self.directions:
            source, truth = sides[direction[0]], sides[direction[-1]]
            for hops in self.network.possible_hops:
                latents = (self.network.draw(len(source), rng, hops) for rng in self.latents)
                made = torch.stack([self.network.translate(direction, source, z) for z in latents])
                yield from self._judged(f"{direction} {hops}", made)
                if full:
                    yield from self._compared(f"{direction} {hops}", made, truth)
                if full and hops == self.network.hops:
                    yield from self._completed(direction, real, made)
        for modality in self.network.recovers:
            z = self.network.draw(len(items), self.recovering, hops=2)
            recovered = self.network.recover(modality, sides[modality], z)
            yield from self._judged(f"{modality} recovered", recovered[None])

    def _judged(self, sample: str, maps: Tensor) -> Iterator[tuple[Name, Tensor]]:
        """What single judges see in maps (K, B, C, H, W)."""
        modality, kind = ("a", "audio") if maps.shape[2] == 1 else ("v", "visual")
        flat = maps.flatten(0, 1)
        for judge, by_modality in self.panel.single.items():
            codes, seen = by_modality[modality].predict(**{kind: flat})
            yield ("code", judge, sample), _apart(codes, maps)
            yield ("class", judge, sample), _apart(seen, maps)
        if self.panel.pose is not None and modality == "v":
            yield ("height", sample), _apart(self.panel.pose(flat), maps)

    def _compared(self, sample: str, made: Tensor, truth: Tensor) -> Iterator[tuple[Name, Tensor]]:
        """Generated maps (K, B, C, H, W) beside the truth (B, C, H, W), and beside each other."""
        flat, real = made.flatten(0, 1), truth.repeat(len(made), 1, 1, 1)
        yield ("l1", sample), _apart(metrics.l1_distance(flat, real), made)
        settings = self.trained.about.settings
        if truth.shape[1] == 1 and REPRESENTATIONS.get(settings.representation).decibels:
            distance = metrics.log_spectral_distance(flat, real, settings)
            yield ("decibels", sample), _apart(distance, made)
        elif truth.shape[1] == 3:
            yield ("ssim", sample), _apart(metrics.ssim(flat, real), made)
        yield ("energy", sample), _apart(metrics.high_frequency_energy(flat), made)
        if len(made) > 1:
            yield ("diversity", sample), torch.full((1, len(truth)), metrics.diversity(made))

    def _completed(self, direction: str, real: Batch, made: Tensor) -> Iterator[tuple[Name, Tensor]]:
        """GV-A (sound and generated picture) or GA-V (picture and generated sound), and the controls."""
        for name, stand_in in self._stand_ins(direction, real.label, made):
            if direction == "a2v":
                yield from self._together(f"GV-A{name}", real.audio[None], stand_in)
            else:
                yield from self._together(f"GA-V{name}", stand_in, real.visual[None])

    def _stand_ins(self, direction: str, label: Tensor, made: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield "", made
        one = made[:1]
        yield f" {CONTROLS[0]}", torch.zeros_like(one)
        others = wrong_partners(label.cpu(), self.stand_ins, among=self.dataset.labels)
        other = self._batch(others.tolist(), self.trained.about.config.network)
        source = other.audio if direction == "a2v" else other.visual
        z = self.network.draw(len(source), self.stand_ins)
        yield f" {CONTROLS[1]}", self.network.translate(direction, source, z)[None]
        yield f" {CONTROLS[2]}", torch.rand(one.shape, generator=self.stand_ins).to(one.device) * 2 - 1

    def _together(self, sample: str, audio: Tensor, visual: Tensor) -> Iterator[tuple[Name, Tensor]]:
        """What the classifiers of pairs see in sounds and pictures (K or 1, B, C, H, W)."""
        most = audio if len(audio) > len(visual) else visual
        flat = {
            kind: maps.expand(len(most), *maps.shape[1:]).flatten(0, 1)
            for kind, maps in (("audio", audio), ("visual", visual))
        }
        for name, judge in self.panel.fusion.items():
            yield ("class", name, sample), _apart(judge.predict(**flat)[1], most)

    def _same_sizes(self) -> bool:
        mine, theirs = self.trained.about.config.network, self.panel.network
        return (mine.picture_size, mine.spectrogram_size) == (theirs.picture_size, theirs.spectrogram_size)

    def _batch(self, items: list[int], network: NetworkConfig) -> Batch:
        return to_batch(self.dataset.read(items), network, self.dataset.settings, self.device)


def _apart(values: Tensor, like: Tensor) -> Tensor:
    """Values (K B, ...) of K latents and B pairs as (K, B, ...), as those that they are like."""
    return values.reshape(*like.shape[:2], *values.shape[1:])
