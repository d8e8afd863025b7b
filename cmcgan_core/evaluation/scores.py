"""Scores of generated samples, from the outputs of judges and metrics. `docs/evaluation.md` defines every figure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from cmcgan_core.evaluation import metrics
from cmcgan_core.evaluation.labels import REAL
from cmcgan_core.evaluation.outputs import (
    Copied,
    Generated,
    JudgeOutputs,
    PairClassifier,
    PairInfo,
    Real,
    Recovered,
    Sample,
)
from cmcgan_core.evaluation.sample_metrics import METRICS, MapMetric, Metric, Quality, SampleSet, SetMetric
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.modality import Direction, Modality


@dataclass(frozen=True)
class Accuracy:
    """Share of items whose predicted class is right; the mean over the latents.

    Attributes:
        micro: over all items.
        balanced: mean of the accuracies by class.
        micro_interval, balanced_interval: 95 % interval, see `metrics.bootstrap_interval`.
    """

    micro: float
    balanced: float
    micro_interval: tuple[float, float] | None
    balanced_interval: tuple[float, float] | None


@dataclass(frozen=True)
class ClassScores:
    """Scores of the samples of one class and direction.

    Attributes:
        pairs: number of pairs.
        accuracy: share of samples whose predicted class is right, by judge (name of its preset); mean over the latents.
        unlikeness: median distance of the real inputs to the nearest training sample, see `memorisation.TrainingMaps`:
            how much they differ from what the network was trained on. None if the training split itself is evaluated.
    """

    pairs: int
    accuracy: dict[str, float]
    unlikeness: float | None


@dataclass(frozen=True)
class JudgeScores:
    """Scores by one judge.

    Attributes:
        real: accuracy on real samples, by modality and split: the ceiling of the rows of Table 1.
        table1: accuracy on generated samples, by direction, number of hops ("1", "2") and split.
        recovered: accuracy on recovered samples, by modality, number of hops ("1", "2") and split, with one latent
            each: R_Image and R_Sound of CMCGAN's Figure 1 (one hop), RF_Image and RF_Sound (two).
        copied: accuracy on training samples that were copied, by direction and split, see `outputs.Copied`: the control
            of the rows of Table 1.
        quality: metrics that read this judge's outputs, by direction and kind of samples, see `labels.KINDS`.
    """

    real: dict[Modality, dict[str, Accuracy]] = field(default_factory=dict)
    table1: dict[Direction, dict[str, dict[str, Accuracy]]] = field(default_factory=dict)
    recovered: dict[Modality, dict[str, dict[str, Accuracy]]] = field(default_factory=dict)
    copied: dict[Direction, dict[str, Accuracy]] = field(default_factory=dict)
    quality: dict[Direction, dict[str, Quality]] = field(default_factory=dict)


class Scores:
    """Computes scores from the outputs for one split.

    Args:
        outputs: outputs of judges and metrics for the pairs of the split.
        pairs: what is known about the pairs.
        settings: feature settings of the spectrograms.
        seed: seed of the bootstrap.
        training: outputs for pairs of the training split, which give the distances of real samples; None for none.
    """

    def __init__(
        self,
        outputs: JudgeOutputs,
        pairs: PairInfo,
        settings: FeatureSettings,
        *,
        seed: int,
        training: JudgeOutputs | None = None,
    ) -> None:
        self.outputs, self.pairs, self.settings = outputs, pairs, settings
        self.seed, self.training = seed, training

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """All metrics by name."""
        return {name: METRICS.get(name) for name in METRICS.names()}

    @cached_property
    def kinds(self) -> dict[Direction, dict[str, Real | Generated]]:
        """The generated samples by direction and number of hops, and the real samples of each direction's target."""
        kinds: dict[Direction, dict[str, Real | Generated]] = {}
        for sample in dict.fromkeys(sample for _, sample in self.outputs.predicted):
            if isinstance(sample, Generated):
                kinds.setdefault(sample.direction, {})[str(sample.hops)] = sample
        return {direction: {**by_hops, REAL: Real(direction.target)} for direction, by_hops in kinds.items()}

    def accuracy(self, judge: str, sample: Sample) -> Accuracy:
        """Compute the accuracy of a judge on samples."""
        return self._accuracy(self.outputs.predicted[judge, sample])

    def table2(self, classifier: PairClassifier) -> dict[str, Accuracy]:
        """Compute the rows of pairs of Table 2 by name; none if there is no such classifier."""
        rows = {case: predicted for (other, case), predicted in self.outputs.pairs.items() if other == classifier}
        return {case.name: self._accuracy(predicted) for case, predicted in rows.items()}

    def confusion(self, judge: str, sample: Sample) -> list[list[int]]:
        """Count over all latents: the row is the true class, the column the judge's class."""
        predicted = self.outputs.predicted[judge, sample]
        label = self.pairs.label.repeat(len(predicted))
        counts: list[list[int]] = metrics.confusion_matrix(predicted.flatten(), label, self.pairs.classes).tolist()
        return counts

    def by_class(self, sample: Generated) -> dict[int, ClassScores]:
        """Compute the scores of samples by the index of each class that has pairs."""
        nearest = self.outputs.nearest.get(Real(sample.direction.source))
        scores = {}
        for label in sorted(set(self.pairs.label.tolist())):
            members = self.pairs.label == label
            accuracy = {
                judge: float((predicted[:, members] == label).double().mean())
                for (judge, other), predicted in self.outputs.predicted.items()
                if other == sample
            }
            unlikeness = None if nearest is None else float(nearest[0, members].median())
            scores[label] = ClassScores(int(members.sum()), accuracy, unlikeness)
        return scores

    def quality(self, judge: str, sample: Real | Generated) -> Quality:
        """Compute all metrics of samples, in the order of `METRICS`."""
        return self.merge_quality(self.map_quality(sample), self.set_quality(judge, sample))

    def merge_quality(self, *parts: Quality) -> Quality:
        """Merge parts of a quality, in the order of `METRICS`."""
        merged = {name: value for part in parts for name, value in part.items()}
        return {name: merged.get(name) for name in self.metrics}

    def map_quality(self, sample: Real | Generated) -> Quality:
        """Compute the metrics that read spectrograms or pictures."""
        kinds = {name: metric for name, metric in self.metrics.items() if isinstance(metric, MapMetric)}
        return {name: self._mean_measure(name, metric, sample) for name, metric in kinds.items()}

    def set_quality(self, judge: str, sample: Real | Generated) -> Quality:
        """Compute the metrics that read the outputs of a judge: means over the latents."""
        sets = self._sample_sets(judge, sample)
        return {
            name: mean_of_known(metric.compute(samples) for samples in sets) if self._applies(metric, sample) else None
            for name, metric in self.metrics.items()
            if isinstance(metric, SetMetric)
        }

    def _applies(self, metric: Metric, sample: Real | Generated) -> bool:
        real = isinstance(sample, Real)
        latents = max((len(codes) for (_, other), codes in self.outputs.codes.items() if other == sample), default=0)
        return metric.needs.met_by(sample.modality, self.settings, latents=latents, real=real)

    def _mean_measure(self, name: str, metric: MapMetric, sample: Real | Generated) -> float | None:
        """Average a metric over pairs and latents, relative to real samples if the metric says so."""
        real = Real(sample.modality)
        reference = self._mean(name, real)
        if metric.relative_to == "class":
            reference = self.pairs.class_measures.get((name, sample.modality))
        value = reference if sample == real else self._mean(name, sample)
        if metric.relative_to is None or value is None:
            return value
        return value / reference if reference else None

    def _mean(self, name: str, sample: Sample) -> float | None:
        values = self.outputs.measures.get((name, sample))
        return None if values is None else float(values.double().mean())

    def _sample_sets(self, judge: str, sample: Real | Generated) -> list[SampleSet]:
        """Make one set for each latent, of the pairs whose codes are kept."""
        real = Real(sample.modality)
        nearest, real_nearest = self.outputs.nearest.get(sample), self.outputs.nearest.get(real)
        coded = slice(None) if self.pairs.coded is None else self.pairs.coded
        return [
            SampleSet(
                real=sample == real,
                codes=codes,
                predicted=predicted[coded],
                real_codes=self.outputs.codes[judge, real][0],
                training_codes=None if self.training is None else self.training.codes[judge, real][0],
                label=self.pairs.label[coded],
                recording=self.pairs.recording[coded],
                nearest=None if nearest is None else nearest[k, coded],
                real_nearest=None if real_nearest is None else real_nearest[0, coded],
            )
            for k, (codes, predicted) in enumerate(
                zip(self.outputs.codes[judge, sample], self.outputs.predicted[judge, sample], strict=True)
            )
        ]

    def _accuracy(self, predicted: Tensor) -> Accuracy:
        return accuracy_of(predicted, self.pairs, self.seed)


