"""Inputs that are unlike the training data, and silence, are recognised."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CLASSES, Run
from media_fixtures import plain, tone, write_jpg, write_video, write_wav

from cmcgan_core.checkpoint import Trained, load_checkpoint, network_tensors, save_checkpoint
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import in_order
from cmcgan_core.inference.classify import classify_file
from cmcgan_core.inference.dynamic_classifier import DynamicClassifier, load_classifier
from cmcgan_core.inference.model import Model
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.modality import Modality
from cmcgan_core.nn.familiarity import distances, fit_familiarity
from cmcgan_core.training.classifiers import embed_split, learn_familiarity

CPU = torch.device("cpu")
SILENCE = np.zeros(30_000, np.float32)


@pytest.fixture
def strict(trained: Trained, classifier: Trained) -> Trained:
    """The classifier, with thresholds that no input stays below."""
    never = {
        m: replace(known, threshold=torch.tensor(-1.0, dtype=torch.float64))
        for m, known in classifier.familiarity.items()
    }
    return replace(classifier, familiarity=never)


@pytest.fixture
def strict_run(trained: Trained, strict: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run with these thresholds, for the command line."""
    monkeypatch.setattr("cmcgan_core.inference.dynamic_classifier.load_checkpoint", lambda *_: strict)
    return trained.path


def draw(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))


def test_distances_by_hand() -> None:
    # Two classes whose codes have the standard deviations 2 and 1 on the axes.
    corners = torch.tensor([[2.0, 1.0], [2.0, -1.0], [-2.0, 1.0], [-2.0, -1.0]])
    codes = torch.cat([corners, corners + torch.tensor([20.0, 0.0])])
    known = fit_familiarity(codes, torch.tensor([0, 0, 0, 0, 7, 7, 7, 7]), codes)
    inputs = torch.tensor([[0.0, 0.0], [4.0, 0.0], [20.0, 3.0]])
    measured = distances(inputs, known.whitening, known.means)
    assert measured.tolist() == pytest.approx([0, 2, 3], rel=0.03, abs=0.01)
    assert known.is_unlike(inputs).tolist() == [False, True, True]  # the held-out codes are at the square root of 2


def test_five_per_cent_of_inputs_like_the_held_out_ones_are_false_alarms() -> None:
    label = torch.zeros(2000, dtype=torch.long)
    known = fit_familiarity(draw(2000, 0), label, draw(1000, 1))
    assert float(known.is_unlike(draw(4000, 2)).float().mean()) == pytest.approx(0.05, abs=0.02)
    assert bool(known.is_unlike(draw(100, 3) + 6).all())


def test_few_codes_of_many_values_give_finite_distances() -> None:
    codes = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    known = fit_familiarity(codes, torch.tensor([0, 0, 1, 1, 1]), codes + 0.1)
    assert bool(distances(codes, known.whitening, known.means).isfinite().all())


