"""Several runs next to each other; figures computed by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_config

from cmcgan_cli.tables.comparison import rows
from cmcgan_cli.tables.evaluation import poses as poses_of_run
from cmcgan_cli.tables.study import poses as poses_of_study
from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.errors import CheckpointError
from cmcgan_core.evaluation.compare import Entry, compare, differing, group_entries
from cmcgan_core.evaluation.evaluate import Evaluation, evaluate
from cmcgan_core.evaluation.labels import schedule_label
from cmcgan_core.evaluation.paper import share_of_schedule
from cmcgan_core.evaluation.pooling import Figure, PooledAccuracy, PooledPoseScore, pool_accuracies, pool_quality
from cmcgan_core.evaluation.pose_scores import ALL_READABLE, PoseScore
from cmcgan_core.evaluation.scores import Accuracy
from cmcgan_core.run_folder import About, read_about
from cmcgan_core.training.log import training_seconds


def entry(name: str, about: About, evaluation: Evaluation, micro: float, seconds: float | None) -> Entry:
    """A run with an invented GV-A."""
    table2 = {**evaluation.table2, "GV-A": Accuracy(micro, micro / 2, (micro - 0.1, micro + 0.2), None)}
    changed = replace(evaluation, table2=table2)
    return Entry(name, Path(name) / "last.safetensors", about, changed, [], seconds, None, "cpu")


@pytest.fixture(scope="module")
def evaluation(prepared: Path, tiny_run: Path) -> Evaluation:
    return evaluate(tiny_run, open_dataset(prepared), latents=1)


@pytest.fixture(scope="module")
def about(tiny_run: Path) -> About:
    return read_about(tiny_run / "last.safetensors")


def seeded(about: About, seed: int, **changes: Any) -> About:
    return replace(about, config=replace(about.config, seed=seed, **changes), best=float(seed))


def test_seeds_of_one_recipe_are_pooled(about: About, evaluation: Evaluation) -> None:
    micro, seconds = (0.5, 0.6, 0.1), (10.0, 20.0, 60.0)
    entries = [entry(f"s{i}", seeded(about, i), evaluation, micro[i], seconds[i]) for i in range(3)]
    (group,) = group_entries(entries)
    assert group.name == "s0, s1, s2"
    pooled = group.figures.table2["GV-A"]
    assert pooled.micro.value == pytest.approx(0.4)
    # Squared distances from the mean 0.01, 0.04 and 0.09, divided by two: 0.07.
    assert pooled.micro.deviation == pytest.approx(0.07**0.5)
    # Of the ends 0.4, 0.5, 0.0 and 0.7, 0.8, 0.3.
    assert pooled.micro.interval == pytest.approx((0.3, 0.6))
    assert pooled.balanced.value == pytest.approx(0.2)
    assert group.seconds == Figure(pytest.approx(30), pytest.approx(700**0.5))


def test_the_share_of_the_papers_training_counts_pairs(about: About) -> None:
    config = replace(about.config, train=replace(about.config.train, batch_size=64))
    full = replace(about, config=config, step=54_860)
    # 200 epochs of 17,555 pairs are 3,511,000 pairs; 54,860 steps of 64 are 3,511,040.
    assert share_of_schedule(full) == pytest.approx(1, abs=2e-5)
    halved = replace(full, config=replace(config, train=replace(config.train, batch_size=32)))
    assert share_of_schedule(halved) == pytest.approx(0.5, abs=1e-5)
    assert schedule_label(replace(halved, step=274)) == "0.25 %"
    assert share_of_schedule(replace(full, config=load_config("s2i-c"))) is None


def test_a_single_run_keeps_its_interval(about: About, evaluation: Evaluation) -> None:
    (group,) = group_entries([entry("one", about, evaluation, 0.5, None)])
    assert group.figures.table2["GV-A"].micro == Figure(0.5, interval=(0.4, 0.7))
    assert group.seconds is None


def test_runs_that_differ_in_more_than_the_seed_are_not_pooled(about: About, evaluation: Evaluation) -> None:
    others = [
        seeded(about, 1, judge="judge-small"),
        replace(seeded(about, 1), step=about.step - 1),
        replace(seeded(about, 1), content="another dataset"),
        about,  # the same seed again: no second draw
    ]
    for other in others:
        runs = [entry("a", about, evaluation, 0.5, 1), entry("b", other, evaluation, 0.5, 1)]
        assert [group.name for group in group_entries(runs)] == ["a", "b"]


def test_a_row_that_a_run_lacks_is_not_pooled() -> None:
    accuracy = Accuracy(0.5, 0.5, None, None)
    assert pool_accuracies([{"GV-A": accuracy, "GA-V": accuracy}, {"GV-A": accuracy}]).keys() == {"GV-A"}
    assert pool_quality([{"l1": 0.5}, {"l1": None}]) == {"l1": None}


def test_poses_are_pooled_and_shown(about: About, evaluation: Evaluation) -> None:
    runs = []
    for seed, r in enumerate((0.25, 0.75)):
        score = PoseScore(0.875, r, (r - 0.25, r + 0.25), 0.0)
        poses = {"tuba": score, "horn": PoseScore(0.5), ALL_READABLE: score}
        run = entry(f"s{seed}", seeded(about, seed), evaluation, 0.5, None)
        runs.append(replace(run, evaluation=replace(evaluation, poses=poses)))
    (group,) = group_entries(runs)
    pooled = group.figures.poses
    assert pooled["tuba"] == PooledPoseScore(Figure(0.875), Figure(0.5, 0.125**0.5, (0.25, 0.75)), Figure(0.0))
    assert pooled["horn"].generated is None
    assert {key.label: figure for key, figure in rows(group, "test")}["poses: r"] == pooled[ALL_READABLE].generated
    single, several = poses_of_run(runs[0].evaluation), poses_of_study([group])
    assert [list(column.cells) for column in single.columns[1:]] == [
        ["0.88", "0.50", "0.88"],
        ["0.25 [.00 .50]", "-", "0.25 [.00 .50]"],
        ["0.00", "-", "0.00"],
    ]
    assert [list(column.cells) for column in several.columns] == [
        ["s0, s1"],
        ["0.50 (0.35) [.25 .75]"],
        ["0.00"],
        ["0.88"],
    ]
    assert str(several.caption).endswith(": tuba")


def test_figures_of_real_samples_do_not_vary_with_the_seed() -> None:
    accuracy = Accuracy(0.5, 0.25, (0.4, 0.6), None)
    pooled = pool_accuracies([{"V": accuracy}, {"V": accuracy}])
    assert pooled == {"V": PooledAccuracy(Figure(0.5, interval=(0.4, 0.6)), Figure(0.25))}


def test_a_figure_is_written_with_its_deviation_and_interval() -> None:
    assert Figure(0.5).text(".3f") == "0.500"
    assert Figure(0.5, interval=(0.45, 1)).text(".3f") == "0.500 [.45 1.00]"
    assert Figure(0.5, 0.0125, (0.45, 0.57)).text(".3f") == "0.500 (0.013) [.45 .57]"


def test_training_time_adds_up_what_an_interrupted_run_took() -> None:
    assert training_seconds([{"seconds": s} for s in (3, 8, 2, 6, 1)]) == 8 + 6 + 1
    assert training_seconds([]) is None
    assert training_seconds([{"seconds": 1, "cpu_seconds": s} for s in (4, 9, 3)], "cpu_seconds") == 12
    assert training_seconds([{"seconds": 1}], "cpu_seconds") is None


def test_settings_that_differ_are_named() -> None:
    a, b = tiny_config("train.epochs=3").to_dict(), tiny_config("train.epochs=4").to_dict()
    assert differing({"a": a, "b": b}) == {"train.epochs": {"a": 3, "b": 4}}


def test_comparison_knows_what_each_run_cost(prepared: Path, tiny_run: Path) -> None:
    compared = compare([tiny_run, tiny_run / "best.safetensors"], open_dataset(prepared), latents=1)
    first = compared.entries[0]
    assert first.device == "cpu"
    assert first.seconds == pytest.approx(
        json.loads((tiny_run / "metrics.jsonl").read_text().splitlines()[-1])["seconds"]
    )
    plain = json.loads(json.dumps(compared.to_dict()))
    assert plain["paper"]["table2"]["V"] == 0.9531
    assert plain["runs"][0]["steps"] == first.about.step
    micro = plain["groups"][0]["figures"]["table1"]["S2I"]["1"]["test"]["micro"]
    assert micro["value"] == plain["runs"][0]["evaluation"]["table1"]["S2I"]["1"]["test"]["micro"]


def test_a_run_is_not_compared_with_itself(prepared: Path, tiny_run: Path) -> None:
    with pytest.raises(CheckpointError, match="named twice"):
        compare([tiny_run, tiny_run / "last.safetensors"], open_dataset(prepared))
