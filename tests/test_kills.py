"""Commands that are killed at random moments: the same command again gives the same bytes, and leaves nothing behind.

`CMCGAN_KILLS` sets how often each command is killed (default 1), `CMCGAN_KILLS_SEED` draws other moments. A training is
resumed by `--resume`. See also `test_human_eval_load`, which kills the server of a rating study.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from media_fixtures import class_folders, tone, write_wav

from cmcgan_core.utils.files import TEMPORARY_SUFFIX

KILLS = int(os.environ.get("CMCGAN_KILLS", "1"))
SEED = int(os.environ.get("CMCGAN_KILLS_SEED", "0"))

#: Makes the inputs of a command in a folder, and returns its arguments except --out.
Prepare = Callable[[Path, Path, Path], list[object]]


def prepare(folder: Path, data: Path, run: Path) -> list[object]:
    return ["prepare", class_folders(folder / "set", ["horn", "drum"], sounds=10, seconds=3), "--workers", 1]


def train(folder: Path, data: Path, run: Path) -> list[object]:
    return ["train", data, "--preset", "tiny", "--set", "train.epochs=4"]


def generate(folder: Path, data: Path, run: Path) -> list[object]:
    for number in range(40):
        write_wav(folder / "clips" / f"{number:02d}.wav", tone(0.6, 200 + 10 * number))
    write_wav(folder / "clips" / "long.wav", tone(12))
    return ["generate", "--from", folder / "clips", "--checkpoint", run]


def create(folder: Path, data: Path, run: Path) -> list[object]:
    return ["human-eval", "create", data, "--model", run, "--pairs", 6, "--checks", 1]


def contents(out: Path, names: str) -> list[bytes]:
    """Return the contents of the files that must be equal. The names of a study's files are drawn at random."""
    return sorted(path.read_bytes() for path in out.rglob(names) if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "equal"), [(prepare, "[!.]*"), (train, "*.safetensors"), (generate, "*"), (create, "items/*")]
)
def test_a_killed_command_gives_the_same_bytes_if_it_is_run_again(
    prepared: Path, tiny_run: Path, tmp_path: Path, make: Prepare, equal: str
) -> None:
    command = [sys.executable, "-m", "cmcgan_cli", *map(str, make(tmp_path, prepared, tiny_run)), "--quiet", "--out"]
    started = time.monotonic()
    subprocess.run([*command, tmp_path / "whole" / "out"], check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    whole = contents(tmp_path / "whole" / "out", equal)
    assert whole
    rng = random.Random(f"{SEED} {make.__name__}")
    for kill in range(KILLS):
        out = tmp_path / f"killed {kill}" / "out"
        running = subprocess.Popen([*command, out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, 1) * seconds)
        running.kill()
        running.wait()
        if not (out / "study.toml").exists():  # a study is whole or not there; a whole one is not replaced
            again = [*command[:4], "--resume"] if (out / "config.toml").exists() else command
            subprocess.run([*again, out], check=True, stdout=subprocess.DEVNULL)
        assert contents(out, equal) == whole
        assert not list(tmp_path.rglob(f"*{TEMPORARY_SUFFIX}"))
