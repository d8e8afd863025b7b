"""A bad input is named with its fault and does not stop the others."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from media_fixtures import plain, tone, write_jpg, write_video, write_wav

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.inference.generate.batch import generate_all
from cmcgan_core.inference.generate.plan import OutputOptions, plan
from cmcgan_core.inference.inputs import Input
from cmcgan_core.inference.sampling import SamplingOptions


def cut(path: Path, keep: float) -> None:
    """Keep the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def bomb(path: Path) -> None:
    """Write a PNG whose header claims 60,000 x 60,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)))


def cut_jpg(path: Path) -> None:
    write_jpg(path, np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8))
    cut(path, 0.1)


def cut_mp4(path: Path) -> None:
    write_video(path, [plain((9, 9, 9))] * 20)
    cut(path, 0.5)


def not_a_number(path: Path) -> None:
    write_wav(path, np.array([0.1, np.nan, 0.1], np.float32), subtype="FLOAT")


def no_frames(path: Path) -> None:
    soundfile.write(path, np.zeros(0), 44_100)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.wav": (lambda path: None, "no such file"),
    "missing.mp4": (lambda path: None, "no such file"),
    "empty.wav": (Path.touch, "the file is empty"),
    "empty.png": (Path.touch, "the file is empty"),
    "empty.mkv": (Path.touch, "the file is empty"),
    "folder.wav": (Path.mkdir, "is a directory"),
    "dangling.flac": (lambda path: path.symlink_to("nowhere.flac"), "link to a file that does not exist"),
    "words.wav": (lambda path: path.write_text("do re mi"), "cannot be decoded"),
    "words.mp3": (lambda path: path.write_text("do re mi"), "cannot be decoded"),
    "words.jpg": (lambda path: path.write_text("do re mi"), "not a picture"),
    "words.webm": (lambda path: path.write_text("do re mi"), "cannot be decoded"),
    "zeros.ogg": (lambda path: path.write_bytes(bytes(5000)), "cannot be decoded"),
    "zeros.gif": (lambda path: path.write_bytes(bytes(5000)), "not a picture"),
    "zeros.avi": (lambda path: path.write_bytes(bytes(5000)), "cannot be decoded"),
    "nan.wav": (not_a_number, "not numbers"),
    "silence.wav": (no_frames, "holds no sound"),
    "cut.jpg": (cut_jpg, "not a picture"),
    "cut.mp4": (cut_mp4, "is cut off"),
    "bomb.png": (bomb, "not a picture"),
    "picture.mp3": (lambda path: write_jpg(path.with_suffix(".png"), plain((1, 2, 3))).rename(path), "has no sound"),
    "score.pdf": (lambda path: path.write_bytes(b"%PDF"), "neither a sound, a picture nor a video"),
    "README": (lambda path: path.write_text("read me"), "neither a sound, a picture nor a video"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_is_named_and_the_good_one_becomes_a_picture(tiny_run: Path, tmp_path: Path, name: str) -> None:
    trained = load_checkpoint(tiny_run / "last.safetensors", torch.device("cpu"))
    write, reason = BAD[name]
    write(tmp_path / name)
    write_wav(tmp_path / "good.wav", tone(0.6))
    inputs = [Input(tmp_path / file, Path(file)) for file in (name, "good.wav")]
    tasks = plan(inputs, tmp_path / "made", OutputOptions(), SamplingOptions())
    bad, good = generate_all(trained, tasks, SamplingOptions(), OutputOptions())
    assert str(tmp_path / name) in bad.error
    assert reason in bad.error
    assert (bad.outputs, good.error) == ((), "")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["good.png"]
