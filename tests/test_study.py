import itertools
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Run as Cli
from conftest import tiny_config, write_dataset
from PIL import Image
from test_locks import hold
from test_training import interrupt_at

from cmcgan_core import checkpoint
from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.errors import ConfigError, DataError, Interrupted, TrainingError
from cmcgan_core.experiments import budget
from cmcgan_core.experiments.budget import affordable_steps, step_seconds, steps_within
from cmcgan_core.experiments.recipes import find_study, full_size_preset, load_study, study_names
from cmcgan_core.experiments.study import StudyResult, plan_study, run_study
from cmcgan_core.progress import Progress, silent
from cmcgan_core.run_folder import read_about
from cmcgan_core.training.run import Run
from cmcgan_core.utils.device import choose_device

TINY = """
title = "Tiny things"
seconds = 0.5
seeds = [0, 1]
set = ["train.sample_every=50"]

[rows."CMCGAN, tiny"]
preset = "tiny"

[rows.I2S]
preset = "i2s"
set = [
    "network.width=0.0625", "network.picture_size=32", "network.bins=32", "network.frames=32",
    "judge=judge-tiny", "options.encoder_epochs=1", "train.batch_size=16",
]
"""


#: Steps that a budget buys here, on any machine. For I2S: one epoch of three steps for its encoder, then three steps.
STEPS = 6


@pytest.fixture(scope="module", autouse=True)
def _costs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "steps_within", lambda run, seconds: STEPS)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("study") / "bands")


@pytest.fixture(scope="module")
def file(data: Path) -> Path:
    file = data.parent / "tiny.toml"
    file.write_text(TINY)
    return file


@pytest.fixture(scope="module")
def out(data: Path) -> Path:
    return data.parent / "out"


@pytest.fixture(scope="module")
def result(data: Path, file: Path, out: Path) -> StudyResult:
    return run_study(load_study(file), open_dataset(data), out, latents=1)


def test_every_recipe_is_trained_with_every_seed_for_the_steps_that_were_planned(
    result: StudyResult, out: Path
) -> None:
    assert {(group.name, len(group.entries)) for group in result.compared.groups} == {("CMCGAN, tiny", 2), ("I2S", 2)}
    assert result.unfinished == ()
    for name, folder in (("CMCGAN, tiny", "CMCGAN-tiny"), ("I2S", "I2S")):
        for seed in (0, 1):
            about = read_about(out / f"{folder}-{seed}" / "last.safetensors")
            assert (result.steps[name], about.step, about.steps, about.config.seed) == (STEPS, STEPS, STEPS, seed)
            assert about.config.train.sample_every == 50


def test_a_finished_study_repeats_nothing(result: StudyResult, data: Path, file: Path, out: Path) -> None:
    def times() -> dict[Path, int]:
        kept = [*out.glob("*/*.safetensors"), *data.glob("evaluations/*"), out / "plan.toml"]
        return {path: path.stat().st_mtime_ns for path in kept}

    before = times()
    again = run_study(load_study(file), open_dataset(data), out, latents=1)
    assert times() == before
    assert again.to_dict()["groups"] == result.to_dict()["groups"]


def test_the_sheets_show_what_each_recipe_makes_of_the_same_pairs(result: StudyResult, out: Path) -> None:
    # Tiles of 96 pixels with 4 between: given, real, CMCGAN directly, by two hops and twice recovered, in one I2S.
    rows: dict[str, list[np.ndarray]] = {}
    for name, count in (("S2I", 6), ("I2S", 7)):
        sheet = np.asarray(Image.open(out / f"{name}.png"))
        assert sheet.shape[0] == 4 + count * 100
        rows[name] = [sheet[4 + row * 100 : 100 + row * 100] for row in range(count)]
        assert all((row[:, : -(4 + 3 * 100)] < 128).any() for row in rows[name]), "names of rows"
    tiles = {name: [row[:, -(4 + 3 * 100) :] for row in sheet] for name, sheet in rows.items()}
    assert np.array_equal(tiles["S2I"][0], tiles["I2S"][1]), "the sounds: given here, real there"
    assert np.array_equal(tiles["S2I"][1], tiles["I2S"][0])
    made = [tiles["S2I"][1], *tiles["S2I"][2:]], [tiles["I2S"][1], *tiles["I2S"][2:]]
    for row in made:
        assert all((a != b).any() for a, b in itertools.combinations(row, 2))


