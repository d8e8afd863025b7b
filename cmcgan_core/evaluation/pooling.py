"""Evaluations of several runs of one recipe, pooled: means, with deviations over the seeds."""

import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cmcgan_core.evaluation.metrics import Ranking
from cmcgan_core.evaluation.outputs import PairClassifier
from cmcgan_core.evaluation.pose_scores import PoseScore
from cmcgan_core.evaluation.results import Evaluation
from cmcgan_core.evaluation.retrieval import CrossModalRetrieval
from cmcgan_core.evaluation.scores import Accuracy, JudgeScores
from cmcgan_core.modality import Direction, Modality

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Pooled = TypeVar("Pooled")


@dataclass(frozen=True)
class Figure:
    """A figure of one run, or of several runs that differ only in their seeds.

    Attributes:
        value: value of the run, or the mean over the runs.
        deviation: sample standard deviation (n - 1) over the runs; None for one run.
        interval: 95 % interval over the recordings; None if there is none. Runs of one recipe are judged on the same
            recordings, so this is the mean of the lower and the mean of the upper ends of their intervals.
    """

    value: float
    deviation: float | None = None
    interval: tuple[float, float] | None = None

    def text(self, spec: str, gap: str = " ") -> str:
        """Return the value with its deviation and its interval, if it has them: 0.512 (0.010) [.45 .57].

        Args:
            spec: format specification of the value, as ".3f".
            gap: text between the ends of the interval.
        """
        parts = [format(self.value, spec)]
        if self.deviation is not None:
            parts.append(f"({format(self.deviation, '.2g' if spec.endswith('g') else spec)})")
        if self.interval is not None:
            low, high = (f"{end:.2f}".removeprefix("0") for end in self.interval)
            parts.append(f"[{low}{gap}{high}]")
        return " ".join(parts)


#: Pooled figures of samples, by name of the metric.
PooledQuality = dict[str, Figure | None]


@dataclass(frozen=True)
class PooledAccuracy:
    """An `Accuracy` of several runs."""

    micro: Figure
    balanced: Figure


@dataclass(frozen=True)
class PooledJudgeScores:
    """The `JudgeScores` of several runs."""

    real: dict[Modality, dict[str, PooledAccuracy]]
    table1: dict[Direction, dict[str, dict[str, PooledAccuracy]]]
    recovered: dict[Modality, dict[str, dict[str, PooledAccuracy]]]
    copied: dict[Direction, dict[str, PooledAccuracy]]
    quality: dict[Direction, dict[str, PooledQuality]]


@dataclass(frozen=True)
class PooledPoseScore:
    """A `PoseScore` of several runs."""

    real: Figure
    generated: Figure | None
    another_sound: Figure | None


@dataclass(frozen=True)
class PooledRanking:
    """A `Ranking` of several runs."""

    recall: dict[str, Figure]
    mean_average_precision: Figure


@dataclass(frozen=True)
class PooledRetrieval:
    """A `CrossModalRetrieval` of several runs."""

    ranking: dict[Direction, PooledRanking]
    chance: PooledRanking


@dataclass(frozen=True)
class PooledEvaluation:
    """The figures of several evaluations; the names are those of `Evaluation`."""

    real: dict[Modality, dict[str, PooledAccuracy]]
    table1: dict[Direction, dict[str, dict[str, PooledAccuracy]]]
    recovered: dict[Modality, dict[str, dict[str, PooledAccuracy]]]
    copied: dict[Direction, dict[str, PooledAccuracy]]
    other_judges: dict[str, PooledJudgeScores]
    quality: dict[Direction, dict[str, PooledQuality]]
    table2: dict[str, PooledAccuracy]
    other_table2: dict[PairClassifier, dict[str, PooledAccuracy]]
    poses: dict[str, PooledPoseScore]
    retrieval: PooledRetrieval | None
    classification: dict[str, PooledAccuracy]


def pool_evaluations(evaluations: Sequence[Evaluation]) -> PooledEvaluation:
    """Pool evaluations on the same pairs. Tables keep the rows that all of them have."""
    retrieval = [evaluation.retrieval for evaluation in evaluations]
    known = [item for item in retrieval if item is not None]
    accuracies = [item.classification.accuracy if item.classification else {} for item in evaluations]
    return PooledEvaluation(
        real=_pool_by(_by_name)([item.real for item in evaluations]),
        table1=_pool_by(_pool_by(_by_name))([item.table1 for item in evaluations]),
        recovered=_pool_by(_pool_by(_by_name))([item.recovered for item in evaluations]),
        copied=_pool_by(_by_name)([item.copied for item in evaluations]),
        other_judges=_pool_by(_pool_judge_scores)([item.other_judges for item in evaluations]),
        quality=_pool_by(_pool_by(pool_quality))([item.quality for item in evaluations]),
        table2=pool_accuracies([item.table2 for item in evaluations]),
        other_table2=_pool_by(_by_name)([item.other_table2 for item in evaluations]),
        poses=_pool_rows([item.poses for item in evaluations], _pool_pose_score),
        retrieval=_pool_retrieval(known) if len(known) == len(retrieval) else None,
        classification=pool_accuracies(accuracies),
    )


