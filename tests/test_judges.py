"""The judges, and the maps that they read."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.config import NetworkConfig, load_config, preset_names
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import in_order
from cmcgan_core.evaluation import pose
from cmcgan_core.evaluation.judges import SECOND, Judge
from cmcgan_core.evaluation.metrics import within_class_correlation
from cmcgan_core.modality import Modality
from cmcgan_core.nn.encoders import ENCODERS, ResidualEncoder
from cmcgan_core.nn.fusion import ConcatenationNetwork, FusionNetwork
from cmcgan_core.training.classifiers import classifier_config, train_judge


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_has_a_second_judge_of_another_architecture(preset: str) -> None:
    judge = load_config(preset).judge
    first, second = load_config(judge), load_config(judge + SECOND)
    assert first.network.encoder != second.network.encoder
    assert (first.network.picture_size, first.network.frames) == (
        second.network.picture_size,
        second.network.frames,
    )


@pytest.mark.parametrize("size", [(128, 128), (128, 32), (30, 17)])
def test_the_residual_encoder_makes_codes_of_any_size(size: tuple[int, int]) -> None:
    encoder = ENCODERS.get("resnet")(1, size, NetworkConfig(width=0.125), ["real"]).eval()
    assert isinstance(encoder, ResidualEncoder)
    assert encoder(torch.zeros(2, 1, *size), "real").shape == (2, 64, 1, 1)


def test_a_judge_reads_maps_of_any_size(prepared: Path) -> None:
    dataset = open_dataset(prepared)
    path = train_judge(dataset, tuple(Modality), "judge-tiny" + SECOND, seed=1)
    judge = Judge(load_checkpoint(path, torch.device("cpu")))
    batch = next(in_order(dataset.split("test"), NetworkConfig(picture_size=128), 12, torch.device("cpu")))
    codes, predicted = judge.predict({Modality.VISUAL: batch.visual})
    assert codes.shape == (12, 64)
    assert predicted.tolist() == batch.label.tolist()


def test_concatenated_inputs_are_channels_of_one_encoder() -> None:
    config = load_config("judge-tiny").network
    network = ConcatenationNetwork(config, 3).eval()
    maps = {m: torch.rand(2, m.channels, *config.size(m)) for m in Modality}
    sound = torch.full_like(maps[Modality.AUDIO], 0.25)
    channels = torch.cat([torch.full((2, 1, 32, 32), 0.25), maps[Modality.VISUAL]], 1)
    expected = network.head(network.encoder(channels, "real").flatten(1))
    torch.testing.assert_close(network({**maps, Modality.AUDIO: sound}), expected)
    assert not network(maps).equal(expected)


def test_one_judge_reads_sounds_and_pictures_alone_and_pairs() -> None:
    network = FusionNetwork(load_config("judge-tiny").network, tuple(Modality), 3, alone=True).eval()
    maps = {m: torch.rand(2, m.channels, *load_config("judge-tiny").network.size(m)) for m in Modality}
    pairs, *alone = network.logits_by_layer(maps)
    torch.testing.assert_close(network.classify_codes(network.features(maps), maps), pairs)
    for (modality, part), logits in zip(maps.items(), alone, strict=True):
        codes = network.features({modality: part})
        assert codes.shape == (2, 64)
        torch.testing.assert_close(network.classify_codes(codes, [modality]), logits)
    pairs.sum().backward()
    assert all(weight.grad is None for weight in network.encoders.parameters())
    (gradient, *_) = torch.autograd.grad(alone[0].sum(), list(network.encoders.parameters()), allow_unused=True)
    assert gradient is not None


def test_a_judge_of_few_pairs_is_not_validated_in_every_epoch(prepared: Path) -> None:
    split = open_dataset(prepared).split("train")
    config = classifier_config("judge-small", tuple(Modality), split, seed=0)
    # 48 pairs are one step of 32, so 200 steps are 200 epochs.
    assert config.train.sample_every == 50


def test_the_pose_judge_reads_small_movements(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "bars"
    shutil.copytree(prepared, data, ignore=shutil.ignore_patterns("judges", "evaluations"))
    dataset = open_dataset(data)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 20, len(dataset.pairs))
    pictures = np.full((len(rows), 128, 128, 3), 60, dtype=np.uint8)
    for picture, row in zip(pictures, rows, strict=True):
        picture[50 + row : 58 + row, 40:80] = 220
    np.save(data / "shards" / "00000.pictures.npy", pictures)
    monkeypatch.setattr(pose, "note_heights", lambda split: torch.tensor(rows[split.rows] / 20))
    network = load_config("tiny").network

    def train() -> Tensor:
        judge = pose.train_pose_judge(dataset, network, device=torch.device("cpu"))
        assert judge is not None
        split = dataset.split("test")
        with torch.inference_mode():
            heights = torch.cat([judge(batch.visual) for batch in in_order(split, network, 64, torch.device("cpu"))])
        return heights.gather(1, split.labels[:, None])[:, 0]

    read, split = train(), dataset.split("test")
    r = within_class_correlation(read, torch.tensor(rows[split.rows] / 20), split.labels)
    assert r is not None
    assert r > 0.9
    (file,) = (data / "judges").glob("pose-*")
    written = file.stat().st_mtime_ns
    assert train().equal(read)
    assert file.stat().st_mtime_ns == written  # it is trained once
    monkeypatch.setattr(pose, "RATE", 1e-3)
    assert not train().equal(read)  # a judge of another recipe is not used
