"""`cmcgan compare`, and reports of `cmcgan evaluate`."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from conftest import Run

from cmcgan_cli.tables.evaluation import claims_of_table2, classes
from cmcgan_core.data import dataset
from cmcgan_core.evaluation.results import Evaluation, Seeds
from cmcgan_core.evaluation.scores import Accuracy, ClassScores, JudgeScores
from cmcgan_core.modality import Direction


@pytest.fixture
def run(cmcgan: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call `cmcgan compare` with arguments, in a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")
    return partial(cmcgan, "compare")


def test_runs_are_compared_in_one_table(run: Run, prepared: Path, tiny_run: Path) -> None:
    best = tiny_run / "best.safetensors"
    code, out, err = run(prepared, tiny_run, best, "--latents", 1)
    assert code == 0
    for whole in ("S2I two hops, 2nd judge", "GV-A", "0.9861", "I2S Fréchet distance", "training, s", "tiny"):
        assert whole in out, "a label is missing, or broken over two lines"
    assert max(map(len, out.splitlines())) <= 100
    assert "12 test pairs of 3 recordings" in err


def test_a_comparison_is_json_for_a_script(run: Run, prepared: Path, tiny_run: Path) -> None:
    code, out, _ = run(prepared, tiny_run, "--latents", 1, "--json")
    document = json.loads(out)
    assert code == 0
    assert [run["name"] for run in document["runs"]] == ["tiny"]
    assert document["groups"][0]["figures"]["table2"]["V"]["micro"]["deviation"] is None


def test_a_report_is_written_next_to_the_tables(cmcgan: Run, prepared: Path, tiny_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="install it with: uv sync")
    code, out, err = cmcgan("evaluate", prepared, "-c", tiny_run, "--latents", 1, "--report", tmp_path / "report")
    assert code == 0
    assert "Table 2" in out
    assert f"open {tmp_path / 'report' / 'index.html'}" in err.replace("\n", "")
    assert [file.name for file in (tmp_path / "report").iterdir()] == ["index.html"]


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (["compare"], "Missing argument 'RUN...'"),
        (["evaluate", "run"], "unexpected extra argument"),
    ],
)
def test_wrong_command_lines_are_refused(cmcgan: Run, prepared: Path, command: list[str], fault: str) -> None:
    name, *arguments = command
    code, _, err = cmcgan(name, prepared, *arguments)
    assert code == 2
    assert fault in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize("command", ["evaluate", "compare", "study", "human-eval"])
def test_a_split_that_does_not_exist_is_refused_before_anything_is_trained(
    prepared: Path, tiny_run: Path, tmp_path: Path, cmcgan: Run, command: str
) -> None:
    arguments = {
        "evaluate": ["evaluate", prepared, "-c", tiny_run],
        "compare": ["compare", prepared, tiny_run],
        "study": ["study", prepared, "rivals", "--out", tmp_path / "study"],
        "human-eval": ["human-eval", "create", prepared, "--model", tiny_run, "--out", tmp_path / "study"],
    }
    code, _, err = cmcgan(*arguments[command], "--split", "tset")
    assert code == 1
    assert "choose another --split: train, validation, test" in " ".join(err.split())
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("command", ["evaluate", "train", "compare"])
def test_a_command_parses_the_index_of_its_dataset_once(
    prepared: Path, tiny_run: Path, tmp_path: Path, cmcgan: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    arguments = {
        "evaluate": ["--checkpoint", tiny_run, "--latents", 2],
        "train": ["--preset", "tiny", "--set", "train.epochs=1", "--out", tmp_path / "run"],
        "compare": [tiny_run, "--latents", 2],
    }
    parsed = []
    read_index = dataset.read_index
    monkeypatch.setattr(dataset, "read_index", lambda root: (parsed.append(root), read_index(root))[1])
    assert cmcgan(command, prepared, *arguments[command], "--quiet")[0] == 0
    assert parsed == [prepared]


@pytest.mark.parametrize(("generated", "place"), [(0.93, "below"), (0.95, "within"), (0.99, "above")])
def test_a_sentence_says_whether_generated_pairs_are_as_good_as_real_ones(generated: float, place: str) -> None:
    real = Accuracy(0.96, 0.96, (0.94, 0.98), None)
    table2 = {"V": real, "A": Accuracy(0.9, 0.9, None, None), "V-A": real, "GV-A": Accuracy(generated, 0.5, None, None)}
    assert claims_of_table2(table2) == [f"GV-A is {place} the interval of V-A; A alone has 0.900"]


def test_scores_by_class_have_a_rank_correlation_where_they_differ() -> None:
    scores = {
        f"class {n}": ClassScores(4, {"judge": 1.0, "other": accuracy}, unlikeness)
        for n, (accuracy, unlikeness) in enumerate(((0.9, 0.1), (0.8, 0.2), (0.7, 0.3), (0.6, 0.4), (0.5, 0.5)))
    }
    evaluation = Evaluation(
        "", "", "test", Seeds((0,), 0, 0), tuple(scores), {}, {}, judge="judge", other_judges={"other": JudgeScores()}
    )
    table = classes(replace(evaluation, by_class={Direction.A2V: scores}), Direction.A2V)
    assert str(table.caption).endswith("rank correlation with the accuracies: -, -1.00")