def test_a_run_that_another_process_trains_is_skipped(result: StudyResult, data: Path, file: Path, out: Path) -> None:
    process = hold(out / ".I2S-1.lock")
    partly = run_study(load_study(file), open_dataset(data), out, latents=1)
    process.communicate("")
    assert partly.unfinished == (str(out / "I2S-1"),)
    assert [len(group.entries) for group in partly.compared.groups] == [2, 1]


def interrupt_in_training(progress: Progress) -> None:
    """An `on_progress` that sends this process a SIGINT in the second step of a training."""
    if "training" in progress.stage:
        interrupt_at(2)(progress)


def test_an_interrupted_study_resumes(data: Path, file: Path, tmp_path: Path, result: StudyResult) -> None:
    (tmp_path / "plan.toml").write_text((data.parent / "out" / "plan.toml").read_text())
    study = load_study(file)
    with pytest.raises(Interrupted):
        run_study(study, open_dataset(data), tmp_path, latents=1, on_progress=interrupt_in_training)
    assert read_about(tmp_path / "CMCGAN-tiny-0" / "last.safetensors").step == 2
    again = run_study(study, open_dataset(data), tmp_path, latents=1)
    mine, theirs = (result.to_dict()["groups"][0]["figures"]["table1"] for result in (again, result))
    assert mine == theirs


def test_a_study_stops_even_if_its_run_cannot_be_saved(
    data: Path, file: Path, tmp_path: Path, result: StudyResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "plan.toml").write_text((data.parent / "out" / "plan.toml").read_text())
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(Interrupted, match="no space left on device"):
        run_study(load_study(file), open_dataset(data), tmp_path, latents=1, on_progress=interrupt_in_training)
    assert [folder.name for folder in tmp_path.iterdir() if folder.is_dir()] == ["CMCGAN-tiny-0"]


def test_the_folder_of_another_study_is_refused(result: StudyResult, data: Path, file: Path, out: Path) -> None:
    for change, what in ((("0.5", "0.6"), "seconds"), (("encoder_epochs=1", "encoder_epochs=2"), r"rows\.I2S")):
        file.with_name("other.toml").write_text(TINY.replace(*change, 1))
        with pytest.raises(ConfigError, match=f"differs in {what}; choose another --out"):
            run_study(load_study(file.with_name("other.toml")), open_dataset(data), out)
    dataset = data / "dataset.toml"
    kept = dataset.read_text()
    dataset.write_text('content = "prepared again"\n' + kept)
    with pytest.raises(ConfigError, match="differs in content"):
        run_study(load_study(file), open_dataset(data), out)
    dataset.write_text(kept)


def test_a_study_may_grow_and_names_a_run_that_fails(
    result: StudyResult, data: Path, file: Path, out: Path, cmcgan: Cli
) -> None:
    grown = file.with_name("grown.toml")
    grown.write_text(TINY + '[rows.diverging]\npreset = "tiny"\nset = ["loss_weights.consistency=1e39"]\n')
    code, printed, notes = cmcgan("study", data, grown, "--out", out, "--latents", 1, "--json")
    assert code == 1
    assert f"{out / 'diverging-0'} failed: " in notes
    document = json.loads(printed)
    assert "no longer finite" in document["failed"][str(out / "diverging-1")]
    assert [group["name"] for group in document["groups"]] == ["CMCGAN, tiny", "I2S"]
    assert {name: document["steps"][name] for name in result.steps} == result.steps


