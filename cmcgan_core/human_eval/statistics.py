"""Intervals, tests and agreement for ratings, as pure functions.

C clusters: raters, or the real pairs that items came from.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Resamples of a bootstrap, and random flips of a test.
ROUNDS = 10_000
#: Up to so many clusters every assignment of signs is tried.
EXACT = 12

Array = NDArray[np.float64]


class Interval(NamedTuple):
    """A confidence interval of 95 %, unless its maker says otherwise."""

    low: float
    high: float


def wilson(hits: int, trials: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a rate; (0, 1) without trials.

    It takes the answers for independent, which those of one rater are not; see `cluster_bootstrap`.
    Source: Wilson, "Probable inference, the law of succession, and statistical inference" (JASA 1927).
    """
    if not trials:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate, scale = hits / trials, 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def cluster_bootstrap(sums: Array, counts: Array, seed: int = 0, confidence: float = 0.95) -> Interval:
    """Percentile interval of a mean over answers when whole clusters are drawn anew, with all their answers.

    Args:
        sums: (C,) sum of each cluster's answers; or (C, 2), for the difference between the means of two models.
        counts: of the same shape, number of the answers.
        seed: of the resamples.
        confidence: of the interval.

    Returns:
        The interval; its ends are NaN with fewer than two clusters, which tell nothing of how clusters differ.
    """
    if len(sums) < 2:
        return Interval(math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=ROUNDS).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (drawn @ sums) / (drawn @ counts)
    values = means if means.ndim == 1 else means[:, 0] - means[:, 1]
    low, high = np.nanquantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def sign_flip_test(differences: Array, seed: int = 0) -> float:
    """Two-sided permutation test that differences (C,) are symmetric about zero.

    Each is one cluster's mean for one model less that for another. If the models were alike, their names could be
    exchanged within each cluster, which turns the sign. Up to `EXACT` clusters all assignments of signs are tried,
    else `ROUNDS` random ones, the observed one counted among them.
    """
    clusters = len(differences)
    if clusters == 0:
        return 1.0
    if clusters <= EXACT:
        numbers = np.arange(2**clusters)[:, None] >> np.arange(clusters)[None, :]
        signs = 1.0 - 2.0 * (numbers & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(ROUNDS, clusters))
        signs[0] = 1.0
    totals = np.abs(signs @ differences)
    return float(np.mean(totals >= abs(differences.sum()) - 1e-9))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979); in the order given."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def agreement(
    ratings: Mapping[str, Mapping[int, int]], values: Sequence[int], level: Literal["nominal", "ordinal"]
) -> float | None:
    """Krippendorff's alpha: 1 is perfect agreement, 0 that of chance; by the package `krippendorff`.

    Args:
        ratings: each rater's values by item.
        values: all that may be given, from worst to best.
        level: of measurement.

    Returns:
        Alpha, or None where it is not defined: no item has two raters, or only one value was given.
    """
    import krippendorff

    items = sorted({item for given in ratings.values() for item in given})
    table = [[given.get(item, math.nan) for item in items] for given in ratings.values()]
    pairable = [row for row in np.array(table).reshape(-1, len(items)).T if np.isfinite(row).sum() > 1]
    if not pairable or len(np.unique(np.array(pairable)[np.isfinite(pairable)])) < 2:
        return None
    return float(krippendorff.alpha(np.array(pairable).T, value_domain=sorted(values), level_of_measurement=level))


def raters_needed(difference: float, deviation: float, *, power: float = 0.8, significance: float = 0.05) -> int | None:
    """Raters that it takes for a paired two-sided test to find a difference between two models.

    n = ((z_{1-a/2} + z_{power}) deviation / difference)^2 + z_{1-a/2}^2 / 2, rounded up; the last term stands for the
    t-distribution (Guenther 1981).

    Args:
        difference: between the models' means.
        deviation: standard deviation over raters of each one's difference.
        power: probability of finding it.
        significance: of the test, a.

    Returns:
        The number, at least 6, as 5 raters cannot reach 5 % in a sign-flip test; None if there is no difference.
    """
    if difference == 0:
        return None
    z = NormalDist().inv_cdf(1 - significance / 2)
    n = ((z + NormalDist().inv_cdf(power)) * deviation / difference) ** 2 + z * z / 2
    return max(6, math.ceil(n))


def difference_deviation(first: float, second: float, items: int, diversity: float) -> float:
    """Standard deviation over raters of the difference between two rates, each from `items` answers a rater.

    The variance is (p(1-p) + q(1-q)) / items, from which items they meet, and 2 spread^2 (1 - 1/items), from raters
    whose own rate for each model differs from the rates p and q with a standard deviation `diversity`.
    """
    chance = (first * (1 - first) + second * (1 - second)) / items
    return math.sqrt(chance + 2 * diversity**2 * (1 - 1 / items))
