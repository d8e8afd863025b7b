"""`cmcgan runs` tells what each run is, and deletes only runs."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from conftest import Run
from test_locks import hold

from cmcgan_core.checkpoint import save_checkpoint
from cmcgan_core.evaluation.results import Evaluation, Seeds
from cmcgan_core.evaluation.runs import State, list_runs
from cmcgan_core.evaluation.scores import Accuracy
from cmcgan_core.modality import Direction
from cmcgan_core.run_folder import read_about


@pytest.fixture
def runs(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `runs` of a working directory, with a finished run and one that was stopped."""
    monkeypatch.chdir(tmp_path)
    for name in ("finished", "stopped"):
        shutil.copytree(tiny_run, tmp_path / "runs" / name)
    last = tmp_path / "runs" / "stopped" / "last.safetensors"
    save_checkpoint(last, replace(read_about(last), step=3, steps=9), {})
    (tmp_path / "runs" / "notes").mkdir()
    return tmp_path / "runs"


def write_evaluation(data: Path, checkpoint: str, s2i: float, split: str = "test") -> None:
    """Write an evaluation into a dataset's folder, as `evaluate` keeps it."""
    score = Accuracy(s2i, s2i, None, None)
    table1 = {Direction.A2V: {"1": {split: score}}}
    seeds = Seeds(latents=(0,), controls=0, bootstrap=0)
    document = Evaluation(checkpoint, str(data), split, seeds, ("a",), {}, {}, hops=1, table1=table1)
    (data / "evaluations").mkdir(parents=True, exist_ok=True)
    (data / "evaluations" / f"{split}-{s2i}.json").write_text(json.dumps(asdict(document)))


def test_the_list_tells_state_steps_figures_and_size(runs: Path, cmcgan: Run, tiny_run: Path) -> None:
    code, out, _ = cmcgan("runs", "--json")
    found = {Path(run["path"]).name: run for run in map(json.loads, out.splitlines())}
    assert (code, found.keys()) == (0, {"finished", "stopped"})
    about = read_about(tiny_run / "last.safetensors")
    done = found["finished"]
    assert (done["state"], done["preset"], done["step"], done["steps"]) == ("finished", "tiny", about.step, about.steps)
    assert done["best"] == about.best
    assert done["size"] == sum(file.stat().st_size for file in (runs / "finished").rglob("*") if file.is_file())
    assert (found["stopped"]["state"], found["stopped"]["step"], found["stopped"]["steps"]) == ("stopped", 3, 9)
    code, text, _ = cmcgan("runs", runs)
    assert code == 0
    assert "3/9" in text


def test_figures_are_those_of_the_newest_evaluation_of_this_training(runs: Path, cmcgan: Run, tmp_path: Path) -> None:
    data, run = tmp_path / "data", runs / "finished"
    (run / "run.toml").write_text(f'data = "{data}"\n')
    write_evaluation(data, "runs/finished/last.safetensors", 0.25)
    write_evaluation(data, "runs/stopped/last.safetensors", 0.5)
    write_evaluation(data, "runs/finished/last.safetensors", 0.75, split="train")
    (data / "evaluations" / "other.json").write_text("{}")

    def figures() -> dict[str, float]:
        (summary,) = list_runs(run)
        return summary.figures

    assert figures() == {"S2I": 0.25}
    assert "0.250" in cmcgan("runs")[1]
    later = time.time() + 10
    os.utime(run / "last.safetensors", (later, later))  # trained again since
    assert figures() == {}


def test_a_run_that_is_being_trained_shows_its_log_and_is_not_deleted(runs: Path, cmcgan: Run) -> None:
    process = hold(runs / "stopped" / ".lock")
    with (runs / "stopped" / "metrics.jsonl").open("a") as log:
        log.write('{"step": 7, "epoch": 0}\n')
    (summary,) = list_runs(runs / "stopped")
    assert (summary.state, summary.step) == (State.TRAINING, 7)
    code, _, said = cmcgan("runs", "delete", "stopped", "--yes")
    assert code == 1
    assert "another process is at work in runs/stopped" in said
    process.communicate("")
    assert (runs / "stopped" / "last.safetensors").exists()


def test_a_damaged_run_is_named_and_does_not_stop_the_others(runs: Path, cmcgan: Run) -> None:
    (runs / "stopped" / "last.safetensors").write_bytes(b"nothing")
    code, out, said = cmcgan("runs")
    assert code == 0
    assert "finished" in out
    assert "damaged" in out
    assert "stopped/last.safetensors is not a cmcgan checkpoint" in said


def test_deleting_tells_what_it_frees(runs: Path, cmcgan: Run) -> None:
    offline = runs / "finished" / "wandb" / "offline-run" / "files"  # what Weights & Biases writes
    offline.mkdir(parents=True)
    (offline / "config.yaml").write_text("a: 1")
    (offline.parent.parent / "latest-run").symlink_to("offline-run")
    (summary,) = list_runs(runs / "finished")
    assert cmcgan("runs", "delete", "finished", "--dry-run")[0] == 0
    assert cmcgan("runs", "delete", "finished")[0] == 1  # nobody answers the question
    assert (runs / "finished").exists()
    code, out, _ = cmcgan("runs", "delete", "finished", "runs/stopped", "--yes")
    assert code == 0
    assert f"deleted runs/finished, which frees {summary.size / 1e6:.1f} MB" in out
    assert [path.name for path in runs.iterdir()] == ["notes"]


@pytest.mark.parametrize("case", ["no run", "other files", "link"])
def test_only_runs_are_deleted(runs: Path, cmcgan: Run, case: str) -> None:
    name = {"no run": "notes", "other files": "finished", "link": "link"}[case]
    (runs / "notes" / "mine.txt").write_text("mine")
    if case == "other files":
        (runs / "finished" / "samples" / "mine.txt").write_text("mine")
    (runs / "link").symlink_to(runs / "finished")
    code, _, said = cmcgan("runs", "delete", "stopped", name, "--yes")
    assert code == 1
    assert {"no run": "notes is not a run", "other files": "samples/mine.txt", "link": "is a link"}[case] in said
    assert (runs / "stopped").exists()
    assert (runs / "finished" / "last.safetensors").exists()
    assert (runs / "notes" / "mine.txt").exists()


def test_listing_does_not_import_torch(runs: Path) -> None:
    code = (
        "import sys; sys.argv = ['cmcgan', 'runs']\nfrom cmcgan_cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('LOADED', {'torch', 'av'} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "LOADED set()"


def test_show_has_the_settings_and_the_log(runs: Path, cmcgan: Run) -> None:
    code, out, _ = cmcgan("runs", "show", "finished", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["config"]["preset"] == "tiny"
    records = [json.loads(line) for line in (runs / "finished" / "metrics.jsonl").read_text().splitlines()]
    values = {record["step"]: record["validation"] for record in records if "validation" in record}
    trend = document["history"]["validation"]
    assert trend["lowest"] == values[trend["step"]] == min(values.values()) == document["best"]
    assert not {"step", "epoch", "seconds", "cpu_seconds"} & document["history"].keys()
    code, text, _ = cmcgan("runs", "show", "finished")
    assert code == 0
    assert "train.batch_size" in text
    assert "validation" in text
