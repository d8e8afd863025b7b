"""Intervals, tests, agreement and power compared with hand computations, and the report of a small study."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from human_eval_fixtures import join, make_study, rate_all

from cmcgan_core.human_eval.report import render_report
from cmcgan_core.human_eval.statistics import (
    adjust_holm,
    cluster_bootstrap,
    count_raters_needed,
    difference_deviation,
    krippendorff_alpha,
    sign_flip_test,
    wilson_interval,
)
from cmcgan_core.human_eval.store import Store, StudyItem
from cmcgan_core.human_eval.summary import Summary, summarise

krippendorff = pytest.importorskip("krippendorff")


def test_wilson_interval_of_the_papers_fifteen_of_twenty_one() -> None:
    assert wilson_interval(15, 21) == pytest.approx((0.5004, 0.8619), abs=2e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=2e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_bootstrap_draws_raters_not_answers() -> None:
    alike = cluster_bootstrap(np.array([3.0, 3.0, 3.0]), np.array([4.0, 4.0, 4.0]))
    assert alike == (0.75, 0.75)
    # Two raters who always say yes and two who never do: every share from 0 to 1 can be drawn.
    assert cluster_bootstrap(np.array([9.0, 9, 0, 0]), np.full(4, 9.0)) == (0.0, 1.0)
    assert all(math.isnan(end) for end in cluster_bootstrap(np.array([1.0]), np.array([1.0])))


def test_sign_flips_counted_by_hand() -> None:
    assert sign_flip_test(np.array([1.0, 1.0, 1.0])) == 2 / 8
    assert sign_flip_test(np.array([1.0, 2.0, -3.0])) == 1.0
    assert sign_flip_test(np.array([1.0, 2.0, -0.5])) == 4 / 8  # 2.5; and 3.5, with their opposites
    assert sign_flip_test(np.full(20, 0.3)) == pytest.approx(1e-4, abs=1e-4)
    assert sign_flip_test(np.array([])) == 1.0


def test_holm_by_hand() -> None:
    assert adjust_holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjust_holm([0.9, 0.9]) == [1.0, 1.0]


def test_agreement_by_hand() -> None:
    # Two raters, nominal: coincidences 1-1 twice, 2-2 twice, 1-2 and 2-1 once each; D_o = 2/6, D_e = 2*3*3/(6*5).
    ratings = {"r1": {0: 1, 1: 2, 2: 1}, "r2": {0: 1, 1: 2, 2: 2, 3: 1}}
    assert krippendorff_alpha(ratings, (1, 2), "nominal") == pytest.approx(1 - (2 / 6) / (18 / 30))
    assert krippendorff_alpha({"r1": {0: 1}, "r2": {1: 2}}, (1, 2), "nominal") is None
    assert krippendorff_alpha({"r1": {0: 1}, "r2": {0: 1}}, (1, 2), "nominal") is None


def test_raters_needed_by_hand() -> None:
    # ((1.95996 + 0.84162) * 0.5 / 0.3)^2 + 1.95996^2 / 2 = 21.80 + 1.92
    assert count_raters_needed(0.3, 0.5) == 24
    assert count_raters_needed(-0.3, 0.5) == 24
    assert count_raters_needed(0.3, 0.0) == 6
    assert count_raters_needed(0.0, 0.5) is None
    assert difference_deviation(0.714, 0.429, 10, 0.0) == pytest.approx(0.21194, abs=1e-5)
    assert difference_deviation(0.5, 0.5, 1, 0.3) == pytest.approx(math.sqrt(0.5))


@pytest.fixture
def by_hand(tmp_path: Path) -> Summary:
    """Two pairs, one model and the ground truth; two raters who do their best, and one who fails every check."""
    study = make_study(tmp_path / "study", pairs=2, models=("alpha",), modalities=("picture",), checks_per_rater=2)
    store = Store(study)
    answers = [
        {
            ("ground truth", "cello/p0"): 2,
            ("ground truth", "flute/p1"): 2,
            ("alpha", "cello/p0"): 1,
            ("alpha", "flute/p1"): 0,
        },
        {
            ("ground truth", "cello/p0"): 2,
            ("ground truth", "flute/p1"): 1,
            ("alpha", "cello/p0"): 2,
            ("alpha", "flute/p1"): 0,
        },
    ]
    for ratings in answers:
        rate_all(store, join(store), lambda item, ratings=ratings: ratings.get((item.model, item.pair), 0))
    rate_all(store, join(store), lambda item: 2)
    join(store)
    summary = summarise(study, store)
    page = render_report(study, summary)
    for text in ("0.750", "Krippendorff", "CMCGAN (paper)", "0.714", "Excluded", "<svg", summary.excluded[0]):
        assert text in page
    assert "<script" not in page
    return summary


def test_the_reports_numbers_equal_a_hand_computation(by_hand: Summary) -> None:
    means = {(row.model, row.measure): (row.mean, row.answers, row.raters) for row in by_hand.rows}
    assert means == {
        ("ground truth", "I-AST"): (3 / 4, 4, 2),
        ("ground truth", "I-AAT"): (1.0, 4, 2),
        ("alpha", "I-AST"): (1 / 4, 4, 2),
        ("alpha", "I-AAT"): (2 / 4, 4, 2),
    }
    intervals = {(row.model, row.measure): row.wilson for row in by_hand.rows}
    assert intervals["alpha", "I-AAT"] == pytest.approx((0.1500, 0.8500), abs=1e-4)
    assert {d.model: d.counts for d in by_hand.distributions} == {
        "ground truth": {0: 0, 1: 1, 2: 3},
        "alpha": {0: 2, 1: 1, 2: 1},
    }
    ast, aat = by_hand.comparisons
    assert (ast.measure, ast.difference, ast.p_raters, ast.p_pairs) == ("I-AST", 0.5, 1.0, 0.5)
    assert (aat.measure, aat.difference, aat.p_raters, aat.p_holm) == ("I-AAT", 0.5, 0.5, 1.0)
    assert ast.raters_needed == 18  # differences 1 and 0: ((2.80159) * 0.70711 / 0.5)^2 + 1.92 = 17.6
    assert by_hand.agreement["picture"] == pytest.approx(
        krippendorff.alpha([[2, 2, 1, 0], [2, 1, 2, 0]], value_domain=[0, 1, 2], level_of_measurement="ordinal")
    )


def test_raters_who_fail_attention_checks_are_excluded_and_listed(by_hand: Summary) -> None:
    assert (by_hand.checks.shown, by_hand.checks.failed) == (6, 2)
    (excluded,) = by_hand.excluded
    assert by_hand.checks.by_rater[excluded] == (2, 2)
    assert (by_hand.consented, by_hand.answered, by_hand.finished, by_hand.answers) == (4, 3, 3, 8)


def test_published_results_are_listed(by_hand: Summary, tmp_path: Path) -> None:
    paper = {(row.model, row.measure): row for row in by_hand.paper}
    assert {key: row.mean for key, row in paper.items()} == {
        ("CMCGAN (paper)", "I-AST"): 0.714,
        ("CMCGAN (paper)", "S-AST"): 0.619,
        ("CMCGAN (paper)", "I-AAT"): 0.952,
        ("CMCGAN (paper)", "S-AAT"): 0.857,
        ("S2IC (paper)", "I-AST"): 0.429,
        ("I2S (paper)", "S-AST"): 0.190,
        ("S2IC (paper)", "I-AAT"): 0.619,
        ("I2S (paper)", "S-AAT"): 0.381,
    }
    assert paper["CMCGAN (paper)", "I-AST"].wilson == wilson_interval(15, 21)
    cmav = make_study(tmp_path / "cmav", "cmav")
    assert [row.mean for row in summarise(cmav, Store(cmav)).paper] == [2.59, 1.81, 1.16, 0.84]
    json.dumps(by_hand.to_dict())


def test_an_empty_study_has_a_report(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", "pairwise")
    summary = summarise(study, Store(study))
    assert (summary.answers, summary.rows, summary.comparisons) == (0, [], [])
    assert "Rating study" in render_report(study, summary)


def test_simulated_raters_are_recovered_within_the_intervals(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", pairs=8, modalities=("picture",), per_rater=24, checks_per_rater=1)
    store = Store(study)
    rng = np.random.default_rng(2)
    satisfied = {"ground truth": 0.9, "alpha": 0.6, "beta": 0.3}
    for taste in rng.normal(0, 0.08, size=24):
        luck = rng.random((3, 8))

        def value(item: StudyItem, taste: float = taste, luck: np.ndarray = luck) -> int:
            if item.role == "check":
                return 0
            drawn = luck[list(satisfied).index(item.model), int(item.pair[-1])]
            return 2 * int(drawn < satisfied[item.model] + taste)

        rate_all(store, join(store), value)
    summary = summarise(study, store)
    for row in summary.rows:
        assert row.bootstrap is not None
        assert row.wilson is not None
        assert row.bootstrap.low <= satisfied[row.model] <= row.bootstrap.high, row
        assert row.wilson.low <= satisfied[row.model] <= row.wilson.high, row
    for comparison in summary.comparisons:
        assert comparison.interval is not None
        assert comparison.interval.low <= satisfied[comparison.first] - satisfied[comparison.second]
        assert comparison.interval.high >= satisfied[comparison.first] - satisfied[comparison.second]
        assert comparison.p_holm < 0.01


def test_a_preference_counts_for_both_models(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", "pairwise", models=("alpha",), modalities=("sound",), checks_per_rater=1)
    store = Store(study)
    for _ in range(2):  # the real sound is preferred in two of three pairs
        rate_all(store, join(store), lambda item: 2 if item.role == "check" or item.pair == "flute/p1" else 1)
    rows = {row.model: row.mean for row in summarise(study, store).rows}
    assert rows == {"ground truth": pytest.approx(2 / 3), "alpha": pytest.approx(1 / 3)}
    (comparison,) = summarise(study, store).comparisons
    assert comparison.difference == pytest.approx(1 / 3)
    assert summarise(study, store).checks.failed == 0


@pytest.mark.slow
def test_the_number_of_raters_gives_the_promised_power() -> None:
    first, second, items, spread = 0.714, 0.554, 10, 0.15
    raters = count_raters_needed(first - second, difference_deviation(first, second, items, spread))
    assert raters is not None
    rng = np.random.default_rng(0)
    significant = 0
    for _ in range(300):
        rates = np.clip(rng.normal((first, second), spread, size=(raters, 2)), 0, 1)
        differences = rng.binomial(items, rates).astype(float) @ np.array([1.0, -1.0]) / items
        significant += sign_flip_test(differences) < 0.05
    assert 0.70 <= significant / 300 <= 0.90


@pytest.mark.slow
def test_intervals_have_the_promised_coverage() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        rates = np.clip(rng.normal(0.6, 0.15, size=25), 0, 1)
        low, high = cluster_bootstrap(rng.binomial(10, rates).astype(float), np.full(25, 10.0))
        hits += low <= 0.6 <= high
    assert hits / 200 >= 0.88
