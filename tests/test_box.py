"""The model in the box: what a fresh install does before anybody trains."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cmcgan_cli.app import app
from cmcgan_core.checkpoint import BOX, half_precision, load_checkpoint, read_about
from cmcgan_core.data.synthetic import DEMO_CLASSES
from cmcgan_core.media.files import read_picture, read_sound, write_picture, write_sound


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place with a tone and a picture."""
    monkeypatch.chdir(tmp_path)
    time = np.arange(44_100) / 44_100
    write_sound(tmp_path / "tone.wav", np.sin(2 * np.pi * 440 * time).astype(np.float32) / 2, 44_100)
    write_picture(tmp_path / "grey.png", np.full((128, 128, 3), 128, np.uint8))
    return tmp_path


def test_a_fresh_install_turns_sound_into_picture_and_picture_into_sound(given: Path) -> None:
    result = CliRunner().invoke(
        app, ["generate", "--from", "tone.wav", "--from", "grey.png", "--out", "made", "--quiet"]
    )
    assert result.exit_code == 0, result.output
    assert read_picture(given / "made/tone.png").std() > 5
    assert np.abs(read_sound(given / "made/grey.wav", 44_100)).max() > 0.001


def test_a_fresh_install_classifies(given: Path) -> None:
    result = CliRunner().invoke(app, ["classify", "--from", "tone.wav", "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert set(said["probabilities"]) == set(DEMO_CLASSES)


def test_the_box_is_light_and_says_what_it_is() -> None:
    assert (BOX / "last.safetensors").stat().st_size <= 10_000_000
    assert read_about(BOX / "last.safetensors").classes == DEMO_CLASSES
    card = (BOX / "MODEL_CARD.md").read_text(encoding="utf-8")
    for heading in ("Data", "Recipe", "Measured", "Limits"):
        assert f"## {heading}" in card


def test_half_precision_keeps_running_statistics_and_counts() -> None:
    tensors = {"weight": torch.ones(2), "norm.running_var": torch.full((1,), 1e6), "count": torch.tensor(3)}
    halved = half_precision(tensors)
    assert [halved[name].dtype for name in tensors] == [torch.float16, torch.float32, torch.int64]


def test_weights_of_the_box_are_single_precision_once_loaded() -> None:
    trained = load_checkpoint(BOX / "last.safetensors", torch.device("cpu"))
    assert {p.dtype for p in trained.network.parameters()} == {torch.float32}
