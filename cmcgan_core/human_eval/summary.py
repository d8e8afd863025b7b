"""Answers to tables: means with intervals, tests between models, agreement, attention checks, the papers' figures."""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from cmcgan_core.human_eval.designs import MODALITIES, Design
from cmcgan_core.human_eval.statistics import (
    Array,
    Interval,
    agreement,
    cluster_bootstrap,
    holm,
    raters_needed,
    sign_flip_test,
    wilson,
)
from cmcgan_core.human_eval.store import Answer, Store
from cmcgan_core.human_eval.study import Study

#: How the paper writes the two halves of a rate's name.
PREFIXES = {"picture": "I", "sound": "S"}


class Score(NamedTuple):
    """What an answer says of one competitor; a preference says something of two."""

    rater: str
    pair: str
    modality: str
    model: str
    rival: str
    value: int


@dataclass(frozen=True)
class Row:
    """The mean of a measure over a model's answers.

    Attributes:
        model, modality, measure: of what; measures as the paper writes them ("I-AST").
        answers, raters: numbers behind it.
        mean: over answers.
        wilson: interval of a rate that takes answers for independent; None for a mean of a scale.
        bootstrap: interval that draws raters anew; None with fewer than two.
    """

    model: str
    modality: str
    measure: str
    answers: int
    raters: int
    mean: float
    wilson: Interval | None
    bootstrap: Interval | None


@dataclass(frozen=True)
class Distribution:
    """How often each value was given to a model."""

    model: str
    modality: str
    counts: dict[int, int]


@dataclass(frozen=True)
class Comparison:
    """Two models on one measure.

    Attributes:
        modality, measure, first, second: what is compared; preferences only where the two met.
        raters: who judged both.
        difference: mean of the first less that of the second, over raters' own means.
        interval: of the difference, raters drawn anew; None with fewer than two raters.
        p_raters: sign-flip test over raters: would other raters say the same of these items?
        p_pairs: the same over real pairs: would these raters say the same of other items?
        p_holm: `p_raters`, adjusted for the number of comparisons in the report.
        raters_needed: to find a difference of this size with a power of 0.8 at 5 %; None if there is none.
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
class Checks:
    """Attention checks: how many were shown and failed, in all and by rater."""

    shown: int
    failed: int
    by_rater: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class PaperRow:
    """A published mean; with its Wilson interval where it is a rate of known hits."""

    model: str
    modality: str
    measure: str
    votes: int
    mean: float
    wilson: Interval | None


@dataclass(frozen=True)
class Summary:
    """All that the report says.

    Attributes:
        title, design: of the study.
        consented, answered, finished: raters who began, who answered anything, who answered all.
        excluded: raters who failed more attention checks than the plan allows; their answers count nowhere else.
        answers: ratings that count, attention checks not among them.
        median_seconds, mean_replays: of those.
        checks: of all raters.
        rows, distributions, comparisons: see there.
        agreement: Krippendorff's alpha by modality; None where it is not defined.
        paper: published figures of the same design.
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
    checks: Checks
    rows: list[Row]
    distributions: list[Distribution]
    comparisons: list[Comparison]
    agreement: dict[str, float | None]
    paper: list[PaperRow]

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def summarise(study: Study, store: Store) -> Summary:
    """Everything that the answers so far say."""
    design, answers = study.design, store.answers()
    checks = count_checks(design, answers)
    excluded = sorted(rater for rater, (_, failed) in checks.by_rater.items() if failed > study.plan.allowed_failures)
    kept = [answer for answer in answers if answer.role == "rated" and answer.rater not in excluded]
    scores = scores_of(design, kept)
    progress = store.rater_progress()
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
        rows=model_rows(design, scores, study.plan.competitors),
        distributions=distributions(design, scores, study.plan.competitors),
        comparisons=compare(design, scores, study.plan.competitors),
        agreement={m: _agreement(design, kept, m) for m in MODALITIES if any(a.modality == m for a in kept)},
        paper=paper_rows(design),
    )


def live_rows(study: Study, answers: Sequence[Answer]) -> list[Row]:
    """The rows of a study that is going on, all raters counted, without the cost of a bootstrap."""
    scores = scores_of(study.design, [answer for answer in answers if answer.role == "rated"])
    return model_rows(study.design, scores, study.plan.competitors, bootstrap=False)


def scores_of(design: Design, answers: Iterable[Answer]) -> list[Score]:
    """What the answers say of each competitor; of a preference, the rival's side too."""
    scores = []
    for a in answers:
        scores.append(Score(a.rater, a.pair, a.modality, a.model, a.rival, a.value))
        if design.paired:
            scores.append(Score(a.rater, a.pair, a.modality, a.rival, a.model, 3 - a.value))
    return scores


def count_checks(design: Design, answers: Iterable[Answer]) -> Checks:
    """Attention checks: noise that got a better answer than noise deserves is a failure."""
    by_rater: dict[str, tuple[int, int]] = {}
    for answer in answers:
        if answer.role == "check":
            shown, failed = by_rater.get(answer.rater, (0, 0))
            by_rater[answer.rater] = (shown + 1, failed + (answer.value not in design.poor))
    shown, failed = (sum(counts[i] for counts in by_rater.values()) for i in (0, 1))
    return Checks(shown, failed, by_rater)