def test_a_run_knows_its_validation_split(prepared: Path, trained: Trained, classifier: Trained) -> None:
    assert set(classifier.familiarity) == set(Modality)
    split = open_dataset(prepared).split("validation")
    maps = next(in_order(split, trained.about.config.network, 1000, CPU)).maps()
    network = DynamicClassifier(trained, classifier, SamplingOptions())
    for modality in Modality:
        # The threshold is the largest distance of these nine pairs, so rounding decides for the farthest one.
        assert int(network.find_unlike({modality: maps[modality]}).sum()) <= 1
        noise = torch.rand(maps[modality].shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        assert bool(network.find_unlike({modality: noise}).all())
        other = Modality.VISUAL if modality is Modality.AUDIO else Modality.AUDIO
        assert bool(network.find_unlike({modality: noise, other: maps[other]}).all())


def test_statistics_are_stored_with_the_classifier(prepared: Path, trained: Trained, classifier: Trained) -> None:
    dataset = open_dataset(prepared)
    for modality, known in learn_familiarity(classifier, trained, dataset).items():
        stored = classifier.familiarity[modality]
        codes = embed_split(trained, modality, dataset.split("train"))
        measured, expected = (distances(codes, part.whitening, part.means) for part in (stored, known))
        assert torch.allclose(measured, expected, rtol=0.05)
        assert torch.isclose(stored.threshold, known.threshold, rtol=0.05)


def test_statistics_of_another_checkpoint_are_not_used(tiny_run: Path, tmp_path: Path) -> None:
    trained = load_checkpoint(tiny_run / "last.safetensors", CPU)
    halved = {name: tensor / 2 for name, tensor in network_tensors(trained.network).items()}
    save_checkpoint(tmp_path / "best.safetensors", trained.about, halved)
    shutil.copy(tiny_run / "classifier.safetensors", tmp_path / "classifier.safetensors")
    other = load_checkpoint(tmp_path / "best.safetensors", CPU)
    assert load_classifier(other).familiarity == {}


def test_a_classifier_without_statistics_says_nothing(trained: Trained, classifier: Trained) -> None:
    model = Model(trained, replace(classifier, familiarity={}))
    assert model.classify(tone(1), sample_rate=44_100).unlike_training is None


def test_most_half_seconds_decide(trained: Trained, classifier: Trained, strict: Trained, tmp_path: Path) -> None:
    film = write_video(tmp_path / "a.mp4", [plain((200, 0, 0))] * 15, sound=tone(1.6, 440))
    for network, expected in ((strict, True), (replace(classifier, familiarity={}), None)):
        result = classify_file(trained, network, film, SamplingOptions(), every=0.5)
        assert result.unlike_training is expected
        assert [step.unlike_training for step in result.timeline] == [expected] * 3


def test_a_silent_sound_has_no_class(trained: Trained, classifier: Trained, tmp_path: Path) -> None:
    model, file = Model(trained, classifier), write_wav(tmp_path / "a.wav", SILENCE)
    for result in (model.classify(SILENCE, sample_rate=44_100), model.classify_file(file)):
        assert (result.label, result.confidence, result.probabilities) == (None, None, {})
        assert (result.unlike_training, result.given, result.generated) == (None, ("audio",), None)
    with_picture = model.classify(SILENCE, np.zeros((64, 64, 3), np.uint8), sample_rate=44_100)
    assert with_picture.label in CLASSES


def test_classify_marks_what_is_unlike_and_what_is_silent(cmcgan: Run, strict_run: Path, tmp_path: Path) -> None:
    sound, silent = write_wav(tmp_path / "in/a.wav", tone(1)), write_wav(tmp_path / "in/b.wav", SILENCE)
    command = ["classify", "-c", strict_run, "--from"]
    _, out, _ = cmcgan(*command, sound)
    assert "Warning: the input is unlike the training data, so it may show none of the classes" in out
    _, out, _ = cmcgan(*command, silent)
    assert "The sound is silent, so it has no class." in out
    _, out, err = cmcgan(*command, tmp_path / "in")
    first, second = out.splitlines()
    assert "unlike the training data" in first
    assert f"{silent}: (silent)" in second
    assert "unlike the training data: 1 of 2 inputs\nsilent: 1 of 2 inputs" in err
    _, out, _ = cmcgan(*command, tmp_path / "in", "--json")
    documents = [json.loads(line) for line in out.splitlines()]
    assert [(document["unlike_training"], document["label"] is None) for document in documents] == [
        (True, False),
        (None, True),
    ]
    _, out, _ = cmcgan(*command, tmp_path / "in", "--csv")
    assert [row.split(",")[5] for row in out.splitlines()] == ["unlike_training", "True", ""]


def test_generate_notes_what_is_unlike_and_what_is_silent(cmcgan: Run, strict_run: Path, tmp_path: Path) -> None:
    write_wav(tmp_path / "in/a.wav", tone(1))
    write_wav(tmp_path / "in/b.wav", SILENCE)
    write_jpg(tmp_path / "in/c.jpg", plain((200, 60, 60)))
    command = ["generate", "-c", strict_run, "--from", tmp_path / "in", "--out"]
    code, out, err = cmcgan(*command, tmp_path / "out", "--json")
    assert code == 0
    documents = [json.loads(line) for line in out.splitlines()]
    assert [(made["unlike_training"], made["silent"], made["class"] is None) for made in documents] == [
        (True, False, False),
        (None, True, True),
        (True, False, False),
    ]
    assert "unlike the training data: 2 of 3 inputs\nsilent: 1 of 3 inputs" in err
    _, _, err = cmcgan(*command, tmp_path / "again")
    assert "a.wav: is unlike the training data, so it may show none of the classes" in err
    assert "b.wav: is silent" in err


@pytest.mark.parametrize(("sound", "unlike", "silent"), [(tone(0.6), True, False), (SILENCE, None, True)])
def test_films_are_marked_too(
    trained: Trained, strict: Trained, tmp_path: Path, sound: np.ndarray, unlike: bool | None, silent: bool
) -> None:
    source = write_wav(tmp_path / "a.wav", sound)
    (result,) = Model(trained, strict).convert(source, tmp_path / "a.gif")
    assert (result.unlike_training, result.silent) == (unlike, silent)
