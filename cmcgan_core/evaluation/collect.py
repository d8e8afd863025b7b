"""One pass over a split: every pair is translated once for each latent, and judged.

The translating network reads no label.

Shapes: K latents (1 for samples that need none), B pairs of a batch, N pairs; C channels, H, W size of a map.
"""

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.loader import Batch, to_batch
from cmcgan_core.data.mismatch import wrong_partners
from cmcgan_core.evaluation.judges import JudgePanel
from cmcgan_core.evaluation.memorisation import TrainingMaps
from cmcgan_core.evaluation.outputs import (
    Control,
    Copied,
    Generated,
    JudgeOutputs,
    OutputCollector,
    PairCase,
    PairInfo,
    Real,
    Recovered,
    Sample,
)
from cmcgan_core.evaluation.sample_metrics import METRICS, MapBatch, MapMetric
from cmcgan_core.inference.dynamic_classifier import require_classifier
from cmcgan_core.inference.translate import require_translator, to_network
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.batches import in_batches, spread_evenly

#: Largest number of pairs of a class that a metric "relative to the class" is computed on; they are spread evenly.
PER_CLASS = 100
#: Largest number of pairs whose codes are kept for the metrics of sets, and of those that the control by another class
#: draws from; they are spread evenly. Without a limit, the time would grow with the square of the split, because every
#: pair is compared with every other one, and the codes would fill the memory.
COMPARED = 5000