def accuracy_of(predicted: Tensor, pairs: PairInfo, seed: int) -> Accuracy:
    """Compute the accuracy of class indices (K, N) of pairs."""
    right = (predicted == pairs.label).double().mean(dim=0)
    balanced = [metrics.balanced_accuracy(latent, pairs.label, pairs.classes) for latent in predicted]
    return Accuracy(
        micro=float(right.mean()),
        balanced=sum(balanced) / len(balanced),
        micro_interval=metrics.bootstrap_interval(right, pairs.recording, seed=seed),
        balanced_interval=metrics.bootstrap_interval(right, pairs.recording, pairs.label, seed=seed),
    )


def judge_scores(judge: str, by_split: Mapping[str, Scores], split: str) -> JudgeScores:
    """Compute the scores by one judge.

    Args:
        judge: name of its preset.
        by_split: scores of the evaluated split, and of the training split.
        split: name of the evaluated split.
    """
    scores = by_split[split]

    def accuracies(sample: Sample) -> dict[str, Accuracy]:
        return {name: part.accuracy(judge, sample) for name, part in by_split.items()}

    samples = [sample for name, sample in scores.outputs.predicted if name == judge]
    recovered: dict[Modality, dict[str, dict[str, Accuracy]]] = {}
    for sample in samples:
        if isinstance(sample, Recovered):
            recovered.setdefault(sample.modality, {})[str(sample.hops)] = accuracies(sample)
    return JudgeScores(
        real={sample.modality: accuracies(sample) for sample in samples if isinstance(sample, Real)},
        table1={
            direction: {kind: accuracies(sample) for kind, sample in kinds.items() if kind != REAL}
            for direction, kinds in scores.kinds.items()
        },
        recovered=recovered,
        copied={sample.direction: accuracies(sample) for sample in samples if isinstance(sample, Copied)},
        quality={
            direction: {kind: scores.set_quality(judge, sample) for kind, sample in kinds.items()}
            for direction, kinds in scores.kinds.items()
        },
    )


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Average the values that are not None; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
