import functools
import operator
from pathlib import Path

import pytest
import torch
from conftest import CLASSES, COUNTS

from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import Loader, PairDataset, in_order, wrong_partners
from cmcgan_core.errors import DataError

NETWORK = NetworkConfig(picture_size=32, lms_frames=16)
CPU = torch.device("cpu")


@pytest.mark.parametrize("split", COUNTS)
def test_a_split_holds_its_pairs_with_their_labels(prepared: Path, split: str) -> None:
    dataset = PairDataset(prepared, split)
    assert dataset.classes == CLASSES
    assert len(dataset) == COUNTS[split] * len(CLASSES)
    stored = dataset.read(list(range(len(dataset))))
    assert stored.pictures.float().mean((1, 2)).argmax(1).tolist() == stored.label.tolist()
    assert [CLASSES[i] for i in stored.label] == [pair.label for pair in dataset.pairs]


def test_batches_are_resized_and_scaled(prepared: Path) -> None:
    batch = next(in_order(PairDataset(prepared, "train"), NETWORK, 5, CPU))
    assert batch.audio.shape == (5, 1, 128, 16)
    assert batch.visual.shape == (5, 3, 32, 32)
    for maps in (batch.audio, batch.visual):
        assert -1 - 1e-6 <= float(maps.min()) < float(maps.max()) <= 1 + 1e-6


def test_in_order_gives_every_pair_once(prepared: Path) -> None:
    dataset = PairDataset(prepared, "test")
    labels = torch.cat([batch.label for batch in in_order(dataset, NETWORK, 5, CPU)])
    assert torch.equal(labels, dataset.labels)


def test_the_order_depends_on_seed_and_epoch_alone(prepared: Path) -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        return list(Loader(PairDataset(prepared, "train"), NETWORK, 8, seed, CPU).order(epoch))

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)
    assert sorted(functools.reduce(operator.iadd, order(0, 1), [])) == list(range(48))


def test_an_epoch_can_begin_in_its_middle(prepared: Path) -> None:
    loader = Loader(PairDataset(prepared, "train"), NETWORK, 8, 0, CPU)
    whole, rest = list(loader.epoch(3)), list(loader.epoch(3, skip=4))
    assert [b.label.tolist() for b in whole[4:]] == [b.label.tolist() for b in rest]


def test_every_batch_has_two_classes(prepared: Path) -> None:
    loader = Loader(PairDataset(prepared, "train"), NETWORK, 2, 0, CPU)
    assert all(len(set(batch.label.tolist())) == 2 for epoch in range(3) for batch in loader.epoch(epoch))


def test_wrong_partners_are_of_another_class_and_of_all_of_them() -> None:
    label = torch.tensor([0, 0, 0, 1, 2, 2])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([wrong_partners(label, generator) for _ in range(200)])
    assert bool((label[drawn] != label).all())
    assert sorted(set(drawn[:, 0].tolist())) == [3, 4, 5]
    assert sorted(set(drawn[:, 3].tolist())) == [0, 1, 2, 4, 5]


def test_one_class_has_no_wrong_partners() -> None:
    with pytest.raises(DataError, match="one class only"):
        wrong_partners(torch.tensor([1, 1]), torch.Generator())


def test_a_folder_that_is_no_dataset_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cmcgan prepare SOURCE --out"):
        PairDataset(tmp_path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text("format = 99\n")
    with pytest.raises(DataError, match="format 99"):
        PairDataset(tmp_path)


def test_a_damaged_dataset_names_its_file(prepared: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in ("dataset.toml", "index.csv"):
        (copy / file).write_bytes((prepared / file).read_bytes())
    with pytest.raises(DataError, match=r"00000\.pictures\.npy cannot be read.*--check"):
        PairDataset(copy).read([0])


def test_too_little_to_train_on_is_said(prepared: Path) -> None:
    with pytest.raises(DataError, match="has 0 pairs"):
        Loader(PairDataset(prepared, "nonsense"), NETWORK, 8, 0, CPU)
