from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cmcgan_core.errors import MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.arrays import to_picture, to_windows
from cmcgan_core.media.files import read_picture, write_sound

SETTINGS = FeatureSettings()
TONE = (0.4 * np.sin(2 * np.pi * 220 * np.arange(66_150) / 44_100)).astype(np.float32)


def test_a_sound_in_memory_equals_its_file(tmp_path: Path) -> None:
    write_sound(tmp_path / "tone.wav", TONE, 44_100)
    expected = to_windows(str(tmp_path / "tone.wav"), None, SETTINGS).at(0.25)
    for sound in (TONE, torch.from_numpy(TONE), TONE.astype(np.float64), np.stack([TONE * 2, TONE * 0])):
        waveform = to_windows(sound, 44_100, SETTINGS).at(0.25)
        assert np.abs(waveform - expected).max() < 1e-4


def test_a_sound_in_memory_is_resampled() -> None:
    half = TONE[::2]  # 22,050 Hz
    assert np.abs(to_windows(half, 22_050, SETTINGS).at(0.5) - TONE[22_050:44_100]).max() < 0.01


@pytest.mark.parametrize(
    ("sound", "rate", "fault"),
    [
        (TONE, None, "sample_rate=44_100"),
        ((TONE * 2**15).astype(np.int16), 44_100, "not of int16"),
        (TONE[:, None], 44_100, r"not \(66150, 1\)"),
        (TONE[:0], 44_100, r"not \(0,\)"),
        (TONE * np.nan, 44_100, "not numbers"),
        ("tone.wav", 44_100, "of its own"),
    ],
)
def test_values_that_are_not_a_sound_are_refused(sound: object, rate: int | None, fault: str) -> None:
    with pytest.raises(MediaError, match=fault):
        to_windows(sound, rate, SETTINGS)


def test_a_picture_in_memory_equals_its_file(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "player.png")
    expected = read_picture(tmp_path / "player.png", 128)
    chw = torch.from_numpy(pixels).permute(2, 0, 1)
    for picture in (tmp_path / "player.png", image, pixels, pixels / 255, chw, chw / 255):
        assert (to_picture(picture, 128) == expected).all()


def test_transparent_pixels_become_white() -> None:
    assert (to_picture(Image.new("RGBA", (9, 9), (0, 0, 0, 0)), 16) == 255).all()


@pytest.mark.parametrize(
    ("picture", "fault"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"not \(3, 8, 8\)"),
        (torch.zeros(8, 8, 3), r"not \(8, 8, 3\)"),
        (np.zeros((8, 8), np.uint8), r"not \(8, 8\)"),
        (np.full((8, 8, 3), 200.0), r"\[0, 1\]; these do not"),
        (np.zeros((8, 8, 3), np.int64), "not of int64"),
    ],
)
def test_values_that_are_not_a_picture_are_refused(picture: object, fault: str) -> None:
    with pytest.raises(MediaError, match=fault):
        to_picture(picture, 16)