def test_faults_are_reported_before_anything_is_trained(data: Path, file: Path, tmp_path: Path) -> None:
    study = load_study(file)
    with pytest.raises(DataError, match="no pairs in its tset split"):
        run_study(study, open_dataset(data), tmp_path / "out", split="tset")
    (tmp_path / "faulty.toml").write_text(TINY.replace('preset = "tiny"', 'preset = "tiny"\nset = ["options.hop=1"]'))
    with pytest.raises(ConfigError, match=r"(?s)rows\.CMCGAN, tiny: .*did you mean hops"):
        run_study(load_study(tmp_path / "faulty.toml"), open_dataset(data), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").write_text("a file")
    with pytest.raises(TrainingError, match=r"cannot be written.*run the same command again"):
        run_study(study, open_dataset(data), tmp_path / "out")


def test_the_command_line_shows_the_tables_and_what_trains_each_row(
    result: StudyResult, data: Path, file: Path, out: Path, cmcgan: Cli
) -> None:
    code, printed, notes = cmcgan("study", data, file, "--out", out, "--latents", 1)
    assert code == 0
    for part in ("Table 1, S2I", "Table 1, I2S", "CMCGAN, tiny", "0.7661", "GA-V"):
        assert part in printed
    (line,) = (line for line in notes.splitlines() if line.startswith("I2S: "))
    command, *arguments = shlex.split(line.removeprefix("I2S: "))
    assert command == "cmcgan"
    code, printed, _ = cmcgan(*arguments, "--dry-run", "--json")
    assert (code, json.loads(printed)["steps"]) == (0, result.steps["I2S"])
    code, printed, _ = cmcgan("study", data, file, "--out", out, "--latents", 1, "--json", "--quiet")
    groups = json.loads(printed)["groups"]
    assert [group["name"] for group in groups] == ["CMCGAN, tiny", "I2S"]
    assert groups[0]["cpu_seconds"]["value"] > 0


def test_a_dry_run_trains_nothing(data: Path, file: Path, tmp_path: Path, cmcgan: Cli) -> None:
    code, printed, _ = cmcgan("study", data, file, "--out", tmp_path / "none", "--dry-run")
    assert code == 0
    assert "4 trainings" in printed
    code, printed, _ = cmcgan("study", data, file, "--out", tmp_path / "none", "--dry-run", "--json")
    document = json.loads(printed)
    assert document["rows"]["CMCGAN, tiny"] == {"preset": "tiny", "set": []}
    assert document["parameters"]["I2S"] > 1000
    assert cmcgan("study", data / "none", file, "--dry-run")[0] == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", study_names())
def test_the_studies_that_ship_are_valid(name: str, data: Path) -> None:
    study = load_study(find_study(name))
    assert len(study.seeds) >= 3
    assert all(study.config(row).judge == "judge-small" for row in study.rows)
    assert plan_study(study, open_dataset(data)).keys() == study.rows.keys()


@pytest.mark.parametrize("name", study_names())
def test_the_studies_that_ship_have_a_full_size(name: str) -> None:
    small, full = load_study(find_study(name)), load_study(find_study(name), full_size=True)
    assert full.seconds > small.seconds
    for row, recipe in full.rows.items():
        config, other = full.config(row), small.rows[row]
        assert (config.judge, config.network.width) == ("judge", 1)
        assert (recipe.preset, recipe.set) == (full_size_preset(other.preset), other.set)


def test_a_study_without_a_second_budget_has_one_size(file: Path) -> None:
    with pytest.raises(ConfigError, match="one size only; for another, add full_seconds"):
        load_study(file, full_size=True)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (('preset = "i2s"', 'preset = "i2"'), "no preset is called 'i2'"),
        (("judge=judge-tiny", "judge=judge"), "different judges"),
        (("seeds = [0, 1]", "seeds = []"), "seeds: is empty"),
        (("seeds = [0, 1]", "seeds = [1, 1]"), "a seed is listed twice"),
        (("rows.I2S", 'rows."CMCGAN / tiny"'), "needs letters or digits that differ from those of other rows"),
        (("seconds = 0.5", "second = 0.5"), "seconds: is missing"),
        (("network.width=0.0625", "network.wide=0.0625"), r"rows\.I2S: .*\n.*did you mean width"),
        (("judge=judge-tiny", "judge=judge-tinny"), "rows.I2S: no preset is called 'judge-tinny'"),
        (("network.width=0.0625", "seed=4"), r"rows\.I2S\.set: the study chooses seed; remove this setting"),
        (("train.sample_every=50", "train.steps=50"), r"\n  set: the study chooses train\.steps; remove this setting"),
        (("seeds = [0, 1]", "seeds = [0, -1]"), r"seeds\[1\]: should be at least 0"),
    ],
)
def test_a_study_that_compares_nothing_is_refused(
    file: Path, tmp_path: Path, change: tuple[str, str], fault: str
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(TINY.replace(*change))
    with pytest.raises(ConfigError, match=fault):
        load_study(wrong)


def test_a_study_that_does_not_exist_is_named(cmcgan: Cli, data: Path) -> None:
    code, _, printed = cmcgan("study", data, "rivalz")
    assert code == 1
    assert "did you mean rivals?" in printed


def test_a_network_that_does_not_generate_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "judges.toml").write_text('title = "Judges"\nseconds = 1\n[rows.judge]\npreset = "judge-tiny"\n')
    with pytest.raises(ConfigError, match="generates nothing"):
        run_study(load_study(tmp_path / "judges.toml"), open_dataset(data), tmp_path / "out")


