import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import pytest
import torch
from conftest import CLASSES, tiny_config
from PIL import Image
from typer.testing import CliRunner

from cmcgan_cli.app import app
from cmcgan_core.checkpoint import Trained, load_checkpoint, network_tensors, save_checkpoint
from cmcgan_core.data.synthetic import DEMO_CLASSES
from cmcgan_core.errors import CheckpointError, ConfigError
from cmcgan_core.features.representations import analyse
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference import onnx as export
from cmcgan_core.inference.translate import (
    pictures_to_input,
    require_translator,
    to_levels,
    to_pictures,
    waveforms_to_input,
)
from cmcgan_core.media.files import read_picture, read_sound, write_sound
from cmcgan_core.methods import make_method
from cmcgan_core.modality import Direction
from cmcgan_core.run_folder import BOX, About

ROOT = Path(__file__).parents[1]
MODEL = BOX / "last.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both directions of the shipped model, exported."""
    folder = tmp_path_factory.mktemp("onnx")
    export.export_onnx(MODEL, "v2a", folder / "v2a.onnx")
    arguments = ["export", "--direction", "a2v", "-c", MODEL, "-o", folder / "a2v.onnx", "--hops", 2, "--json", "-q"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    (folder / "printed.json").write_text(result.stdout)
    return folder


@pytest.fixture(scope="module")
def trained() -> Trained:
    return load_checkpoint(MODEL, torch.device("cpu"))


def snippet(number: int) -> dict[str, Any]:
    """Run the n-th Python block of docs/export.md in the current folder, and return its variables."""
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[number], names)
    return names


def test_the_command_prints_what_it_exported(folder: Path) -> None:
    document = json.loads((folder / "printed.json").read_text())
    assert (document["direction"], document["hops"]) == ("a2v", 2)
    assert document["shapes"] == {
        "audio": ["batch", 1, 128, 32],
        "visual": ["batch", 3, 64, 64],
        "z": [2, "batch", 100],
    }
    assert 0 < document["difference"] <= export.TOLERANCE


def test_the_metadata_describe_the_model_and_not_this_machine(folder: Path) -> None:
    document = json.loads(onnx_ir.load(folder / "v2a.onnx").metadata_props["cmcgan"])
    assert (document["direction"], document["hops"], tuple(document["classes"])) == ("v2a", 1, DEMO_CLASSES)
    assert FeatureSettings(**document["settings"]) == FeatureSettings()
    content = (folder / "v2a.onnx").read_bytes()
    assert str(ROOT).encode() not in content
    assert b"site-packages" not in content


def test_documented_sound_to_picture(folder: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    time = np.arange(30_000) / 44_100
    sound = (0.3 * np.sign(np.sin(2 * np.pi * 300 * time))).astype(np.float32)
    write_sound(Path("sound.wav"), sound, 44_100)
    used = snippet(0)
    audio = waveforms_to_input(trained, torch.from_numpy(read_sound(Path("sound.wav"), 44_100))[None, :22_050])
    translator = require_translator(trained, Direction.A2V)
    visual = translator.translate(Direction.A2V, audio, torch.from_numpy(used["z"])).detach()
    difference = np.abs(read_picture(Path("picture.png")).astype(int) - to_pictures(visual)[0])
    assert difference.max() <= 2
    assert to_pictures(visual).std() > 5


def test_documented_picture_to_sound(folder: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    Image.fromarray(picture).save("player.png")
    used = snippet(1)
    translator = require_translator(trained, Direction.V2A)
    visual = pictures_to_input(trained, picture[None])
    audio = translator.translate(Direction.V2A, visual, torch.from_numpy(used["z"])).detach()
    levels = to_levels(trained, audio)[0].numpy()
    # Pillow and torch resize a picture of noise a little differently. Levels are decibels.
    difference = np.abs(used["levels"] - levels)
    assert difference.mean() < 0.3
    assert difference.max() < 2
    synthesised = analyse(torch.from_numpy(read_sound(Path("sound.wav"), 44_100)), FeatureSettings())
    loud = levels > levels.max() - 40
    assert np.abs(synthesised.numpy() - levels)[loud].mean() < 3


def test_a_file_that_disagrees_is_not_kept(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx_ir.load(folder / "v2a.onnx")
    weights = max(model.graph.initializers.values(), key=lambda value: value.const_value.size)
    weights.const_value = onnx_ir.tensor(1.1 * weights.const_value.numpy())
    monkeypatch.setattr(export, "_to_onnx", lambda *_: torch.onnx.ONNXProgram(model, None))
    out = tmp_path / "v2a.onnx"
    out.write_bytes(b"of before")
    with pytest.raises(CheckpointError, match="was not kept: onnxruntime's maps differ"):
        export.export_onnx(MODEL, "v2a", out, hops=1)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"of before"]


def test_an_impossible_export_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="generates nothing"):
        export.export_onnx(BOX / "classifier.safetensors", "a2v", tmp_path / "a2v.onnx")
    with pytest.raises(ConfigError, match="unknown direction 'sideways'; known are a2v, v2a"):
        export.export_onnx(MODEL, "sideways", tmp_path / "a2v.onnx")
    with pytest.raises(ConfigError, match=r"take --out a2v\.onnx"):
        export.export_onnx(MODEL, "a2v", tmp_path / "a2v.pb")
    monkeypatch.setattr(export, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(ConfigError, match=r"needs no_such_package; install with: pip install 'cmcgan\[onnx\]'"):
        export.export_onnx(MODEL, "a2v", tmp_path / "a2v.onnx")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        export.export_onnx(MODEL, "a2v", tmp_path / "folder.onnx")


def test_an_unknown_direction_is_a_wrong_command_line() -> None:
    result = CliRunner().invoke(app, ["export", "--direction", "sideways"])
    assert result.exit_code == 2
    assert "not one of 'a2v', 'v2a'" in result.output


@pytest.mark.slow
@pytest.mark.parametrize("settings", [("network.latent=0",), ("network.encoder=resnet", "network.layers=5")], ids=str)
def test_other_networks_can_be_exported(settings: tuple[str, ...], tmp_path: Path) -> None:
    config, feature_settings = tiny_config(*settings), FeatureSettings()
    method = make_method(config, CLASSES, feature_settings)
    about = About(config, CLASSES, feature_settings, step=1, steps=1, data="", content="")
    save_checkpoint(tmp_path / "last.safetensors", about, network_tensors(method.network))
    for direction in ("a2v", "v2a"):
        exported = export.export_onnx(tmp_path / "last.safetensors", direction, tmp_path / f"{direction}.onnx", hops=2)
        assert exported.difference <= export.TOLERANCE
