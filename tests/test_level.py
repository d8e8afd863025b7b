"""The level of sounds, and of what `generate` writes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Run
from media_fixtures import plain, tone, write_jpg, write_video

from cmcgan_core.checkpoint import Trained
from cmcgan_core.errors import ConfigError
from cmcgan_core.features.representations import analyse, synthesise
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.features.stitch import stitch
from cmcgan_core.inference.generate.batch import generate_file
from cmcgan_core.inference.generate.plan import OutputOptions
from cmcgan_core.inference.model import Model
from cmcgan_core.media.files import loudness, read_sound
from cmcgan_core.media.level import LOUDNESS, PEAK, set_level, set_level_of_blocks

RATE = 44_100
SETTINGS = FeatureSettings()


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jpg(tmp_path_factory.mktemp("picture") / "player.jpg", plain((200, 60, 60)))


def test_a_sound_gets_the_level() -> None:
    for level in (0.01, 0.9):
        assert loudness(set_level(tone(1, level=level), RATE)) == pytest.approx(-20, abs=0.01)
    assert loudness(set_level(tone(1, level=0.9), RATE, -40)) == pytest.approx(-40, abs=0.01)


def test_no_sound_clips() -> None:
    clicks = np.zeros(RATE, np.float32)
    clicks[::2000] = 0.3
    assert np.abs(set_level(clicks, RATE, -3)).max() == pytest.approx(PEAK)
    assert np.abs(set_level(tone(1, level=3), RATE, None)).max() == pytest.approx(PEAK)


def test_without_a_level_a_sound_that_does_not_clip_stays_as_it_is() -> None:
    assert np.array_equal(set_level(tone(1, level=0.3), RATE, None), tone(1, level=0.3))


def test_silence_stays_silence() -> None:
    faint = np.random.default_rng(0).normal(0, 1e-4, RATE).astype(np.float32)  # -80 dBFS
    for silence in (faint, np.zeros(RATE, np.float32), np.zeros(0, np.float32)):
        assert np.array_equal(set_level(silence, RATE), silence)


def test_a_pause_does_not_make_the_rest_louder() -> None:
    sound = np.concatenate([tone(1, level=0.01), np.zeros(5 * RATE, np.float32)])
    assert loudness(set_level(sound, RATE)[:RATE]) == pytest.approx(-20, abs=0.01)


def test_blocks_get_the_level_of_the_whole_sound(tmp_path: Path) -> None:
    sound = np.concatenate([tone(0.7, level=0.02), np.zeros(RATE, np.float32), tone(0.4, level=0.2)])
    blocks = np.split(sound, [1, 30_000, 30_000, 60_001])
    scaled = list(set_level_of_blocks(iter(blocks), RATE, -25.0, tmp_path))
    assert [len(block) for block in scaled] == [len(block) for block in blocks]
    assert np.allclose(np.concatenate(scaled), set_level(sound, RATE, -25.0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("level", [0.005, 0.5])
def test_a_spectrogram_keeps_the_level_of_its_sound(level: float) -> None:
    rng = np.random.default_rng(0)
    sound = level * (tone(1, 440) + tone(1, 880)) + rng.normal(0, level / 50, RATE).astype(np.float32)
    spectrograms = analyse(torch.from_numpy(sound.reshape(2, -1)), SETTINGS)
    seeded = torch.Generator().manual_seed(0)
    again = synthesise(spectrograms, SETTINGS, seeded).numpy().ravel()
    assert loudness(again) == pytest.approx(loudness(sound), abs=0.5)
    chunks = [(number / 2, spectrogram) for number, spectrogram in enumerate(spectrograms)]
    long = np.concatenate(list(stitch(chunks, SETTINGS, 1.0, seeded)))
    assert loudness(long) == pytest.approx(loudness(sound), abs=0.5)


@pytest.mark.parametrize("seconds", [0.5, 1.2])
def test_generated_sounds_are_heard(trained: Trained, picture: Path, tmp_path: Path, seconds: float) -> None:
    by_level = {}
    for level in (LOUDNESS, -35.0, None):
        options = OutputOptions(seconds=seconds, loudness=level)
        result = generate_file(trained, picture, tmp_path / f"{level}", output=options)
        by_level[level] = read_sound(result.outputs[0], RATE)
    assert loudness(by_level[-35.0]) == pytest.approx(-35, abs=0.5)
    peak = np.abs(by_level[LOUDNESS]).max()
    assert loudness(by_level[LOUDNESS]) == pytest.approx(-20, abs=0.5) or peak == pytest.approx(PEAK, abs=0.01)
    own, quiet = by_level[None], by_level[-35.0]
    assert float(np.corrcoef(own, quiet)[0, 1]) == pytest.approx(1, abs=0.01)
    assert abs(loudness(own) + 35) > 1


def test_a_soundtrack_gets_the_level(trained: Trained, tmp_path: Path) -> None:
    film = write_video(tmp_path / "silent.mp4", [plain((200, 0, 0))] * 15)
    for level in (-20.0, -30.0):
        out = Model(trained, None).add_soundtrack(film, tmp_path / "a.mkv", loudness=level)
        assert loudness(read_sound(out, RATE)) == pytest.approx(level, abs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "silent.mp4"]


def test_the_command_sets_the_level(cmcgan: Run, tiny_run: Path, picture: Path, tmp_path: Path) -> None:
    code, _, err = cmcgan(
        "generate", "--from", picture, "--out", tmp_path / "a.wav", "--checkpoint", tiny_run, "--loudness", "-30"
    )
    assert code == 0, err
    assert loudness(read_sound(tmp_path / "a.wav", RATE)) == pytest.approx(-30, abs=0.5)


@pytest.mark.parametrize(("value", "code", "message"), [("loud", 2, "neither a number"), ("3", 1, "take -60 to 0")])
def test_an_impossible_level_is_refused(cmcgan: Run, picture: Path, value: str, code: int, message: str) -> None:
    result, _, err = cmcgan("generate", "--from", picture, "--loudness", value)
    assert result == code
    assert message in err


def test_a_level_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="loudness"):
        OutputOptions(loudness=float("nan"))
