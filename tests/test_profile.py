"""Tests of `train --profile`."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from conftest import tiny_config

from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.errors import ConfigError
from cmcgan_core.progress import silent
from cmcgan_core.training.profile import PROFILED, TABLE, TRACE
from cmcgan_core.training.run import Run, train
from cmcgan_core.training.train import train_run


@pytest.mark.slow
def test_a_profile_names_the_operations_of_some_steps(prepared: Path, tmp_path: Path) -> None:
    run = Run(
        tiny_config("train.steps=18"), open_dataset(prepared), tmp_path / "run", torch.device("cpu"), profiled=True
    )
    train(run, resume=False, overwrite=False, on_progress=silent)
    assert "aten::convolution_backward" in (tmp_path / "run" / TABLE).read_text(encoding="utf-8")
    trace = json.loads(gzip.decompress((tmp_path / "run" / TRACE).read_bytes()))
    steps = {event["name"] for event in trace["traceEvents"] if event["name"].startswith("ProfilerStep")}
    assert len(steps) == PROFILED


def test_a_run_that_is_too_short_for_a_profile_says_so(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a profile needs 17 steps, and 16 are left"):
        train_run(tiny_config("train.steps=16"), open_dataset(prepared), tmp_path / "run", profiled=True)


def test_a_run_that_is_too_short_for_a_profile_replaces_no_other_run(prepared: Path, tmp_path: Path) -> None:
    run = train_run(tiny_config("train.steps=2"), open_dataset(prepared), tmp_path / "run").out
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    with pytest.raises(ConfigError, match="a profile needs"):
        train_run(tiny_config("train.steps=3"), open_dataset(prepared), run, overwrite=True, profiled=True)
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before
