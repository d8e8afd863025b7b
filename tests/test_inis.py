"""Sounds and pictures that belong together by class only, as in INIS, from their folders to generated samples."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from test_cmav import TINY

from cmcgan_cli import app
from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.evaluation.evaluate import evaluate
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import picture_to_sounds, sound_to_pictures
from cmcgan_core.modality import Direction
from cmcgan_core.training.train import train_run

PITCHES = {"drum": 110, "piano": 880}
COLOURS = {"drum": (200, 30, 30), "piano": (30, 30, 200)}
SMALLEST = ["train.epochs=1", "train.batch_size=8"]
#: For every method, the preset, the settings that make it small, and the representation that it is trained on.
METHODS = {
    "cmcgan": ("tiny", SMALLEST, "lms"),
    "cmcgan on coefficients": ("tiny", SMALLEST, "mfcc"),
    "s2i-c": ("s2i-c", [*TINY, "train.batch_size=8"], "lms"),
    "i2s on amplitudes": ("i2s", [*TINY, "train.batch_size=8"], "stft"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with five sounds of two seconds and seven pictures for each of two classes."""
    root = tmp_path_factory.mktemp("inis")
    rng = np.random.default_rng(0)
    for label, pitch in PITCHES.items():
        for folder in ("sounds", "images"):
            (root / folder / label).mkdir(parents=True)
        for number in range(5):
            tone = np.sin(2 * np.pi * pitch * (1 + number / 50) * np.arange(88_200) / 44_100) * 0.5
            soundfile.write(root / "sounds" / label / f"{number}.wav", tone + rng.normal(0, 0.01, 88_200), 44_100)
        for number in range(7):
            noise = rng.integers(-20, 20, (40, 60, 3))
            picture = (np.array(COLOURS[label]) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(picture).save(root / "images" / label / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def prepare(folders: Path, tmp_path_factory: pytest.TempPathFactory):
    """Prepare the folders in a representation, with the command."""
    out = tmp_path_factory.mktemp("prepared")

    def make(representation: str) -> Path:
        if not (out / representation).exists():
            argv = [
                "cmcgan",
                "prepare",
                folders,
                "--representation",
                representation,
                "--out",
                out / representation,
                "--split",
                "0.6,0.2,0.2",
                "--workers",
                "1",
                "--quiet",
            ]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", list(map(str, argv)))
                with pytest.raises(SystemExit, match="0"):
                    app.main()
        return out / representation

    return make


@pytest.mark.parametrize("representation", ["lms", "mfcc"])
def test_the_sound_and_the_picture_of_a_pair_have_the_same_class(prepare, representation: str) -> None:
    dataset = open_dataset(prepare(representation)).split()
    assert dataset.classes == ("drum", "piano")
    assert dataset.settings.representation == representation
    assert {split: len(dataset.dataset.split(split)) for split in ("train", "validation", "test")} == {
        "train": 24,
        "validation": 8,
        "test": 8,
    }
    assert all(pair.sound_file.split("/")[-2] == pair.picture_file.split("/")[-2] for pair in dataset.pairs)
    stored = dataset.read([0])
    assert stored.spectrograms.shape == (1, dataset.settings.bins, 44)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_trained_on_folders_and_generates_samples(prepare, tmp_path: Path, name: str) -> None:
    preset, settings, representation = METHODS[name]
    data, out = prepare(representation), tmp_path / "run"
    config = load_config(preset, settings=settings)
    train_run(config, open_dataset(data), out)
    trained = load_checkpoint(out / "last.safetensors", torch.device("cpu"))
    assert trained.about.finished
    evaluation = evaluate(out, open_dataset(data), latents=1, thorough=False)
    directions = trained.network.directions
    assert evaluation.table1.keys() == set(directions)
    if Direction.A2V in directions:
        side = config.network.picture_size
        assert sound_to_pictures(trained, torch.zeros(22_050), SamplingOptions()).shape == (1, side, side, 3)
    if Direction.V2A in directions:
        waveforms, levels = picture_to_sounds(trained, np.zeros((50, 50, 3), np.uint8), SamplingOptions(samples=2))
        assert waveforms.shape == (2, 22_050)
        assert levels.shape == (2, trained.about.settings.bins, 44)
        decibels = evaluation.quality[Direction.V2A]["1"]["log_spectral_distance"]
        assert (decibels is None) == (representation == "mfcc")
