from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.classify import load_classifier
from cmcgan_core.data.features import FeatureSettings
from cmcgan_core.errors import CheckpointError, ConfigError, MediaError
from cmcgan_core.generate import Choices, generate_file, read_chunk, refuse_collisions, translator

CPU = torch.device("cpu")
SETTINGS = FeatureSettings()


@pytest.fixture(scope="module")
def trained(tiny_run: Path) -> Trained:
    return load_checkpoint(tiny_run / "last.safetensors", CPU)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """Two seconds of a tone that is loud from 1.0 to 1.5 s."""
    time = np.arange(2 * 44_100) / 44_100
    level = np.where((time >= 1.0) & (time < 1.5), 0.5, 0.05)
    soundfile.write(tmp_path / "tone.wav", level * np.sin(2 * np.pi * 440 * time), 44_100)
    return tmp_path / "tone.wav"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (200, 120), (180, 40, 30)).save(tmp_path / "player.jpg")
    return tmp_path / "player.jpg"


def test_a_sound_becomes_a_picture(trained: Trained, sound: Path, tmp_path: Path) -> None:
    made = generate_file(trained, sound, tmp_path / "made", Choices())
    assert made.outputs == (tmp_path / "made" / "tone.png",)
    assert made.direction == "a2v"
    with Image.open(made.outputs[0]) as opened:
        assert (opened.size, opened.mode) == ((32, 32), "RGB")


def test_a_picture_becomes_half_a_second_of_sound_and_its_spectrogram(
    trained: Trained, picture: Path, tmp_path: Path
) -> None:
    made = generate_file(trained, picture, tmp_path / "made", Choices())
    assert [path.name for path in made.outputs] == ["player.wav", "player.lms.png"]
    waveform, rate = soundfile.read(made.outputs[0])
    assert (len(waveform), rate) == (22_050, 44_100)
    assert np.abs(waveform).max() > 0
    with Image.open(made.outputs[1]) as drawn:
        assert drawn.size == (44 * 3, 128 * 3)


def test_samples_differ_and_a_seed_repeats_them(trained: Trained, sound: Path, tmp_path: Path) -> None:
    def made(folder: str, seed: int) -> list[bytes]:
        choices = Choices(samples=3, seed=seed)
        return [path.read_bytes() for path in generate_file(trained, sound, tmp_path / folder, choices).outputs]

    first = made("one", 5)
    assert len(set(first)) == 3
    assert made("two", 5) == first
    assert made("three", 6) != first


def test_sample_i_of_a_seed_is_the_first_of_seed_plus_i(trained: Trained, picture: Path, tmp_path: Path) -> None:
    among = generate_file(trained, picture, tmp_path / "among", Choices(seed=3, samples=3)).outputs
    alone = generate_file(trained, picture, tmp_path / "alone", Choices(seed=5)).outputs
    assert [path.name for path in among] == [f"player-{i}{s}" for i in (1, 2, 3) for s in (".wav", ".lms.png")]
    assert [path.read_bytes() for path in alone] == [path.read_bytes() for path in among[4:]]


def test_existing_results_are_kept_unless_asked(trained: Trained, sound: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.png"
    target.write_bytes(b"precious")
    assert generate_file(trained, sound, target, Choices()).skipped
    assert target.read_bytes() == b"precious"
    assert not generate_file(trained, sound, target, Choices(overwrite=True)).skipped
    assert target.read_bytes().startswith(b"\x89PNG")


def test_only_missing_results_are_made(trained: Trained, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "player-2.wav").write_bytes(b"precious")
    made = generate_file(trained, picture, tmp_path / "made", Choices(samples=2))
    assert not made.skipped
    assert len(made.outputs) == 4
    assert all(path.exists() for path in made.outputs)
    assert (tmp_path / "made" / "player-2.wav").read_bytes() == b"precious"


def test_a_name_that_does_not_fit_is_refused(trained: Trained, sound: Path, picture: Path, tmp_path: Path) -> None:
    for source, out in ((picture, "made.png"), (sound, "made.wav")):
        with pytest.raises(MediaError, match="cannot become"):
            generate_file(trained, source, tmp_path / out, Choices())
        assert not (tmp_path / out).exists()


def test_an_input_is_never_replaced(trained: Trained, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "same.png")
    soundfile.write(tmp_path / "same.wav", np.zeros(30_000), 44_100)
    both = [tmp_path / "same.png", tmp_path / "same.wav"]
    with pytest.raises(ConfigError, match="an input too"):
        refuse_collisions(both, tmp_path, 1)
    refuse_collisions(both, tmp_path / "elsewhere", 1)


def test_two_inputs_never_become_one_file(tmp_path: Path) -> None:
    sources = [tmp_path / "a" / "x.wav", tmp_path / "b" / "x.flac"]
    with pytest.raises(ConfigError, match=r"both become x\.png"):
        refuse_collisions(sources, tmp_path, 1)


def test_the_loudest_half_second_is_heard(sound: Path) -> None:
    chunk = read_chunk(sound, SETTINGS, None)
    assert chunk.shape == (22_050,)
    assert float(chunk.abs().mean()) > 0.25
    assert float(read_chunk(sound, SETTINGS, 0.2).abs().mean()) < 0.05


def test_short_sound_is_filled_with_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.full(441, 0.5), 44_100)
    chunk = read_chunk(tmp_path / "short.wav", SETTINGS, None)
    assert chunk.shape == (22_050,)
    assert float(chunk[441:].abs().max()) == 0


def test_listening_past_the_end_is_refused(sound: Path) -> None:
    for at in (7.0, -1.0, float("nan")):
        with pytest.raises(MediaError, match=r"lasts 2\.00 s"):
            read_chunk(sound, SETTINGS, at)


@pytest.mark.parametrize("name", ["notes.txt", "missing.wav", "missing.png"])
def test_inputs_that_cannot_be_read_are_named(trained: Trained, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("do re mi")
    with pytest.raises(MediaError, match=name):
        generate_file(trained, tmp_path / name, tmp_path / "made", Choices())
    assert not (tmp_path / "made").exists()


def test_a_classifier_cannot_generate(tiny_run: Path) -> None:
    with pytest.raises(CheckpointError, match="generates nothing"):
        translator(load_classifier(tiny_run, CPU))
