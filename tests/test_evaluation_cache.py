"""Evaluations that are kept: the same figures, and never those of something else."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from cmcgan_core.evaluation import evaluate as evaluation_cache
from cmcgan_core.evaluation.evaluate import evaluate_once


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The checkpoints that were judged rather than remembered."""
    done: list[Path] = []
    evaluate = evaluation_cache.evaluate

    def spy(run: Path, *rest: Any, **named: Any) -> Any:
        done.append(run)
        return evaluate(run, *rest, **named)

    monkeypatch.setattr(evaluation_cache, "evaluate", spy)
    return done


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    """A dataset that nothing was judged on."""
    shutil.copytree(prepared, tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "evaluations", ignore_errors=True)
    return tmp_path / "data"


def test_what_was_judged_is_remembered_exactly(data: Path, tiny_run: Path, tmp_path: Path, judged: list[Path]) -> None:
    first = evaluate_once(tiny_run, data, latents=1)
    assert evaluate_once(tiny_run, data, latents=1) == first
    assert len(judged) == 1
    moved = tmp_path / "moved"
    shutil.copytree(tiny_run, moved)
    again = evaluate_once(moved, data, latents=1)
    assert len(judged) == 1
    assert again.checkpoint == str(moved / "last.safetensors")
    assert again.table1 == first.table1


def test_what_decides_a_figure_is_judged_anew(data: Path, tiny_run: Path, tmp_path: Path, judged: list[Path]) -> None:
    evaluate_once(tiny_run, data, latents=1)
    evaluate_once(tiny_run, data, latents=1, seed=1)
    evaluate_once(tiny_run, data, latents=2)
    evaluate_once(tiny_run, data, latents=1, split="validation")
    evaluate_once(tiny_run / "best.safetensors", data, latents=1)
    without = tmp_path / "without"
    shutil.copytree(tiny_run, without)
    (without / "classifier.safetensors").unlink()
    evaluate_once(without, data, latents=1)
    assert len(judged) == 6
    shutil.copyfile(data / "judges/judge-tiny-v-0/best.safetensors", data / "judges/judge-tiny-v-0/spare.safetensors")
    evaluate_once(tiny_run, data, latents=1)
    assert len(judged) == 7


def test_a_damaged_file_is_judged_anew(data: Path, tiny_run: Path, judged: list[Path]) -> None:
    first = evaluate_once(tiny_run, data, latents=1)
    (kept,) = (data / "evaluations").iterdir()
    kept.write_text(kept.read_text()[:-100])
    assert evaluate_once(tiny_run, data, latents=1) == first
    assert len(judged) == 2
