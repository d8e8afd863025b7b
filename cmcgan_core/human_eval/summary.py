"""Summarise answers: means with intervals, tests between models, agreement, attention checks and published results."""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from cmcgan_core.human_eval.designs import RATED_MODALITIES, Design
from cmcgan_core.human_eval.statistics import (
    Array,
    Interval,
    adjust_holm,
    cluster_bootstrap,
    count_raters_needed,
    krippendorff_alpha,
    sign_flip_test,
    wilson_interval,
)
from cmcgan_core.human_eval.store import Answer, Store, StudyItem
from cmcgan_core.human_eval.study import RatingStudy

#: The CMCGAN paper's prefix of a rate's name: I-AST is the rate of pictures, S-AST the rate of sounds.
RATE_PREFIXES = {"picture": "I", "sound": "S"}


class Score(NamedTuple):
    """The part of an answer that concerns one model. A preference gives two scores, one for each candidate's model.

    Attributes:
        rater: id of the rater.
        pair: name of the real pair.
        modality: modality of the candidates.
        model: name of the model that is scored.
        rival: name of the model it was compared with, "" without one.
        value: the answer, one of `Design.values`. In a preference, 1 means that `model` was preferred.
    """

    rater: str
    pair: str
    modality: str
    model: str
    rival: str
    value: int


@dataclass(frozen=True)
class ModelRow:
    """The mean of one measure over a model's answers.

    Attributes:
        model: name of the model.
        modality: modality of its samples.
        measure: name of the measure, as the paper writes it ("I-AST").
        answers: number of answers.
        raters: number of raters who gave them.
        mean: mean over the answers.
        wilson: Wilson's interval, which assumes independent answers; None if the measure is not a rate.
        bootstrap: interval from resampling raters; None with fewer than two raters.
    """

    model: str
    modality: str
    measure: str
    answers: int
    raters: int
    mean: float
    wilson: Interval | None
    bootstrap: Interval | None


class RunningMean(NamedTuple):
    """The mean of one measure over a model's answers in a running study; see `ModelRow`."""

    model: str
    modality: str
    measure: str
    answers: int
    mean: float


@dataclass(frozen=True)
class AnswerDistribution:
    """How often a model got each answer.

    Attributes:
        model: name of the model.
        modality: modality of its samples.
        counts: number of answers by value, for every value of the design.
    """

    model: str
    modality: str
    counts: dict[int, int]


@dataclass(frozen=True)
class ModelComparison:
    """The difference between two models on one measure.

    Attributes:
        modality: modality of the samples.
        measure: name of the measure, as the paper writes it.
        first: name of the first model.
        second: name of the second model. In a paired design, only answers that compare these two models count.
        raters: number of raters who judged both models.
        difference: mean over raters of each rater's mean for the first model minus the mean for the second.
        interval: interval of the difference from resampling raters; None with fewer than two raters.
        p_raters: p-value of the sign-flip test over raters: would other raters judge these items the same way?
        p_pairs: p-value of the same test over real pairs: would these raters judge other items the same way?
        p_holm: `p_raters`, adjusted for the number of comparisons in the report.
        raters_needed: number of raters needed to find a difference of this size with a power of 0.8 at 5 %; None if
            the difference is zero, or there are fewer than two raters.
    """

    modality: str
    measure: str
    first: str
    second: str
    raters: int
    difference: float
    interval: Interval | None
    p_raters: float
    p_pairs: float
    p_holm: float
    raters_needed: int | None


@dataclass(frozen=True)
class CheckCounts:
    """The results of the attention checks.

    Attributes:
        shown: number of answered checks.
        failed: number of failed checks.
        by_rater: the same two numbers for each rater.
    """

    shown: int
    failed: int
    by_rater: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class PaperRow:
    """A published mean of one measure.

    Attributes:
        model: name of the model and its paper.
        modality: modality of its samples.
        measure: name of the measure, as the paper writes it.
        votes: number of answers.
        mean: mean over the answers.
        wilson: Wilson's interval; None if the measure is not a rate.
    """

    model: str
    modality: str
    measure: str
    votes: int
    mean: float
    wilson: Interval | None


