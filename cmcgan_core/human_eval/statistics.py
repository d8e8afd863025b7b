"""Confidence intervals, tests and agreement for ratings, as pure functions.

C is the number of clusters: raters, or the real pairs that the items came from.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Number of resamples of a bootstrap, and of random sign assignments in a test.
RESAMPLES = 10_000
#: Up to this number of clusters, the sign-flip test tries every assignment of signs.
MAX_EXACT_CLUSTERS = 12

Array = NDArray[np.float64]


class Interval(NamedTuple):
    """Lower and upper end of a confidence interval. Its level is 95 % unless the caller chose another."""

    low: float
    high: float


def wilson_interval(hits: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of a rate; (0, 1) without trials.

    The interval assumes that all answers are independent. Several answers of one rater are not; for those use
    `cluster_bootstrap`.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference" (JASA 1927).

    Args:
        hits: number of successes.
        trials: number of answers.
        confidence: level of the interval.
    """
    if not trials:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate, scale = hits / trials, 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def cluster_bootstrap(sums: Array, counts: Array, seed: int = 0, confidence: float = 0.95) -> Interval:
    """Return the percentile interval of a mean over answers, from resampling whole clusters with all their answers.

    Args:
        sums: (C,) sum of each cluster's answers; or (C, 2), for the difference between the means of two models.
        counts: number of each cluster's answers, with the shape of `sums`.
        seed: seed of the resampling.
        confidence: level of the interval.

    Returns:
        The interval. Both ends are NaN with fewer than two clusters, because one cluster does not show how clusters
        vary.
    """
    if len(sums) < 2:
        return Interval(math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (drawn @ sums) / (drawn @ counts)
    values = means if means.ndim == 1 else means[:, 0] - means[:, 1]
    low, high = np.nanquantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def sign_flip_test(differences: Array, seed: int = 0) -> float:
    """Return the p-value of a two-sided permutation test that the differences are symmetric about zero.

    Each difference is one cluster's mean for one model minus its mean for another. If the two models were equally
    good, their names could be exchanged within any cluster, which flips the sign of its difference. With up to
    `MAX_EXACT_CLUSTERS` clusters, all assignments of signs are tried. With more, `RESAMPLES` random assignments are
    tried, and the observed one is counted among them.

    Args:
        differences: (C,) difference of each cluster.
        seed: seed of the random assignments.
    """
    clusters = len(differences)
    if clusters == 0:
        return 1.0
    if clusters <= MAX_EXACT_CLUSTERS:
        numbers = np.arange(2**clusters)[:, None] >> np.arange(clusters)[None, :]
        signs = 1.0 - 2.0 * (numbers & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(RESAMPLES, clusters))
        signs[0] = 1.0
    totals = np.abs(signs @ differences)
    return float(np.mean(totals >= abs(differences.sum()) - 1e-9))


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for multiple comparisons (Holm 1979), in the order of the input."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = highest
    return adjusted


def krippendorff_alpha(
    ratings: Mapping[str, Mapping[int, int]], values: Sequence[int], level: Literal["nominal", "ordinal"]
) -> float | None:
    """Return Krippendorff's alpha: 1 is perfect agreement, 0 is agreement by chance. Uses the package `krippendorff`.

    Args:
        ratings: one mapping for each rater: the rating of each item, by item number.
        values: all possible values, from worst to best.
        level: level of measurement.

    Returns:
        Alpha, or None if it is not defined: no item has two raters, or all such ratings have the same value.
    """
    import krippendorff

    items = sorted({item for by_item in ratings.values() for item in by_item})
    table = [[by_item.get(item, math.nan) for item in items] for by_item in ratings.values()]
    pairable = [row for row in np.array(table).reshape(-1, len(items)).T if np.isfinite(row).sum() > 1]
    if not pairable or len(np.unique(np.array(pairable)[np.isfinite(pairable)])) < 2:
        return None
    return float(krippendorff.alpha(np.array(pairable).T, value_domain=sorted(values), level_of_measurement=level))


def count_raters_needed(
    difference: float, deviation: float, *, power: float = 0.8, significance: float = 0.05
) -> int | None:
    """Return the number of raters with which a paired two-sided test finds a difference between two models.

    n = ((z_{1-a/2} + z_{power}) deviation / difference)^2 + z_{1-a/2}^2 / 2, rounded up. The last term corrects for
    the t-distribution (Guenther 1981).

    Args:
        difference: difference between the means of the two models.
        deviation: standard deviation over raters of each rater's own difference.
        power: probability that the test finds the difference.
        significance: significance level of the test, a.

    Returns:
        The number of raters, or None if the difference is zero. It is at least 6, because a sign-flip test with 5
        raters cannot reach 5 %.
    """
    if difference == 0:
        return None
    z = NormalDist().inv_cdf(1 - significance / 2)
    n = ((z + NormalDist().inv_cdf(power)) * deviation / difference) ** 2 + z * z / 2
    return max(6, math.ceil(n))


def difference_deviation(first: float, second: float, items: int, spread: float) -> float:
    """Return the standard deviation over raters of the difference between two models' rates.

    The variance is (p(1-p) + q(1-q)) / items + 2 spread^2 (1 - 1/items), with p = `first` and q = `second`. The first
    term comes from the choice of items, the second from the raters.

    Args:
        first: rate of the first model.
        second: rate of the second model.
        items: number of items of each model that a rater rates.
        spread: standard deviation over raters of a rater's own rate for one model.
    """
    item_variance = (first * (1 - first) + second * (1 - second)) / items
    return math.sqrt(item_variance + 2 * spread**2 * (1 - 1 / items))
