"""Prepared datasets are read as they are stored, and batches are reproducible."""

import functools
import operator
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CLASSES, COUNTS

from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import Loader, in_order
from cmcgan_core.data.mismatch import wrong_partners
from cmcgan_core.errors import DataError

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
