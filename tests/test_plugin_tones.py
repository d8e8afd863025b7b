"""The second example plugin: a run is trained with its source, its representation and its method."""

from pathlib import Path

import pytest
import torch
from conftest import Run

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.data.dataset import open_dataset

PITCHES = {"red": (200, 400, 600, 800), "blue": (1000, 1200, 1400, 1600)}


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """Ten recordings of two classes, four pairs each."""
    root = tmp_path / "tones"
    for label, pitches in PITCHES.items():
        for take in range(10):
            file = root / label / f"{take}.tones"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(str(pitch + take) for pitch in pitches))
    return root


def test_a_run_is_trained_with_a_plugins_source_representation_and_method(
    tones: Path, tmp_path: Path, cmcgan: Run
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    code, _, _ = cmcgan("prepare", tones, "--source", "tones", "--representation", "bands", "--out", data, "--quiet")
    assert code == 0
    dataset = open_dataset(data)
    assert (dataset.classes, dataset.settings.representation, dataset.settings.bins) == (("blue", "red"), "bands", 64)
    assert dataset.about["source"] == "tones"
    settings = ["method=linear", "loss_weights.square=1", "train.epochs=8", "train.sample_every=8"]
    options = [word for setting in settings for word in ("--set", setting)]
    code, _, err = cmcgan("train", data, "--preset", "tiny", *options, "--out", run, "--quiet")
    assert code == 0, err
    trained = load_checkpoint(run / "last.safetensors", torch.device("cpu"))
    assert trained.about.config.method == "linear"
    assert (run / "classifier.safetensors").exists()  # it translates, so it completes pairs for a classifier


def test_a_file_that_the_source_cannot_read_is_reported_and_the_others_are_used(
    tones: Path, tmp_path: Path, cmcgan: Run
) -> None:
    (tones / "red" / "0.tones").write_text("loud")
    code, _, err = cmcgan("prepare", tones, "--out", tmp_path / "data", "--quiet")
    assert code == 1
    assert "skipped red/0" in err
    assert len(open_dataset(tmp_path / "data").pairs) == 76
