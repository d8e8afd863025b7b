"""The model that ships with cmcgan ("the box"), which a new installation uses before anything is trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

from cmcgan_cli.app import app
from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.data.dataset import StoredPairs
from cmcgan_core.data.loader import Batch, to_batch
from cmcgan_core.data.prepare.recording import SourceOptions
from cmcgan_core.data.synthetic import DEMO_CLASSES, DemoSource
from cmcgan_core.features.representations import analyse
from cmcgan_core.inference.completion import Completion
from cmcgan_core.inference.retrieve.embedding import SHIPPED, load_embedder, require_embedder
from cmcgan_core.media.files import read_picture, read_sound, write_picture, write_sound
from cmcgan_core.run_folder import BOX, read_about
from cmcgan_core.tour.demonstration import BOX_PAIRS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tone and a picture; it is the current folder."""
    monkeypatch.chdir(tmp_path)
    time = np.arange(44_100) / 44_100
    write_sound(tmp_path / "tone.wav", np.sin(2 * np.pi * 440 * time).astype(np.float32) / 2, 44_100)
    write_picture(tmp_path / "grey.png", np.full((128, 128, 3), 128, np.uint8))
    return tmp_path


def test_a_new_installation_generates_a_picture_and_a_sound(folder: Path) -> None:
    result = CliRunner().invoke(
        app, ["generate", "--from", "tone.wav", "--from", "grey.png", "--out", "made", "--quiet"]
    )
    assert result.exit_code == 0, result.output
    assert read_picture(folder / "made/tone.png").std() > 5
    assert np.abs(read_sound(folder / "made/grey.wav", 44_100)).max() > 0.001


def test_a_new_installation_classifies(folder: Path) -> None:
    result = CliRunner().invoke(app, ["classify", "--from", "tone.wav", "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert set(document["probabilities"]) == set(DEMO_CLASSES)


def test_the_box_is_small_and_has_a_card() -> None:
    assert (BOX / "last.safetensors").stat().st_size <= 10_000_000
    assert read_about(BOX / "last.safetensors").classes == DEMO_CLASSES
    card = (BOX / "README.md").read_text(encoding="utf-8")
    for heading in ("Data", "Recipe", "Measured", "Limits"):
        assert f"## {heading}" in card


def test_weights_of_the_box_are_loaded_in_single_precision() -> None:
    trained = load_checkpoint(BOX / "last.safetensors", torch.device("cpu"))
    assert {p.dtype for p in trained.network.parameters()} == {torch.float32}


#: Share of 247 rendered test pairs whose sound finds a picture of its class first among all their pictures, and the
#: other way round, as the model card prints it.
RETRIEVAL_CARD = {"S->P": 0.927, "P->S": 1.0}


def test_the_retrieval_model_reaches_the_figures_of_its_card(rendered: Batch) -> None:
    trained = load_embedder(None, torch.device("cpu"))
    assert (trained.path, trained.about.config.method) == (SHIPPED, "cm-gans")
    assert SHIPPED.stat().st_size <= 5_000_000
    network = require_embedder(trained)
    with torch.inference_mode():
        sounds, pictures = (F.normalize(network.embed(m, maps), dim=1) for m, maps in rendered.maps().items())
    similarity = sounds @ pictures.T
    card = (BOX / "README.md").read_text(encoding="utf-8")
    for (task, expected), ranked in zip(RETRIEVAL_CARD.items(), (similarity, similarity.T), strict=True):
        found = float((rendered.label[ranked.argmax(dim=1)] == rendered.label).float().mean())
        assert found == pytest.approx(expected, abs=0.02), task
        assert f"{task} {expected:.3f}" in card


#: Accuracy of the box's own classifier on 247 rendered test pairs, as the model card prints it.
CARD = {"V-A": 1.000, "GV-A": 0.931, "GA-V": 1.000}


def test_the_box_reaches_the_figures_of_its_card(rendered: Batch) -> None:
    """The model reaches its figures, so rendering, networks and weights still match those at training time."""
    generating, classifier = (
        load_checkpoint(BOX / f"{name}.safetensors", torch.device("cpu")) for name in ("last", "classifier")
    )
    completion = Completion(generating)
    card = (BOX / "README.md").read_text(encoding="utf-8")
    for case, expected in CARD.items():
        with torch.inference_mode():
            logits = classifier.network(completion.complete(rendered, case, torch.Generator().manual_seed(0)).maps())
        accuracy = float((logits.argmax(dim=1) == rendered.label).float().mean())
        assert accuracy == pytest.approx(expected, abs=0.02), case
        assert f"{case} {expected:.3f}" in card


@pytest.fixture(scope="module")
def rendered() -> Batch:
    """Render the first test recording of each class of the set that the box was trained on, about 20 pairs each."""
    source, options = DemoSource(BOX_PAIRS), SourceOptions()
    recordings, _ = source.recordings(Path(), options)
    firsts = {recording.label: recording for recording in reversed(recordings) if recording.split == "test"}
    pairs = [pair for label in DEMO_CLASSES for pair in source.read_pairs(firsts[label], options)]
    labels = [i for i, label in enumerate(DEMO_CLASSES) for _ in range(firsts[label].pairs or 0)]
    spectrograms = analyse(torch.from_numpy(np.stack([pair.sound for pair in pairs])), options.settings)
    pictures = torch.from_numpy(np.stack([pair.picture for pair in pairs]))
    stored = StoredPairs(spectrograms, pictures, torch.tensor(labels), torch.zeros(len(labels), dtype=torch.long))
    network = read_about(BOX / "last.safetensors").config.network
    return to_batch(stored, network, options.settings, torch.device("cpu"))
