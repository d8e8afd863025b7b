"""Prepared datasets are read as they are stored, and batches are reproducible."""

import csv
import functools
import operator
import os
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CLASSES, COUNTS

from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.index import Pair
from cmcgan_core.data.loader import Loader, in_order
from cmcgan_core.data.mismatch import RECORDING_OFFSET_MS, wrong_partners
from cmcgan_core.errors import DataError
from cmcgan_core.utils.rng import derive_seed

NETWORK = NetworkConfig(picture_size=32, frames=16)
CPU = torch.device("cpu")


@pytest.mark.parametrize("split", COUNTS)
def test_a_split_holds_its_pairs_with_their_labels(prepared: Path, split: str) -> None:
    dataset = open_dataset(prepared).split(split)
    assert dataset.classes == CLASSES
    assert len(dataset) == COUNTS[split] * len(CLASSES)
    stored = dataset.read(list(range(len(dataset))))
    assert stored.pictures.float().mean((1, 2)).argmax(1).tolist() == stored.label.tolist()
    assert [CLASSES[i] for i in stored.label] == [pair.label for pair in dataset.pairs]


def test_batches_are_resized_and_scaled(prepared: Path) -> None:
    batch = next(in_order(open_dataset(prepared).split("train"), NETWORK, 5, CPU))
    assert batch.audio.shape == (5, 1, 128, 16)
    assert batch.visual.shape == (5, 3, 32, 32)
    for maps in (batch.audio, batch.visual):
        assert -1 - 1e-6 <= float(maps.min()) < float(maps.max()) <= 1 + 1e-6


def test_in_order_gives_every_pair_once(prepared: Path) -> None:
    dataset = open_dataset(prepared).split("test")
    labels = torch.cat([batch.label for batch in in_order(dataset, NETWORK, 5, CPU)])
    assert torch.equal(labels, dataset.labels)


def test_the_order_depends_on_seed_and_epoch_alone(prepared: Path) -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        return list(Loader(open_dataset(prepared).split("train"), NETWORK, 8, seed, CPU).order(epoch))

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)
    assert order(2**70, 1) != order(2**70, 2)
    assert sorted(functools.reduce(operator.iadd, order(0, 1), [])) == list(range(48))


def test_an_epoch_can_start_in_the_middle(prepared: Path) -> None:
    loader = Loader(open_dataset(prepared).split("train"), NETWORK, 8, 0, CPU)
    whole, rest = list(loader.epoch(3)), list(loader.epoch(3, skip=4))
    assert [b.label.tolist() for b in whole[4:]] == [b.label.tolist() for b in rest]


def test_every_batch_has_two_classes(prepared: Path) -> None:
    loader = Loader(open_dataset(prepared).split("train"), NETWORK, 2, 0, CPU)
    assert all(len(set(batch.label.tolist())) == 2 for epoch in range(3) for batch in loader.epoch(epoch))


def test_wrong_partners_come_from_all_other_classes() -> None:
    label = torch.tensor([0, 0, 0, 1, 2, 2])
    rng = torch.Generator().manual_seed(0)
    drawn = torch.stack([wrong_partners(label, rng) for _ in range(200)])
    assert bool((label[drawn] != label).all())
    assert sorted(set(drawn[:, 0].tolist())) == [3, 4, 5]
    assert sorted(set(drawn[:, 3].tolist())) == [0, 1, 2, 4, 5]


def test_one_class_has_no_wrong_partners() -> None:
    with pytest.raises(DataError, match="one class only"):
        wrong_partners(torch.tensor([1, 1]), torch.Generator())


def test_a_folder_that_is_not_a_dataset_is_an_error_with_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"cmcgan prepare {tmp_path}$"):
        open_dataset(tmp_path).split()


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text("format = 99\n")
    with pytest.raises(DataError, match="format 99"):
        open_dataset(tmp_path).split()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("dataset.toml", "pairs = 69", ""),
        ("dataset.toml", "pairs = 69", "pairs = ["),
        ("dataset.toml", "shard_size = 1024", "shard_size = 0"),
        ("dataset.toml", "sample_rate = 44100", "sample_rate = 'fast'"),
        ("index.csv", "cello-train_000,", "\ncello-train_000,"),
        ("index.csv", "cello-train_003,train,cello,cello-train,,1.5,cello-train.wav,cello-train.jpg,\n", ""),
        ("index.csv", ",1.5,", ",soon,"),
        ("index.csv", ",1.5,", ",nan,"),
        ("index.csv", ",flute,", ",\x00,"),
        ("index.csv", ",flute,", ",harp,"),
        ("index.csv", "checksum", "sum"),
    ],
)
def test_a_damaged_table_is_reported_with_the_next_command(
    prepared: Path, tmp_path: Path, name: str, old: str, new: str
) -> None:
    for file in ("dataset.toml", "index.csv"):
        (tmp_path / file).write_text((prepared / file).read_text())
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=rf"(?s){re.escape(name)} cannot be read.*cmcgan prepare --check {tmp_path}"):
        open_dataset(tmp_path).split("train")


