"""Fixtures and helpers that several test modules use."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import nn

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.config import Config, load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.dynamic_classifier import load_classifier
from cmcgan_core.utils.toml import dump_toml

CLASSES = ("cello", "flute", "tuba")
#: Pairs of a class in each split of the `prepared` dataset.
COUNTS = {"train": 16, "validation": 3, "test": 4}


#: Calls `cmcgan` with arguments: exit code, standard output, standard error.
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cmcgan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line, called as from a shell; `listed` is standard input."""
    from cmcgan_cli import app, console

    # A console reads the width of the terminal when it is made, and a test may have set another one.
    console.out.cache_clear()
    console.err.cache_clear()

    def call(*arguments: object, listed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cmcgan", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(os.fsencode(listed))))
        try:
            app.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Use one thread: two threads wait for each other on a busy two-core machine, and one repeats results exactly."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _few_sounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let evaluations measure few waveforms, because turning spectrograms into sound takes long."""
    monkeypatch.setattr("cmcgan_core.evaluation.waveforms.PAIRS", 2)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small prepared dataset whose classes differ in colour and in pitch."""
    return make_once(tmp_path_factory, "bands", write_dataset)


@pytest.fixture(scope="session")
def tiny_run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the `tiny` preset on `prepared`, with its classifier."""
    from cmcgan_core.training.train import train_run

    return make_once(tmp_path_factory, "tiny", lambda out: train_run(tiny_config(), open_dataset(prepared), out))


@pytest.fixture(scope="module")
def trained(tiny_run: Path) -> Trained:
    """The network of `tiny_run`."""
    return load_checkpoint(tiny_run / "last.safetensors", torch.device("cpu"))


@pytest.fixture(scope="module")
def classifier(trained: Trained) -> Trained:
    """The classifier of `tiny_run`."""
    return load_classifier(trained)


def one_recording_per_pair(data: Path) -> Path:
    """Make every pair of a dataset a recording of its own."""
    lines = (data / "index.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines]
    place = rows[0].index("recording")
    for row in rows[1:]:
        row[place] = row[0]  # the pair's own id
    (data / "index.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    return data


def make_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Make a folder once for all test processes: the first one makes it, the others wait and use it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    out = shared / "shared" / name
    out.parent.mkdir(exist_ok=True)
    with FileLock(out.with_suffix(".lock")):
        if not out.exists():
            make(out)
    return out


def tiny_config(*settings: str) -> Config:
    """The `tiny` preset, changed."""
    return load_config("tiny", settings=settings)


def write_dataset(out: Path) -> Path:
    """Write a prepared dataset without `prepare`, as docs/data.md describes it."""
    rng = np.random.default_rng(0)
    settings = FeatureSettings()
    rows, pictures, levels = [], [], []
    for split, count in COUNTS.items():
        for place, label in enumerate(CLASSES):
            for number in range(count):
                name = f"{label}-{split}"
                rows.append(
                    {
                        "id": f"{name}_{number:03d}",
                        "split": split,
                        "label": label,
                        "recording": name,
                        "player": "",
                        "start": number / 2,
                        "sound_file": f"{name}.wav",
                        "picture_file": f"{name}.jpg",
                        "checksum": "",
                    }
                )
                pictures.append(rng.integers(0, 60, (128, 128, 3)) + 180 * (np.arange(3) == place))
                band = np.abs(np.arange(128) - 30 - 30 * place)[:, None]
                levels.append(10.0 - 2.0 * band + rng.normal(0, 2, (128, 44)))
    (out / "shards").mkdir(parents=True)
    np.save(out / "shards" / "00000.pictures.npy", np.stack(pictures).astype(np.uint8))
    np.save(out / "shards" / "00000.spectrograms.npy", np.stack(levels).clip(-100, 40).astype(np.float16))
    with (out / "index.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    about = {"format": 2, "name": out.name, "source": "test", "shard_size": 1024, "pairs": len(rows)}
    (out / "dataset.toml").write_text(dump_toml({**about, "classes": CLASSES, "features": asdict(settings)}))
    return out


def document_and_text(cmcgan: Run, *arguments: object) -> tuple[Any, str]:
    """The output of a command with `--json`, and its output for people."""
    said = []
    for more in (["--json"], []):
        code, out, _ = cmcgan(*arguments, *more)
        assert code == 0
        said.append(out)
    return json.loads(said[0]), said[1]


def shapes_of(
    network: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...], *inputs: object
) -> list[tuple[int, ...]]:
    """Shapes, without the batch, of the outputs of all modules of a kind."""
    shapes: list[tuple[int, ...]] = []
    for module in network.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda _m, _i, made: shapes.append(tuple(made.shape[1:])))
    network(*inputs)
    return shapes