@dataclass(frozen=True)
class Summary:
    """The content of the report.

    Attributes:
        title: title of the study.
        design: name of its design.
        consented: number of raters who consented.
        answered: number of raters who gave at least one answer.
        finished: number of raters who answered everything.
        excluded: ids of the raters who failed more attention checks than the plan allows. `consented`, `answered`,
            `finished` and `checks` include these raters; all other results do not.
        answers: number of answers that count; attention checks are not included.
        median_seconds: median time of these answers, seconds; None if no time is known.
        mean_replays: mean number of replays of these answers.
        checks: results of the attention checks of all raters.
        rows: the mean of each model on each measure.
        distributions: how often each model got each answer.
        comparisons: the difference between every two models on each measure.
        agreement: Krippendorff's alpha by modality; None if it is not defined.
        paper: published results of the same design.
    """

    title: str
    design: str
    consented: int
    answered: int
    finished: int
    excluded: list[str]
    answers: int
    median_seconds: float | None
    mean_replays: float
    checks: CheckCounts
    rows: list[ModelRow]
    distributions: list[AnswerDistribution]
    comparisons: list[ModelComparison]
    agreement: dict[str, float | None]
    paper: list[PaperRow]

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain dictionaries, lists and numbers."""
        return asdict(self)


def summarise(study: RatingStudy, store: Store) -> Summary:
    """Summarise all answers so far."""
    design, answers = study.design, store.answers()
    checks = count_checks(design, answers)
    excluded = sorted(rater for rater, (_, failed) in checks.by_rater.items() if failed > study.plan.allowed_failures)
    kept = [answer for answer in answers if answer.role == "rated" and answer.rater not in excluded]
    scores = score_answers(design, kept)
    progress = store.answers_by_rater()
    seconds = [answer.seconds for answer in kept if answer.seconds is not None]
    return Summary(
        title=study.plan.title,
        design=design.name,
        consented=len(progress),
        answered=sum(done > 0 for _, done in progress),
        finished=sum(done == store.total for _, done in progress),
        excluded=excluded,
        answers=len(kept),
        median_seconds=float(np.median(seconds)) if seconds else None,
        mean_replays=float(np.mean([answer.replays for answer in kept])) if kept else 0.0,
        checks=checks,
        rows=summarise_models(design, scores, study.plan.rated_names),
        distributions=count_values(design, scores, study.plan.rated_names),
        comparisons=compare_models(design, scores, study.plan.rated_names),
        agreement={
            modality: _agreement(design, kept, modality)
            for modality in RATED_MODALITIES
            if any(answer.modality == modality for answer in kept)
        },
        paper=read_paper_rows(design),
    )


def summarise_models_so_far(study: RatingStudy, counts: Iterable[tuple[StudyItem, int, int]]) -> list[RunningMean]:
    """Compute the means of a running study. All raters are included.

    Args:
        study: the study.
        counts: rated items, answers and their numbers, as `Store.count_values` returns them: a large study has too
            many answers to be read one by one while raters wait.
    """
    design = study.design
    totals: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    for item, value, number in counts:
        totals[item.modality, item.model][value] += number
        if design.paired:
            totals[item.modality, item.rival][3 - value] += number
    return [
        RunningMean(
            model=model,
            modality=modality,
            measure=measure_name(design, modality, name),
            answers=values.total(),
            mean=sum(measure(value) * number for value, number in values.items()) / values.total(),
        )
        for modality in RATED_MODALITIES
        for model in study.plan.rated_names
        if (values := totals[modality, model])
        for name, measure in design.measures.items()
    ]


def score_answers(design: Design, answers: Iterable[Answer]) -> list[Score]:
    """Return a score for each answer; for each preference two, one for each candidate's model."""
    scores = []
    for answer in answers:
        rater, pair, modality = answer.rater, answer.pair, answer.modality
        scores.append(Score(rater, pair, modality, answer.model, answer.rival, answer.value))
        if design.paired:
            scores.append(Score(rater, pair, modality, answer.rival, answer.model, 3 - answer.value))
    return scores


def count_checks(design: Design, answers: Iterable[Answer]) -> CheckCounts:
    """Count the attention checks. A check is failed if noise got a better answer than it deserves."""
    by_rater: dict[str, tuple[int, int]] = {}
    for answer in answers:
        if answer.role == "check":
            shown, failed = by_rater.get(answer.rater, (0, 0))
            by_rater[answer.rater] = (shown + 1, failed + (answer.value not in design.poor))
    shown, failed = (sum(counts[i] for counts in by_rater.values()) for i in (0, 1))
    return CheckCounts(shown, failed, by_rater)


def measure_name(design: Design, modality: str, measure: str) -> str:
    """Return a measure's name as the paper writes it, such as I-AST for AST of pictures."""
    return f"{RATE_PREFIXES[modality]}-{measure}" if design.name == "ast-aat" else measure


def summarise_models(design: Design, scores: Sequence[Score], models: Sequence[str]) -> list[ModelRow]:
    """Return a row for each combination of model, modality and measure that has answers.

    Args:
        design: the design of the study.
        scores: the scores.
        models: names of the models, in the order of the rows.
    """
    rows = []
    for modality in RATED_MODALITIES:
        for model in models:
            model_scores = [score for score in scores if (score.modality, score.model) == (modality, model)]
            if not model_scores:
                continue
            for name, measure in design.measures.items():
                values = [measure(score.value) for score in model_scores]
                table = _sum_by_cluster([score.rater for score in model_scores], values)
                rows.append(
                    ModelRow(
                        model=model,
                        modality=modality,
                        measure=measure_name(design, modality, name),
                        answers=len(values),
                        raters=len(table.sums),
                        mean=float(np.mean(values)),
                        wilson=wilson_interval(round(sum(values)), len(values)) if design.has_rates_only else None,
                        bootstrap=cluster_bootstrap(table.sums, table.counts) if len(table.sums) > 1 else None,
                    )
                )
    return rows


