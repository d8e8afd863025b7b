"""Wrong pairs have another class, or the same class in another pose."""

import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_config, write_dataset

from cmcgan_cli import app
from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import Loader
from cmcgan_core.data.mismatch import PosePartners, timestamps_ms, wrong_poses
from cmcgan_core.errors import DataError
from cmcgan_core.training.train import plan_run, train_run
from cmcgan_core.utils.toml import dump_toml

NETWORK = NetworkConfig(picture_size=32, frames=16)
CPU = torch.device("cpu")
#: Two cello recordings, one of which has pairs far apart in time, and a flute recording.
RECORDINGS = ["cello-1", "cello-1", "cello-1", "cello-2", "flute", "flute"]
STARTS = [0.0, 4.5, 9.5, 0.0, 0.0, 4.999]
LABEL = torch.tensor([0, 0, 0, 0, 1, 1])


def test_a_wrong_pose_has_the_same_class_and_another_recording_or_time() -> None:
    timestamp_ms, rng = timestamps_ms(RECORDINGS, STARTS), torch.Generator().manual_seed(0)
    cellos = [wrong_poses(LABEL[:4], timestamp_ms[:4], rng) for _ in range(100)]
    drawn = [sorted(set(column.tolist())) for column in torch.stack(cellos, dim=1)]
    assert drawn == [[2, 3], [2, 3], [0, 1, 3], [0, 1, 2]]


def test_a_pair_without_another_pose_is_an_error() -> None:
    with pytest.raises(DataError, match="another pose"):
        wrong_poses(LABEL, timestamps_ms(RECORDINGS, STARTS), torch.Generator())


def test_partners_in_a_split_are_the_same_as_in_a_batch() -> None:
    partners, rng = PosePartners(LABEL, timestamps_ms(RECORDINGS, STARTS)), torch.Generator().manual_seed(0)
    assert partners.items == [0, 1, 2, 3]
    drawn = [sorted({partners.draw(item, rng) for _ in range(100)}) for item in partners.items]
    assert drawn == [[2, 3], [2, 3], [0, 1, 3], [0, 1, 2]]


def test_partners_are_drawn_uniformly_in_the_order_of_time() -> None:
    rng = np.random.default_rng(0)
    label = torch.from_numpy(rng.integers(0, 3, 200))
    timestamp_ms = timestamps_ms(rng.integers(0, 9, 200), rng.integers(0, 40, 200) / 2)
    possible = (label[:, None] == label) & ((timestamp_ms[:, None] - timestamp_ms).abs() >= 5000)
    partners = PosePartners(label, timestamp_ms)
    assert partners.items == possible.any(dim=1).nonzero().flatten().tolist()
    for item in partners.items:
        others = [i for i in timestamp_ms.argsort().tolist() if possible[item, i]]
        drawn = torch.randint(len(others), (), generator=torch.Generator().manual_seed(item))
        assert partners.draw(item, torch.Generator().manual_seed(item)) == others[drawn]


@pytest.mark.parametrize("size", [2, 7])
def test_every_pair_of_a_batch_has_a_wrong_pose(prepared: Path, size: int) -> None:
    loader = Loader(open_dataset(prepared).split("train"), NETWORK, size, 0, CPU, by="pose")
    for batch in loader.epoch(0):
        wrong = wrong_poses(batch.label, batch.timestamp_ms, torch.Generator().manual_seed(0))
        assert torch.equal(batch.label[wrong], batch.label)
        assert bool(((batch.timestamp_ms[wrong] - batch.timestamp_ms).abs() >= 5000).all())


def test_recordings_that_are_too_short_have_no_wrong_poses(prepared: Path) -> None:
    # Each class has one recording of 1.5 s in this split.
    with pytest.raises(DataError, match=r"no wrong pairs by pose.*train.wrong_pairs=class"):
        Loader(open_dataset(prepared).split("validation"), NETWORK, 8, 0, CPU, by="pose")


def one_class(out: Path) -> Path:
    """Write the test dataset with its cello pairs only."""
    data = write_dataset(out)
    head, *lines = (data / "index.csv").read_text().splitlines()
    kept = [line for line in lines if ",cello," in line]
    (data / "index.csv").write_text("\n".join([head, *kept]) + "\n")
    about = tomllib.loads((data / "dataset.toml").read_text())
    (data / "dataset.toml").write_text(dump_toml({**about, "classes": ["cello"], "pairs": len(kept)}))
    for file in (data / "shards").iterdir():
        np.save(file, np.load(file)[[i for i, line in enumerate(lines) if ",cello," in line]])
    return data


def test_one_instrument_trains_by_pose_and_not_by_class(tmp_path: Path) -> None:
    data = one_class(tmp_path / "data")
    by_class, by_pose = (tiny_config("train.epochs=1", f"train.wrong_pairs={by}") for by in ("class", "pose"))
    with pytest.raises(DataError, match="of two classes"):
        plan_run(by_class, open_dataset(data))
    # Of 16: the four in the middle are less than 5 s from all others.
    assert plan_run(by_pose, open_dataset(data))["pairs"] == 12
    train_run(by_pose, open_dataset(data), tmp_path / "run")
    assert not (tmp_path / "run" / "classifier.safetensors").exists()


def test_the_command_names_the_setting(
    prepared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["cmcgan", "train", str(prepared), "--preset", "tiny", "--dry-run", "--json", "--set"]
    for by, code in (("pose", "0"), ("colour", "1")):
        monkeypatch.setattr(sys, "argv", [*command, f"train.wrong_pairs={by}"])
        with pytest.raises(SystemExit, match=code):
            app.main()
        printed = capsys.readouterr()
        if code == "0":
            planned = json.loads(printed.out)
            assert planned["config"]["train"]["wrong_pairs"] == "pose"
            # Of 48: the four in the middle of each class are less than 5 s from all others.
            assert planned["pairs"] == 36
        else:
            assert "train.wrong_pairs: should be one of 'class', 'pose', not 'colour'" in printed.err