@pytest.mark.parametrize("data", [None, b"", b"no array", "short"])
def test_a_damaged_shard_is_reported_with_the_next_command(
    prepared: Path, tmp_path: Path, data: bytes | str | None
) -> None:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    shard = tmp_path / "shards" / "00000.spectrograms.npy"
    if data == "short":
        np.save(shard, np.load(shard)[:-1])
    else:
        shard.unlink() if data is None else shard.write_bytes(data)
    with pytest.raises(DataError, match=rf"00000\.spectrograms\.npy cannot be read.*cmcgan prepare --check {tmp_path}"):
        open_dataset(tmp_path).split().read([0])


def test_too_few_pairs_to_train_on_are_an_error(prepared: Path) -> None:
    with pytest.raises(DataError, match="has 0 pairs"):
        Loader(open_dataset(prepared).split("nonsense"), NETWORK, 8, 0, CPU)


def test_the_index_is_a_sequence_of_its_rows(prepared: Path) -> None:
    with (prepared / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [Pair(**{**row, "start": float(row["start"])}) for row in csv.DictReader(file)]
    dataset = open_dataset(prepared)
    assert list(dataset.pairs) == rows
    assert [dataset.pairs[i] for i in (0, 68, -1)] == [rows[0], rows[68], rows[-1]]
    assert list(dataset.pairs[3:9:2]) == rows[3:9:2]
    with pytest.raises(IndexError):
        dataset.pairs[69]
    test = dataset.split("test")
    assert list(test.pairs) == [row for row in rows if row.split == "test"]
    assert test.pairs[5] == rows[test.rows[5]]


def test_names_of_all_scripts_come_back_from_the_index(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    lines = (tmp_path / "index.csv").read_text(encoding="utf-8").splitlines()
    lines[2] = '"ćello, 🎻_001",train,cello,"a\nb",Ω,0.5,"say ""a"".wav",é.jpg,'
    (tmp_path / "index.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pairs = open_dataset(tmp_path).pairs
    assert pairs[1] == Pair("ćello, 🎻_001", "train", "cello", "a\nb", "Ω", 0.5, 'say "a".wav', "é.jpg", "")
    assert (pairs[2].id, pairs[0].id) == ("cello-train_002", "cello-train_000")


def test_recordings_and_timestamps_follow_the_order_of_a_split(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    head, *lines = (tmp_path / "index.csv").read_text(encoding="utf-8").splitlines()
    random.Random(0).shuffle(lines)
    (tmp_path / "index.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    for name in ("train", "test", None):
        split = open_dataset(tmp_path).split(name)
        number = {recording: i for i, recording in enumerate(dict.fromkeys(pair.recording for pair in split.pairs))}
        assert split.recordings.tolist() == [number[pair.recording] for pair in split.pairs]
        expected = [number[pair.recording] * RECORDING_OFFSET_MS + round(1000 * pair.start) for pair in split.pairs]
        assert split.timestamps_ms.tolist() == expected


def test_batches_are_drawn_as_documented(prepared: Path) -> None:
    loader = Loader(open_dataset(prepared).split("train"), NETWORK, 8, 3, CPU)
    shuffled = torch.randperm(48, generator=torch.Generator().manual_seed(derive_seed(3, 1))).tolist()
    assert list(loader.order(1)) == [shuffled[first : first + 8] for first in range(0, 48, 8)]


def test_a_dataset_of_many_shards_needs_few_open_files(prepared: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    about = (tmp_path / "dataset.toml").read_text(encoding="utf-8")
    (tmp_path / "dataset.toml").write_text(about.replace("shard_size = 1024", "shard_size = 1"), encoding="utf-8")
    for kind in ("pictures", "spectrograms"):
        whole = np.load(tmp_path / "shards" / f"00000.{kind}.npy")
        for shard in range(len(whole)):
            np.save(tmp_path / "shards" / f"{shard:05d}.{kind}.npy", whole[shard : shard + 1])
    expected = open_dataset(prepared).split().read(list(range(69)))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 20, limits[1]))
    try:
        stored = open_dataset(tmp_path).split().read(list(range(69)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert all(torch.equal(*both) for both in zip(stored, expected, strict=True))


def test_a_shard_that_is_cut_while_it_is_used_is_reported(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    split = open_dataset(tmp_path).split()
    split.read([0])
    os.truncate(tmp_path / "shards" / "00000.pictures.npy", 100_000)
    with pytest.raises(DataError, match=r"00000\.pictures\.npy cannot be read.*ends too early"):
        split.read([5])