def test_a_budget_pays_for_the_encoder_first(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["network.width=0.0625", "network.picture_size=32", "options.encoder_epochs=2", "train.batch_size=16"]
    run = Run(load_config("i2s", settings=settings), open_dataset(data), data, choose_device("cpu"))
    monkeypatch.setattr(budget, "step_seconds", lambda run, done, most=99: 0.5 if (done, most) == (0, 6) else 2.0)
    # Two epochs of three steps, half a second each; then seven seconds, two each.
    assert steps_within(run, 10) == 6 + round(7 / 2)
    with pytest.raises(ConfigError, match="takes 3 of 2 seconds"):
        steps_within(run, 2)


def test_recipes_are_measured_in_turns_and_the_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([10, 100, 30, 300, 20, 50])
    monkeypatch.setattr(budget, "steps_within", lambda run, seconds: next(measured))
    begun: list[str] = []
    steps = affordable_steps(["a", "b"], begun.append, 1, silent)
    assert begun == ["a", "b"] * 3
    assert steps == {"a": 20, "b": 100}


def test_the_cost_of_the_encoder_is_taken_on_its_own_steps(data: Path) -> None:
    settings = ["network.width=0.0625", "network.picture_size=32", "options.encoder_epochs=1", "train.batch_size=16"]
    run = Run(load_config("i2s", settings=settings), open_dataset(data), data, choose_device("cpu"))
    before = [parameter.clone() for parameter in run.method.discriminator.parameters()]
    step_seconds(run, 0, 3)
    assert all(map(torch.equal, before, run.method.discriminator.parameters()))
    step_seconds(run, 3)
    assert not all(map(torch.equal, before, run.method.discriminator.parameters()))


def test_a_larger_budget_buys_more(data: Path) -> None:
    few, many = (
        steps_within(Run(tiny_config(), open_dataset(data), data, choose_device("cpu")), seconds)
        for seconds in (10, 1000)
    )
    assert 10 * few < many


def test_a_step_that_does_more_costs_more(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "TIMED", 2)
    monkeypatch.setattr(budget, "WARM_UP", 1)
    costs = []
    for updates in (1, 6):
        config = tiny_config(f"train.generator_updates={updates}")
        costs.append(step_seconds(Run(config, open_dataset(data), data, choose_device("cpu")), 0))
    assert costs[1] > 2 * costs[0]