def pool_figures(values: Sequence[float | None]) -> Figure | None:
    """Pool the values of several runs; None if a run has none."""
    known = [value for value in values if value is not None]
    return _pool_values(known) if len(known) == len(values) else None


def pool_accuracies(rows: Sequence[Mapping[Key, Accuracy]]) -> dict[Key, PooledAccuracy]:
    """Pool rows of accuracies of several runs; keep the rows that all of them have."""
    return _pool_rows(rows, _pool_accuracy)


def pool_quality(qualities: Sequence[Mapping[str, float | None]]) -> PooledQuality:
    """Pool the figures of samples of several runs, by name of the metric."""
    return _pool_rows(qualities, pool_figures)


def _pool_rows(rows: Sequence[Mapping[Key, Value]], pool: Callable[[list[Value]], Pooled]) -> dict[Key, Pooled]:
    """Pool the rows that all runs have."""
    shared = [key for key in rows[0] if all(key in others for others in rows)]
    return {key: pool([others[key] for others in rows]) for key in shared}


def _pool_by(
    pool: Callable[[list[Value]], Pooled],
) -> Callable[[Sequence[Mapping[Key, Value]]], dict[Key, Pooled]]:
    """Return a function that pools the rows that all runs have, each with `pool`."""
    return partial(_pool_rows, pool=pool)


def _pool_accuracy(accuracies: Sequence[Accuracy]) -> PooledAccuracy:
    accuracies = _varying(accuracies)
    return PooledAccuracy(
        micro=figure_of([item.micro for item in accuracies], [item.micro_interval for item in accuracies]),
        balanced=figure_of([item.balanced for item in accuracies], [item.balanced_interval for item in accuracies]),
    )


def _by_name(named: Sequence[Mapping[str, Accuracy]]) -> dict[str, PooledAccuracy]:
    """Pool accuracies by name of their split or row."""
    return pool_accuracies(named)


def _pool_judge_scores(scores: Sequence[JudgeScores]) -> PooledJudgeScores:
    return PooledJudgeScores(
        real=_pool_by(_by_name)([item.real for item in scores]),
        table1=_pool_by(_pool_by(_by_name))([item.table1 for item in scores]),
        recovered=_pool_by(_pool_by(_by_name))([item.recovered for item in scores]),
        copied=_pool_by(_by_name)([item.copied for item in scores]),
        quality=_pool_by(_pool_by(pool_quality))([item.quality for item in scores]),
    )


def _pool_pose_score(scores: Sequence[PoseScore]) -> PooledPoseScore:
    generated = [score.generated for score in scores if score.generated is not None]
    return PooledPoseScore(
        real=_pool_values([score.real for score in scores]),
        generated=figure_of(generated, [score.interval for score in scores]) if len(generated) == len(scores) else None,
        another_sound=pool_figures([score.another_sound for score in scores]),
    )


def _pool_retrieval(retrieval: Sequence[CrossModalRetrieval]) -> PooledRetrieval:
    return PooledRetrieval(
        ranking=_pool_rows([item.ranking for item in retrieval], _pool_ranking),
        chance=_pool_ranking([item.chance for item in retrieval]),
    )


def _pool_ranking(rankings: Sequence[Ranking]) -> PooledRanking:
    return PooledRanking(
        recall=_pool_rows([item.recall for item in rankings], _pool_values),
        mean_average_precision=_pool_values([item.mean_average_precision for item in rankings]),
    )


def _pool_values(values: Sequence[float]) -> Figure:
    return figure_of(_varying(values))


def _varying(items: Sequence[Value]) -> Sequence[Value]:
    """Return one item if all are equal: figures of real samples do not vary with the seed, so have no deviation."""
    return items[:1] if all(item == items[0] for item in items) else items


def figure_of(values: Sequence[float], intervals: Sequence[tuple[float, float] | None] = ()) -> Figure:
    """Pool values of several runs, and their intervals over the recordings."""
    known = [interval for interval in intervals if interval is not None]
    ends = [statistics.fmean(end) for end in zip(*known, strict=True)]
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Figure(statistics.fmean(values), deviation, (ends[0], ends[1]) if known else None)