def measure_name(design: Design, modality: str, measure: str) -> str:
    """A measure as the paper writes it: I-AST, I-AAT, S-AST, S-AAT."""
    return f"{PREFIXES[modality]}-{measure}" if design.name == "ast-aat" else measure


def model_rows(design: Design, scores: Sequence[Score], models: Sequence[str], *, bootstrap: bool = True) -> list[Row]:
    """A row for each model, modality and measure that has answers."""
    rows = []
    for modality in MODALITIES:
        for model in models:
            own = [score for score in scores if (score.modality, score.model) == (modality, model)]
            if not own:
                continue
            for name, measure in design.measures.items():
                values = [measure(score.value) for score in own]
                table = _by_cluster([score.rater for score in own], values)
                rows.append(
                    Row(
                        model,
                        modality,
                        measure_name(design, modality, name),
                        len(own),
                        len(table.sums),
                        float(np.mean(values)),
                        wilson(round(sum(values)), len(own)) if design.rates else None,
                        cluster_bootstrap(table.sums, table.counts) if bootstrap and len(table.sums) > 1 else None,
                    )
                )
    return rows


def distributions(design: Design, scores: Sequence[Score], models: Sequence[str]) -> list[Distribution]:
    """How often each value was given, by model and modality."""
    counts: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    for score in scores:
        counts[score.modality, score.model][score.value] += 1
    return [
        Distribution(model, modality, {value: counts[modality, model][value] for value in design.values})
        for modality in MODALITIES
        for model in models
        if counts[modality, model]
    ]


def compare(design: Design, scores: Sequence[Score], models: Sequence[str]) -> list[Comparison]:
    """Every two models on every measure, with p-values adjusted for their number."""
    found = []
    for modality in MODALITIES:
        for first, second in combinations(models, 2):
            met = [score for score in scores if score.modality == modality and _concerns(score, first, second)]
            for name, measure in design.measures.items():
                comparison = _compare(met, first, second, [measure(score.value) for score in met])
                if comparison is not None:
                    found.append((modality, measure_name(design, modality, name), first, second, comparison))
    adjusted = holm([comparison["p_raters"] for *_, comparison in found])
    return [
        Comparison(modality, measure, first, second, **values, p_holm=p)
        for (modality, measure, first, second, values), p in zip(found, adjusted, strict=True)
    ]


def paper_rows(design: Design) -> list[PaperRow]:
    """Published figures of the same design."""
    text = files("cmcgan_core").joinpath("human_eval", "paper.toml").read_text(encoding="utf-8")
    return [
        PaperRow(
            row["model"],
            row["modality"],
            measure_name(design, row["modality"], measure),
            row["votes"],
            mean,
            wilson(round(mean * row["votes"]), row["votes"]) if design.rates else None,
        )
        for row in tomllib.loads(text)["rows"]
        if row["design"] == design.name
        for measure, mean in row["means"].items()
    ]


class _Clusters(NamedTuple):
    names: list[Hashable]
    sums: Array
    counts: Array


def _by_cluster(clusters: Sequence[Hashable], values: Sequence[float]) -> _Clusters:
    """Sum and number of the values of each cluster."""
    sums: dict[Hashable, float] = defaultdict(float)
    for cluster, value in zip(clusters, values, strict=True):
        sums[cluster] += value
    counts = Counter(clusters)
    return _Clusters(list(sums), np.array([*sums.values()]), np.array([counts[name] for name in sums], dtype=float))


def _concerns(score: Score, first: str, second: str) -> bool:
    return {score.model, score.rival} == {first, second} if score.rival else score.model in (first, second)


def _compare(scores: Sequence[Score], first: str, second: str, values: Sequence[float]) -> dict[str, Any] | None:
    """The figures of a `Comparison`; None where no rater judged both."""
    raters = _differences(scores, first, second, values, [score.rater for score in scores])
    pairs = _differences(scores, first, second, values, [score.pair for score in scores])
    if not len(raters):
        return None
    difference = float(raters.mean())
    several = len(raters) > 1
    deviation = float(raters.std(ddof=1)) if several else 0.0
    return {
        "raters": len(raters),
        "difference": difference,
        "interval": cluster_bootstrap(raters, np.ones(len(raters))) if several else None,
        "p_raters": sign_flip_test(raters),
        "p_pairs": sign_flip_test(pairs),
        "raters_needed": raters_needed(difference, deviation) if several else None,
    }


def _differences(
    scores: Sequence[Score], first: str, second: str, values: Sequence[float], clusters: Sequence[str]
) -> Array:
    """Mean for the first model less that for the second, of each cluster that has both."""
    means: dict[str, dict[Hashable, float]] = {}
    for model in (first, second):
        chosen = [i for i, score in enumerate(scores) if score.model == model]
        table = _by_cluster([clusters[i] for i in chosen], [values[i] for i in chosen])
        means[model] = dict(zip(table.names, table.sums / np.maximum(table.counts, 1), strict=True))
    both = [cluster for cluster in means[first] if cluster in means[second]]
    return np.array([means[first][cluster] - means[second][cluster] for cluster in both])


def _agreement(design: Design, answers: Iterable[Answer], modality: str) -> float | None:
    numbers: dict[tuple[str, str, str], int] = {}
    ratings: dict[str, dict[int, int]] = defaultdict(dict)
    for a in answers:
        if a.modality == modality:
            item = numbers.setdefault((a.pair, a.model, a.rival), len(numbers))
            ratings[a.rater][item] = a.value
    return agreement(ratings, design.values, design.level)