def count_values(design: Design, scores: Sequence[Score], models: Sequence[str]) -> list[AnswerDistribution]:
    """Count how often each model got each answer, by modality."""
    counts: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    for score in scores:
        counts[score.modality, score.model][score.value] += 1
    return [
        AnswerDistribution(model, modality, {value: counts[modality, model][value] for value in design.values})
        for modality in RATED_MODALITIES
        for model in models
        if counts[modality, model]
    ]


def compare_models(design: Design, scores: Sequence[Score], models: Sequence[str]) -> list[ModelComparison]:
    """Compare every two models on every measure, and adjust the p-values for the number of comparisons."""
    compared = []
    for modality in RATED_MODALITIES:
        for first, second in combinations(models, 2):
            relevant = [score for score in scores if score.modality == modality and _concerns(score, first, second)]
            for name, measure in design.measures.items():
                values = [measure(score.value) for score in relevant]
                comparison = _compare_pair(relevant, first, second, values)
                if comparison is not None:
                    compared.append((modality, measure_name(design, modality, name), first, second, comparison))
    adjusted = adjust_holm([comparison["p_raters"] for *_, comparison in compared])
    return [
        ModelComparison(modality, measure, first, second, **comparison, p_holm=p)
        for (modality, measure, first, second, comparison), p in zip(compared, adjusted, strict=True)
    ]


def read_paper_rows(design: Design) -> list[PaperRow]:
    """Return the published results of the same design."""
    text = files("cmcgan_core").joinpath("human_eval", "paper.toml").read_text(encoding="utf-8")
    return [
        PaperRow(
            model=row["model"],
            modality=row["modality"],
            measure=measure_name(design, row["modality"], measure),
            votes=row["votes"],
            mean=mean,
            wilson=wilson_interval(round(mean * row["votes"]), row["votes"]) if design.has_rates_only else None,
        )
        for row in tomllib.loads(text)["rows"]
        if row["design"] == design.name
        for measure, mean in row["means"].items()
    ]


class _Clusters(NamedTuple):
    """Names of the clusters, and for each (C,) the sum and the number of its values."""

    names: list[Hashable]
    sums: Array
    counts: Array


def _sum_by_cluster(clusters: Sequence[Hashable], values: Sequence[float]) -> _Clusters:
    """Return the sum and the number of the values of each cluster."""
    sums: dict[Hashable, float] = defaultdict(float)
    for cluster, value in zip(clusters, values, strict=True):
        sums[cluster] += value
    counts = Counter(clusters)
    return _Clusters(list(sums), np.array([*sums.values()]), np.array([counts[name] for name in sums], dtype=float))


def _concerns(score: Score, first: str, second: str) -> bool:
    """Return whether a comparison of these two models uses the score."""
    return {score.model, score.rival} == {first, second} if score.rival else score.model in (first, second)


def _compare_pair(scores: Sequence[Score], first: str, second: str, values: Sequence[float]) -> dict[str, Any] | None:
    """Return the numbers of a `ModelComparison`, or None if no rater judged both models."""
    raters = _differences(scores, first, second, values, [score.rater for score in scores])
    pairs = _differences(scores, first, second, values, [score.pair for score in scores])
    if not len(raters):
        return None
    difference = float(raters.mean())
    has_variance = len(raters) > 1
    deviation = float(raters.std(ddof=1)) if has_variance else 0.0
    return {
        "raters": len(raters),
        "difference": difference,
        "interval": cluster_bootstrap(raters, np.ones(len(raters))) if has_variance else None,
        "p_raters": sign_flip_test(raters),
        "p_pairs": sign_flip_test(pairs),
        "raters_needed": count_raters_needed(difference, deviation) if has_variance else None,
    }


def _differences(
    scores: Sequence[Score], first: str, second: str, values: Sequence[float], clusters: Sequence[str]
) -> Array:
    """Return each cluster's mean for the first model minus its mean for the second; only clusters that have both."""
    means: dict[str, dict[Hashable, float]] = {}
    for model in (first, second):
        positions = [i for i, score in enumerate(scores) if score.model == model]
        table = _sum_by_cluster([clusters[i] for i in positions], [values[i] for i in positions])
        means[model] = dict(zip(table.names, table.sums / np.maximum(table.counts, 1), strict=True))
    both = [cluster for cluster in means[first] if cluster in means[second]]
    return np.array([means[first][cluster] - means[second][cluster] for cluster in both])


def _agreement(design: Design, answers: Iterable[Answer], modality: str) -> float | None:
    """Return Krippendorff's alpha of the answers in one modality, or None if it is not defined."""
    item_numbers: dict[tuple[str, str, str], int] = {}
    ratings: dict[str, dict[int, int]] = defaultdict(dict)
    for answer in answers:
        if answer.modality == modality:
            item = item_numbers.setdefault((answer.pair, answer.model, answer.rival), len(item_numbers))
            ratings[answer.rater][item] = answer.value
    return krippendorff_alpha(ratings, design.values, design.level)