class EvaluationPass:
    """A translating network, a split, and a panel of judges.

    Args:
        trained: the translating network.
        panel: the judges.
        split: the pairs.
        latents: K. The rng of the k-th latent has seed + k, so a latent does not depend on K.
        seed: seed of the latents and of the controls.
        limit: largest number of pairs; they are spread evenly over the split. None for all.
    """

    def __init__(
        self,
        trained: Trained,
        panel: JudgePanel,
        split: PairDataset,
        *,
        latents: int,
        seed: int,
        limit: int | None = None,
    ) -> None:
        self.trained, self.panel, self.split = trained, panel, split
        self.items = spread_evenly(len(split), limit or len(split))
        self.network = require_translator(trained)
        self.directions = [direction for direction in Direction if direction in self.network.directions]
        self.latent_rngs = [torch.Generator().manual_seed(seed + k) for k in range(latents)]
        # Apart from the rngs of the latents: controls are drawn by class, and no label may change what is generated.
        self.control_rng = torch.Generator().manual_seed(seed)
        # Apart from both, so that recovering changes nothing else.
        self.recovery_rng = torch.Generator().manual_seed(seed)
        self.copy_rng = torch.Generator().manual_seed(seed)
        self.training = split.dataset.split("train")
        self.coded = spread_evenly(len(self.items), COMPARED)
        metrics = {name: METRICS.get(name) for name in METRICS.names()}
        self.map_metrics = {name: metric for name, metric in metrics.items() if isinstance(metric, MapMetric)}

    def run(self, *, full: bool, on_progress: OnProgress = silent, batch_size: int = 64) -> JudgeOutputs:
        """Translate and judge all pairs.

        Args:
            full: whether to compute everything; otherwise only the classes and codes of single samples.
            on_progress: called after every batch.
            batch_size: pairs per batch.
        """
        collector = OutputCollector(len(self.items), self.coded)
        done = 0
        for items in in_batches(self.items, batch_size):
            with torch.inference_mode():
                collector.add(self._process(items, full=full), len(items))
            done += len(items)
            on_progress(Progress(f"judging {self.split.split}", done, len(self.items), "pairs"))
        return collector.outputs

    def pair_info(self, *, full: bool, height: Tensor | None = None) -> PairInfo:
        """Return what is known about the pairs.

        Args:
            full: whether to compute everything; otherwise no metrics over sets of one class, which read pairs again.
            height: the heights of all pairs of the split.
        """
        return PairInfo(
            label=self.split.labels[self.items],
            recording=self.split.recordings[self.items],
            classes=len(self.split.classes),
            height=None if height is None else height[self.items],
            class_measures=self._measure_classes() if full else {},
            coded=torch.tensor(self.coded),
        )

    @cached_property
    def training_maps(self) -> TrainingMaps | None:
        """The training samples that generated ones may be copies of; None if the split is the training split itself."""
        if self.split.split == "train":
            return None
        return TrainingMaps(self.training, self.trained.about.config.network, self.trained.device)

    @cached_property
    def _training_of_class(self) -> list[Tensor]:
        """The positions of the training pairs of each class."""
        return _positions_by_class(self.training)

    @cached_property
    def _others(self) -> Tensor:
        """The positions in the split of the pairs that the control by another class draws from: some of each class."""
        chosen = []
        for items in _positions_by_class(self.split):
            count = max(1, COMPARED * len(items) // len(self.split))
            chosen.append(items[spread_evenly(len(items), count)])
        return torch.cat(chosen).sort().values

    def _measure_classes(self) -> dict[tuple[str, Modality], float]:
        """Compute the metrics that are relative to the class, over sets of real samples of one class each."""
        values: dict[tuple[str, Modality], list[float]] = {}
        metrics = {name: metric for name, metric in self.map_metrics.items() if metric.relative_to == "class"}
        positions = torch.tensor(self.items)
        for label in range(len(self.split.classes)):
            items = positions[self.split.labels[positions] == label].tolist()
            chosen = items[:: max(1, len(items) // PER_CLASS)][:PER_CLASS]
            if len(chosen) < 2 or not metrics:
                continue
            for modality, maps in self._read(chosen, self.trained.about.config.network).maps().items():
                batch = MapBatch(maps[:, None], maps[:1], self.split.settings)
                for name, metric in metrics.items():
                    values.setdefault((name, modality), []).append(float(metric.compute(batch).mean()))
        return {key: sum(of_classes) / len(of_classes) for key, of_classes in values.items()}

    def _process(self, items: list[int], *, full: bool) -> JudgeOutputs:
        outputs = JudgeOutputs()
        batch = self._read(items, self.trained.about.config.network)
        judged = batch if self._same_sizes() else self._read(items, self.panel.network)
        for modality, maps in judged.maps().items():
            self._judge(outputs, Real(modality), maps[None])
        if full:
            for modality, maps in batch.maps().items():
                self._measure(outputs, Real(modality), maps[None], maps)
            self._judge_pairs(outputs, PairCase(), judged.audio[None], judged.visual[None])
        for direction in self.directions:
            self._translate(outputs, direction, batch, judged, full=full)
        for direction in Direction:
            self._copy(outputs, direction)
        for modality, possible_hops in self.network.recovers.items():
            for hops in possible_hops:
                z = self.network.draw(len(items), self.recovery_rng, hops)
                recovered = self.network.recover(modality, batch.maps()[modality], z)
                self._judge(outputs, Recovered(modality, hops), recovered[None])
        return outputs

    def _translate(
        self, outputs: JudgeOutputs, direction: Direction, batch: Batch, judged: Batch, *, full: bool
    ) -> None:
        """Translate a batch by every number of hops, and judge the samples.

        Args:
            outputs: what the judges return is added to it.
            direction: direction of the translation.
            batch: at the sizes of the network.
            judged: the same pairs at the sizes of the judges.
            full: see `run`.
        """
        maps = batch.maps()
        source = maps[direction.source]
        for hops in self.network.possible_hops:
            latents = (self.network.draw(len(source), rng, hops) for rng in self.latent_rngs)
            generated = torch.stack([self.network.translate(direction, source, z) for z in latents])
            sample = Generated(direction, hops)
            self._judge(outputs, sample, generated)
            if full:
                self._measure(outputs, sample, generated, maps[direction.target])
            if full and hops == self.network.hops:
                self._complete(outputs, direction, judged, generated)

    def _copy(self, outputs: JudgeOutputs, direction: Direction) -> None:
        """Judge, for each input of a batch, a random training sample of the class that the main judge predicts for it.

        This is what a table of training samples and a classifier can do without a generating network.

        Args:
            outputs: has what the judges return for the inputs; what they return for the copies is added to it.
            direction: from the modality of the inputs to that of the copies.
        """
        main = next(iter(self.panel.judges))
        items = []
        for label in outputs.predicted[main, Real(direction.source)][0].tolist():
            of_class = self._training_of_class[label]
            # A judge does not know a class without training pairs; if it names one nevertheless, any sample will do.
            candidates = of_class if len(of_class) else torch.arange(len(self.training))
            items.append(int(candidates[torch.randint(len(candidates), (1,), generator=self.copy_rng)]))
        stored = self.training.read(items)
        copied = to_batch(stored, self.panel.network, self.training.settings, self.trained.device)
        self._judge(outputs, Copied(direction), copied.maps()[direction.target][None])

    def _judge(self, outputs: JudgeOutputs, sample: Sample, maps: Tensor) -> None:
        """Add what the judges return for maps (K, B, C, H, W)."""
        flat = maps.flatten(0, 1)
        for name, judge in self.panel.judges.items():
            codes, predicted = judge.predict({sample.modality: flat})
            outputs.codes[name, sample] = _by_latent(codes, maps)
            outputs.predicted[name, sample] = _by_latent(predicted, maps)
        if self.panel.pose is not None and sample.modality is Modality.VISUAL:
            outputs.heights[sample] = _by_latent(self.panel.pose(flat), maps)

    def _measure(self, outputs: JudgeOutputs, sample: Real | Generated, maps: Tensor, real: Tensor) -> None:
        """Add the metrics of maps (K, B, C, H, W) that apply; `real` are the real maps (B, C, H, W) of the pairs."""
        settings = self.trained.about.settings
        batch = MapBatch(maps, real, settings)
        for name, metric in self.map_metrics.items():
            if metric.needs.met_by(sample.modality, settings, latents=len(maps), real=isinstance(sample, Real)):
                outputs.measures[name, sample] = metric.compute(batch).cpu()
        if self.training_maps is not None:
            distance, _ = self.training_maps.find_nearest(sample.modality, maps.flatten(0, 1))
            outputs.nearest[sample] = _by_latent(distance, maps)

    def _complete(self, outputs: JudgeOutputs, direction: Direction, judged: Batch, generated: Tensor) -> None:
        """Add what the classifiers of pairs return for pairs with a generated modality, and for the controls."""
        for control, maps in self._replacements(direction, judged.host_label, generated):
            audio, visual = judged.audio[None], judged.visual[None]
            if direction.target is Modality.VISUAL:
                visual = maps
            else:
                audio = maps
            self._judge_pairs(outputs, PairCase(direction, control), audio, visual)

    def _replacements(
        self, direction: Direction, label: Tensor, generated: Tensor
    ) -> Iterator[tuple[Control | None, Tensor]]:
        """Yield the generated maps (K, B, C, H, W), and the maps (1, B, C, H, W) of each control."""
        yield None, generated
        first = generated[:1]
        yield Control.CONSTANT, torch.zeros_like(first)
        others = self._others[wrong_partners(label, self.control_rng, among=self.split.labels[self._others])]
        other = self._read(others.tolist(), self.trained.about.config.network)
        source = other.maps()[direction.source]
        z = self.network.draw(len(source), self.control_rng)
        yield Control.OTHER_CLASS, self.network.translate(direction, source, z)[None]
        yield Control.NOISE, torch.rand(first.shape, generator=self.control_rng).to(first.device) * 2 - 1

    def _judge_pairs(self, outputs: JudgeOutputs, case: PairCase, audio: Tensor, visual: Tensor) -> None:
        """Add what the classifiers of pairs return for sounds and pictures (K or 1, B, C, H, W)."""
        larger = audio if len(audio) > len(visual) else visual
        maps = {
            modality: part.expand(len(larger), *part.shape[1:]).flatten(0, 1)
            for modality, part in ((Modality.AUDIO, audio), (Modality.VISUAL, visual))
        }
        for name, classifier in self.panel.pairs.items():
            read = {modality: to_network(classifier, part) for modality, part in maps.items()}
            predicted = require_classifier(classifier)(read).argmax(dim=1)
            outputs.pairs[name, case] = _by_latent(predicted, larger)

    def _same_sizes(self) -> bool:
        own, judges = self.trained.about.config.network, self.panel.network
        return all(own.size(modality) == judges.size(modality) for modality in Modality)

    def _read(self, items: list[int], network: NetworkConfig) -> Batch:
        return to_batch(self.split.read(items), network, self.split.settings, self.trained.device)


def _positions_by_class(split: PairDataset) -> list[Tensor]:
    """Return the positions of the pairs of each class of a split."""
    return [(split.labels == label).nonzero().flatten() for label in range(len(split.classes))]


def _by_latent(values: Tensor, like: Tensor) -> Tensor:
    """Return values (K B, ...) as (K, B, ...) on the CPU; K and B are the first sizes of `like`."""
    return values.reshape(*like.shape[:2], *values.shape[1:]).cpu()
