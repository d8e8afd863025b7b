"""Models as folders in the layout of the Hugging Face Hub."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import Run
from media_fixtures import tone, write_wav
from safetensors import safe_open
from safetensors.torch import load_file

from cmcgan_core import load, load_config
from cmcgan_core.checkpoint import save_checkpoint
from cmcgan_core.errors import CheckpointError, ConfigError
from cmcgan_core.inference.model import Model
from cmcgan_core.run_folder import BOX, RunFolder, read_about

SOUND = np.concatenate([tone(0.7, 200, level=0.1), tone(0.6, 3000)])


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Model:
    return load(tiny_run, "cpu")


@pytest.fixture
def saved(model: Model, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "saved", licence="cc-by-4.0")
    return tmp_path / "saved"


def header_of(card: Path) -> dict[str, Any]:
    return yaml.safe_load(card.read_text(encoding="utf-8").split("---\n")[1])


def outputs(model: Model) -> list[Any]:
    """Everything that a model computes from a sound and from the picture that it generates."""
    picture = model.sound_to_picture(SOUND, sample_rate=44_100)
    classified = model.classify(SOUND, sample_rate=44_100)
    return [np.asarray(picture).tolist(), model.picture_to_sound(picture).tolist(), classified, model.classes]


@pytest.mark.parametrize("function", [load, Model.from_pretrained])
def test_a_saved_model_gives_the_same_results(model: Model, saved: Path, function: Any) -> None:
    loaded = function(saved, "cpu")
    assert outputs(loaded) == outputs(model)
    assert outputs(loaded)[2].unlike_training is not None


def test_the_commands_take_a_saved_model(saved: Path, tiny_run: Path, cmcgan: Run, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "sound.wav", SOUND)
    pictures = []
    for checkpoint in (tiny_run, saved):
        out = tmp_path / f"{checkpoint.name}.png"
        assert cmcgan("generate", sound, "--checkpoint", checkpoint, "--out", out, "--quiet", "--device", "cpu")[0] == 0
        assert cmcgan("classify", sound, "--checkpoint", checkpoint, "--quiet", "--device", "cpu")[0] == 0
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1]


def test_what_only_training_needs_is_left_out(tiny_run: Path, tmp_path: Path) -> None:
    last = RunFolder(tiny_run).last
    tensors = {**load_file(last), "method.extra": torch.zeros(1), "optimizers": torch.tensor(2)}
    save_checkpoint(tmp_path / "unfinished.safetensors", read_about(last), tensors)
    load(tmp_path / "unfinished.safetensors", "cpu").save_pretrained(tmp_path / "saved")
    with safe_open(tmp_path / "saved" / "last.safetensors", framework="pt") as file:
        assert {name.split(".")[0] for name in file.keys()} == {"network"}  # noqa: SIM118


def test_a_run_is_not_overwritten(model: Model, tiny_run: Path) -> None:
    before = {file: file.read_bytes() for file in tiny_run.iterdir() if file.is_file()}
    with pytest.raises(ConfigError, match="holds a run, whose training state would be lost; choose another folder"):
        model.save_pretrained(tiny_run)
    assert {file: file.read_bytes() for file in tiny_run.iterdir() if file.is_file()} == before


def test_a_card_is_kept_and_the_classifier_of_an_older_model_is_not(model: Model, saved: Path) -> None:
    (saved / "README.md").write_text("mine")
    Model(model.trained, None).save_pretrained(saved)
    assert (saved / "README.md").read_text() == "mine"
    assert sorted(file.name for file in saved.iterdir()) == ["README.md", "config.toml", "last.safetensors"]
    assert load_config("tiny", saved / "config.toml") == model.trained.about.config


def test_the_card_has_what_the_hub_reads_and_what_was_measured(model: Model, saved: Path, tmp_path: Path) -> None:
    header = header_of(saved / "README.md")
    assert (header["license"], header["library_name"]) == ("cc-by-4.0", "cmcgan")
    assert {"sound-to-picture", "picture-to-sound", "classification"} <= set(header["tags"])
    (result,) = header["model-index"][0]["results"]
    assert [metric["value"] for metric in result["metrics"]] == [model.trained.about.best]
    load("box", "cpu").save_pretrained(tmp_path / "box")
    assert "model-index" not in header_of(tmp_path / "box" / "README.md")
    text = (tmp_path / "box" / "README.md").read_text(encoding="utf-8")
    assert all(name in text for name in load("box", "cpu").classes)
    assert "validation loss" not in text


def test_the_shipped_model_has_this_layout_and_its_header_has_figures_of_its_card() -> None:
    assert RunFolder(BOX).config.is_file()
    header, text = header_of(RunFolder(BOX).card), RunFolder(BOX).card.read_text(encoding="utf-8").split("---\n", 2)[2]
    metrics = [metric for result in header["model-index"][0]["results"] for metric in result["metrics"]]
    assert len(metrics) == 6
    for metric in metrics:
        assert f"{metric['value']:.3f}" in text, metric["name"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, saved: Path) -> list[dict[str, Any]]:
    """A `huggingface_hub` that has one model, `someone/bands`; the calls are recorded."""
    calls: list[dict[str, Any]] = []

    def snapshot_download(name: str, **options: Any) -> str:
        calls.append({"name": name, **options})
        if name != "someone/bands":
            raise OSError(f"404 Client Error: {name} was not found\nRequest ID: 7")
        return str(saved)

    module = ModuleType("huggingface_hub")
    module.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return calls


def test_a_model_of_the_hub_is_downloaded_without_other_files(hub: list[dict[str, Any]], model: Model) -> None:
    assert outputs(Model.from_pretrained("someone/bands", "cpu", revision="v1")) == outputs(model)
    wanted = ["last.safetensors", "classifier.safetensors", "config.toml", "README.md"]
    assert hub == [{"name": "someone/bands", "revision": "v1", "allow_patterns": wanted}]


def test_a_model_that_the_hub_does_not_have_is_named(hub: list[dict[str, Any]]) -> None:
    with pytest.raises(CheckpointError, match=r"^someone/else is no folder, and .* \(404 .* was not found\); check"):
        Model.from_pretrained("someone/else", "cpu")


def test_a_folder_comes_before_the_hub(hub: list[dict[str, Any]], saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved.parent.parent)
    Model.from_pretrained(f"{saved.parent.name}/{saved.name}", "cpu")
    Model.from_pretrained("box", "cpu")
    assert hub == []


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"someone/bands is no folder.*pip install 'cmcgan\[hub\]'"):
        Model.from_pretrained("someone/bands", "cpu")
