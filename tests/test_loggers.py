"""Loggers get what `metrics.jsonl` gets, continue a resumed run, and never stop a training."""

import json
import re
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from conftest import Run as Cmcgan
from conftest import tiny_config
from test_training import interrupt_at

from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.errors import ConfigError, Interrupted, PluginError
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.training.log import CLOCKS, read_log
from cmcgan_core.training.loggers import LOGGERS, LoggedRun, Loggers, require_loggers
from cmcgan_core.training.run import Run, train

ROOT = Path(__file__).parents[1]

#: A `wandb` that writes the calls that it gets to standard output's place: the list CALLS.
WANDB = """
CALLS = []
def Image(pixels): return pixels.shape
class Config(dict):
    def update(self, values, allow_val_change): dict.update(self, values); CALLS.append(("config", dict(values)))
class Run:
    def __init__(self, id): self.id, self.config = id or "new", Config()
    def define_metric(self, name, **options): pass
    def log(self, values): CALLS.append(("log", values))
    def finish(self, exit_code): CALLS.append(("finish", exit_code))
def init(**options):
    CALLS.append(("init", options))
    return Run(options["id"])
"""
#: An `mlflow` with the methods that cmcgan calls.
MLFLOW = """
from types import SimpleNamespace
CALLS = []
class MlflowClient:
    def get_experiment_by_name(self, name): return None
    def create_experiment(self, name): return "7"
    def create_run(self, experiment_id, run_name):
        CALLS.append(("create", experiment_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="new"))
    def __getattr__(self, name): return lambda *args, **options: CALLS.append((name, *args, options))
"""


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put packages `wandb` and `mlflow` on the path that only note their calls; return an empty run folder."""
    packages = tmp_path / "packages"
    (packages / "mlflow").mkdir(parents=True)
    (packages / "wandb.py").write_text(WANDB)
    (packages / "mlflow" / "__init__.py").write_text(MLFLOW)
    (packages / "mlflow" / "entities.py").write_text("Metric = lambda *values: values\n")
    for name in ("wandb", "mlflow", "mlflow.entities"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(packages))
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def calls_of(package: str) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = sys.modules[package].CALLS
    return calls


def log_something(folder: Path, names: list[str] | None, *, complete: bool) -> list[str]:
    """Log a figure and a picture, and return the warnings."""
    warnings: list[str] = []
    loggers = Loggers(LoggedRun(folder, {"train": {"steps": 9}}, step=0), names, warnings.append)
    loggers.scalars(3, {"loss/direct": 0.5})
    loggers.image(3, "samples", np.zeros((4, 6, 3), np.uint8))
    loggers.finish(complete=complete)
    return warnings


def test_wandb_gets_settings_figures_and_pictures_and_continues_its_run(services: Path) -> None:
    assert log_something(services, ["wandb"], complete=False) == []
    log_something(services, None, complete=True)
    calls = calls_of("wandb")
    ids = [options["id"] for kind, options in calls if kind == "init"]
    assert ids == [None, "new"]
    assert ("config", {"train": {"steps": 9}}) in calls
    assert ("log", {"step": 3, "loss/direct": 0.5}) in calls
    assert ("log", {"step": 3, "samples": (4, 6, 3)}) in calls
    assert [code for kind, code in calls if kind == "finish"] == [1, 0]


def test_mlflow_gets_settings_figures_and_pictures_and_continues_its_run(services: Path) -> None:
    assert log_something(services, ["mlflow"], complete=False) == []
    log_something(services, None, complete=True)
    calls = calls_of("mlflow")
    assert [call for call in calls if call[0] == "create"] == [("create", "7", "run")]
    assert ("update_run", "new", {"status": "RUNNING"}) in calls
    assert ("log_param", "new", "train.steps", 9, {}) in calls
    (metric,) = calls[2][-1]["metrics"]
    assert (calls[2][:2], metric[:2], metric[3]) == (("log_batch", "new"), ("loss/direct", 0.5), 3)
    assert [call[2] for call in calls if call[0] == "set_terminated"] == ["KILLED", "FINISHED"]


def test_a_logger_whose_package_is_missing_is_refused_before_the_training(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cmcgan: Cmcgan
) -> None:
    find_spec = sys.modules["importlib.util"].find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "wandb" else find_spec(name))
    out = tmp_path / "run"
    code, _, said = cmcgan("train", prepared, "--preset", "tiny", "--out", out, "--log", "wandb")
    assert code == 1
    assert "pip install 'cmcgan[wandb]'" in said
    assert not out.exists()
    with pytest.raises(ConfigError, match="needs wandb"):
        require_loggers(["wandb"])
    with pytest.raises(PluginError, match=r"no 'wandbb' among the loggers \(did you mean wandb\?\)"):
        require_loggers(["wandbb"])


class Unreliable:
    """A logger that works, until it fails."""

    package = ""
    opened: ClassVar[list[LoggedRun]] = []
    logged: ClassVar[list[tuple[int, dict[str, float]]]] = []
    failing = False

    def __init__(self, run: LoggedRun) -> None:
        self.opened.append(run)
        self.id = run.id or "first"

    def scalars(self, step: int, values: dict[str, float]) -> None:
        if self.failing:
            raise ConnectionError("The server\nis gone")
        self.logged.append((step, values))

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        assert pixels.dtype == np.uint8

    def finish(self, *, complete: bool) -> None:
        pass


def train_with(logger: str | None, prepared: Path, out: Path, on_progress: OnProgress = silent) -> list[str]:
    """Train or resume a run, and return the warnings."""
    warnings: list[str] = []
    names = None if logger is None else [logger]
    config, dataset = tiny_config("train.steps=6"), open_dataset(prepared)
    run = Run(config, dataset, out, torch.device("cpu"), loggers=names, warn=warnings.append)
    train(run, resume=True, overwrite=False, on_progress=on_progress)
    return warnings


def test_a_resumed_training_continues_its_log_and_a_failing_logger_does_not_stop_it(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOGGERS.builtins, "unreliable", Unreliable)
    monkeypatch.setattr(Unreliable, "opened", [])
    monkeypatch.setattr(Unreliable, "logged", [])
    with pytest.raises(Interrupted):
        train_with("unreliable", prepared, tmp_path / "run", interrupt_at(3))
    records = read_log(tmp_path / "run" / "metrics.jsonl")
    figures = [{f"loss/{k}": v for k, v in record.items() if k not in CLOCKS} for record in records]
    assert Unreliable.logged == [(r["step"], values) for r, values in zip(records, figures, strict=True)]
    monkeypatch.setattr(Unreliable, "failing", True)
    (warning,) = train_with(None, prepared, tmp_path / "run")
    assert warning.startswith("the log unreliable failed (the server is gone); the training continues")
    assert [run.id for run in Unreliable.opened] == ["", "first"]
    assert Unreliable.opened[1].config["preset"] == "tiny"
    assert read_log(tmp_path / "run" / "metrics.jsonl")[-1]["step"] == 6


def test_the_documented_plugin_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python logger\n(.*?)```", text, flags=re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    monkeypatch.setitem(LOGGERS.builtins, "lines", namespace["Lines"])
    assert log_something(tmp_path, ["lines"], complete=True) == []
    assert json.loads((tmp_path / "lines.txt").read_text()) == {"step": 3, "loss/direct": 0.5}
