"""Damaged media: each mutant is read, or named by a `MediaError`, in little time and memory.

The mutants of small sounds, pictures and films are drawn at random from a fixed seed, see `test_hostile`.
"""

import random
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from media_fixtures import RATE, tone, write_streams
from PIL import Image
from test_hostile import MUTANTS, mutate_bytes, rng_of, survive

from cmcgan_core.media.damage import examine_frames
from cmcgan_core.media.files import media_kind, read_picture, read_sound, read_video, track_kinds
from cmcgan_core.media.film import probe

#: Codecs of pictures and sound of the films, by suffix.
FILMS = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("mpeg4", "pcm_s16le"),
    ".mkv": ("libx264", "flac"),
    ".webm": ("libvpx-vp9", "libopus"),
    ".avi": ("mpeg4", "libmp3lame"),
    ".wmv": ("wmv2", "wmav2"),
    ".flv": ("flv1", "aac"),
    ".ts": ("libx264", "mp2"),
    ".m4a": ("", "aac"),
    ".aac": ("", "aac"),
    ".ac3": ("", "ac3"),
}
SOUNDS = (".wav", ".rf64", ".aiff", ".au", ".caf", ".w64", ".flac", ".mp3", ".ogg", ".opus")
PICTURES = (".png", ".jpg", ".webp", ".gif", ".bmp", ".tif", ".ppm", ".avif")
#: Values of sizes, counts and rates that programs trust.
ODD_SIZES = (0, 1, 7, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
#: By how much memory may grow in all, in MB. Decoding a picture of the largest size takes about 1,000.
MOST_MB = 1200


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small good file of each format."""
    folder = tmp_path_factory.mktemp("seeds")
    rate = 48_000
    sound = tone(0.3, rate=rate)
    paths = [folder / f"a{suffix}" for suffix in (*FILMS, *SOUNDS, *PICTURES)]
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    for path in paths:
        if codecs := FILMS.get(path.suffix):
            write_streams(path, sound, 4 if codecs[0] else 0, rate=rate, codecs=codecs)
        elif path.suffix in PICTURES:
            Image.fromarray(pixels).save(path)
        elif path.suffix == ".opus":
            soundfile.write(path, sound, rate, format="OGG", subtype="OPUS")
        else:
            soundfile.write(path, sound, rate)
    return paths


def mutate(file: Path, seeds: list[Path], rng: random.Random) -> None:
    """Damage the bytes of a file, join it with another one, or change a number in it."""
    data = bytearray(file.read_bytes())
    action = rng.random()
    if action < 0.5:
        mutate_bytes(file, rng)
    elif action < 0.7:
        other = file if rng.random() < 0.5 else rng.choice(seeds)
        file.write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])] + other.read_bytes())
    else:
        for _ in range(rng.choice([1, 1, 3])):
            form = rng.choice(["<I", ">I", "<H", ">H"])
            value = rng.choice([rng.getrandbits(32), *ODD_SIZES]) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF)
            struct.pack_into(form, data, rng.randrange(min(len(data), rng.choice([200, 2000, 10**6])) - 4), value)
        file.write_bytes(data)


def uses(path: Path) -> list[Callable[[Path], Any]]:
    """Return everything that is done with a file of a kind."""
    if media_kind(path) == "picture":
        return [lambda path: read_picture(path, 16), read_picture]
    if media_kind(path) == "video":
        return [
            track_kinds,
            probe,
            lambda path: list(read_video(path, 0.1, 16)),
            lambda path: list(examine_frames(path)),
        ]
    return [probe]


@pytest.mark.parametrize("part", range(4))
def test_media(tmp_path: Path, seeds: list[Path], part: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(part, 4 * MUTANTS, 4):
        rng = rng_of("media", number)
        good = seeds[number // 4 % len(seeds)]
        path = tmp_path / f"{number}{good.suffix}".replace(".rf64", ".wav")
        path.write_bytes(good.read_bytes())
        mutate(path, seeds, rng)
        for use in [*uses(path), *([] if media_kind(path) == "picture" else [lambda path: read_sound(path, RATE)])]:
            survive(lambda use=use, path=path: use(path), f"media {number} {path.suffix}")
        path.unlink()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    assert grown < MOST_MB
