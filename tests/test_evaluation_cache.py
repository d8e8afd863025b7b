"""The cache of evaluations returns the same figures, and never those of another evaluation."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from cmcgan_core.checkpoint import load_checkpoint, network_tensors, save_checkpoint
from cmcgan_core.data.dataset import PreparedDataset, open_dataset
from cmcgan_core.evaluation import evaluate as evaluation
from cmcgan_core.evaluation.evaluate import evaluate


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The checkpoints that were evaluated and not read from the cache."""
    done: list[Path] = []
    compute = evaluation.compute_evaluation

    def spy(run: Path, *rest: Any) -> Any:
        done.append(run)
        return compute(run, *rest)

    monkeypatch.setattr(evaluation, "compute_evaluation", spy)
    return done


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> PreparedDataset:
    """A dataset without cached evaluations."""
    shutil.copytree(prepared, tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "evaluations", ignore_errors=True)
    return open_dataset(tmp_path / "data")


def test_a_cached_evaluation_equals_the_computed_one(
    data: PreparedDataset, tiny_run: Path, tmp_path: Path, judged: list[Path]
) -> None:
    first = evaluate(tiny_run, data, latents=1)
    assert evaluate(tiny_run, data, latents=1) == first
    assert len(judged) == 1
    moved = tmp_path / "moved"
    shutil.copytree(tiny_run, moved)
    again = evaluate(moved, data, latents=1)
    assert len(judged) == 1
    assert again.checkpoint == str(moved / "last.safetensors")
    assert again.table1 == first.table1


def test_a_change_that_affects_the_figures_is_evaluated_again(
    data: PreparedDataset, tiny_run: Path, tmp_path: Path, judged: list[Path]
) -> None:
    evaluate(tiny_run, data, latents=1)
    evaluate(tiny_run, data, latents=1, seed=1)
    evaluate(tiny_run, data, latents=2)
    evaluate(tiny_run, data, latents=1, split="validation")
    trained = load_checkpoint(tiny_run / "last.safetensors", torch.device("cpu"))
    halved = {name: tensor / 2 for name, tensor in network_tensors(trained.network).items()}
    save_checkpoint(tmp_path / "halved.safetensors", trained.about, halved)
    evaluate(tmp_path / "halved.safetensors", data, latents=1)
    without = tmp_path / "without"
    shutil.copytree(tiny_run, without)
    (without / "classifier.safetensors").unlink()
    evaluate(without, data, latents=1)
    assert len(judged) == 6
    judges = data.root / "judges"
    judge = judges / "judge-tiny-audio-visual-0"
    shutil.copytree(judge, judges / "judge-tiny-small-audio-visual-0")
    evaluate(tiny_run, data, latents=1)
    assert len(judged) == 6, "another judge decides nothing"
    shutil.copyfile(judge / "best.safetensors", judge / "spare.safetensors")
    evaluate(tiny_run, data, latents=1)
    assert len(judged) == 7


def test_a_damaged_file_is_judged_again(data: PreparedDataset, tiny_run: Path, judged: list[Path]) -> None:
    first = evaluate(tiny_run, data, latents=1)
    (kept,) = (data.root / "evaluations").iterdir()
    kept.write_text(kept.read_text()[:-100])
    assert evaluate(tiny_run, data, latents=1) == first
    assert len(judged) == 2


def test_an_evaluation_that_is_not_cached_is_neither_read_nor_kept(
    data: PreparedDataset, tiny_run: Path, judged: list[Path]
) -> None:
    evaluate(tiny_run, data, latents=1, cached=False)
    assert not (data.root / "evaluations").exists()
    evaluate(tiny_run, data, latents=1)
    evaluate(tiny_run, data, latents=1, cached=False)
    assert len(judged) == 3
