"""The evaluation of a network depends on its capabilities."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import COUNTS, Run, one_recording_per_pair, tiny_config, write_dataset
from torch import Tensor, nn

from cmcgan_core.checkpoint import load_checkpoint, network_tensors, save_checkpoint
from cmcgan_core.config import Config
from cmcgan_core.data.dataset import PreparedDataset, open_dataset
from cmcgan_core.errors import CheckpointError
from cmcgan_core.evaluation import retrieval
from cmcgan_core.evaluation.compare import compare
from cmcgan_core.evaluation.evaluate import evaluate
from cmcgan_core.evaluation.metrics import retrieval_by_chance
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods import METHODS, Method
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.capabilities import Embedder
from cmcgan_core.reports.html import report_page
from cmcgan_core.run_folder import About
from cmcgan_core.training.classifiers import train_judge
from cmcgan_core.utils.batches import spread_evenly


class ClassEmbedder(Embedder):
    """Embeds pictures by their colour and sounds by their pitch; each class has its own colour and pitch."""

    embeds = tuple(Modality)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def embed(self, modality: Modality, maps: Tensor) -> Tensor:
        if modality is Modality.VISUAL:
            label = maps.mean(dim=(2, 3)).argmax(dim=1)
        else:
            # Bands 30, 60 and 90 of 128 are the loudest.
            band = maps.mean(dim=(1, 3)).argmax(dim=1) * 128 / maps.shape[2]
            label = (band / 30).round().long() - 1
        return nn.functional.one_hot(label, 3).float()


class Toy(Method[nn.Module]):
    """A method that uses the network that is passed."""

    network_class: type[nn.Module]

    @classmethod
    def build_network(cls, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> nn.Module:
        return cls.network_class()

    optimizers = train_step = validation_loss = None  # type: ignore[assignment]


#: Writes the checkpoint of a run whose method has a network of this class.
Saved = Callable[[type[nn.Module]], Path]


@pytest.fixture
def dataset(tmp_path: Path) -> PreparedDataset:
    """A dataset with four test recordings per class; each recording has one pair."""
    return open_dataset(one_recording_per_pair(write_dataset(tmp_path / "data")))


@pytest.fixture
def saved(dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Saved:
    def save(network_class: type[nn.Module]) -> Path:
        method = type("Toy", (Toy,), {"network_class": network_class})
        monkeypatch.setitem(METHODS.builtins, "toy", method)
        config = replace(tiny_config(), method="toy", loss_weights={}, options={}, preset="")
        about = About(config, dataset.classes, dataset.settings, 1, 1, dataset.name, dataset.content)
        path = tmp_path / "toy" / "last.safetensors"
        save_checkpoint(path, about, network_tensors(network_class()))
        return path

    return save


def test_an_embedder_of_both_modalities_is_scored_by_retrieval(dataset: PreparedDataset, saved: Saved) -> None:
    evaluation = evaluate(saved(ClassEmbedder), dataset)
    assert evaluation.retrieval is not None
    for direction in Direction:
        ranking = evaluation.retrieval.ranking[direction]
        assert ranking.recall == {"1": 1, "5": 1, "10": 1}
        assert ranking.mean_average_precision == pytest.approx(1)
    # Each query ranks the eleven items of other recordings, three of them of its class.
    assert evaluation.retrieval.chance.recall["1"] == pytest.approx(3 / 11)
    assert evaluation.retrieval.chance.recall["10"] == 1
    assert (evaluation.table1, evaluation.table2, evaluation.quality) == ({}, {}, {})
    assert evaluation.classification is None
    assert evaluation.seeds.latents == ()
    assert not (dataset.root / "judges").exists()


def test_a_limited_number_of_pairs_of_a_large_split_is_ranked(
    dataset: PreparedDataset, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, split = load_checkpoint(saved(ClassEmbedder), torch.device("cpu")), dataset.split("test")
    monkeypatch.setattr(retrieval, "RANKED", 6)
    scores = retrieval.evaluate_embedder(trained, split)
    ranked = spread_evenly(len(split), 6)
    assert scores is not None
    assert scores.chance == retrieval_by_chance(split.labels[ranked], split.recordings[ranked], retrieval.RANKS)
    assert scores.chance != retrieval_by_chance(split.labels, split.recordings, retrieval.RANKS)


def test_the_tables_of_an_embedder_are_those_that_apply(dataset: PreparedDataset, saved: Saved, cmcgan: Run) -> None:
    path = saved(ClassEmbedder)
    code, out, err = cmcgan("evaluate", dataset.root, "-c", path)
    assert code == 0
    assert "sound to pictures" in out
    assert "by chance" in out
    assert "Table 1" not in out
    assert "12 test pairs of 12 recordings. Brackets" in err
    code, out, _ = cmcgan("evaluate", dataset.root, "-c", path, "--json")
    assert json.loads(out)["retrieval"]["ranking"]["S2I"]["recall"]["5"] == 1
    code, out, _ = cmcgan("compare", dataset.root, path)
    assert code == 0
    assert "picture to sounds: recall@10" in out


def test_a_page_of_runs_of_several_kinds_has_the_tables_of_each(
    dataset: PreparedDataset, saved: Saved, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="install it with: uv sync")
    judge = train_judge(dataset, [Modality.AUDIO], "judge-tiny")
    page = report_page(compare([saved(ClassEmbedder), judge], dataset), dataset)
    assert "sound to pictures, toy" in page
    assert "Classification of real pairs" in page
    assert "Table 1" not in page
    assert 'href="#samples"' not in page


def test_a_classifier_is_scored_by_its_accuracy(dataset: PreparedDataset, cmcgan: Run) -> None:
    judge = train_judge(dataset, tuple(Modality), "judge-tiny")
    evaluation = evaluate(judge, dataset)
    classification = evaluation.classification
    assert classification is not None
    assert classification.modalities == tuple(Modality)
    assert classification.accuracy.keys() == {"test", "train"}
    matrix = classification.confusion
    assert sum(map(sum, matrix)) == 3 * COUNTS["test"]
    test = classification.accuracy["test"]
    assert test.micro == pytest.approx(sum(matrix[i][i] for i in range(3)) / 12)
    assert test.micro_interval is not None
    assert test.micro_interval[0] <= test.micro <= test.micro_interval[1]
    assert evaluation.table1 == {}
    code, out, _ = cmcgan("evaluate", dataset.root, "-c", judge, "--confusion")
    assert code == 0
    for part in ("Classification of real pairs", "sounds and pictures", "predicted class, %", "3 tuba"):
        assert part in out
    assert "Table" not in out


def test_a_dataset_without_training_pairs_is_classified(dataset: PreparedDataset, tmp_path: Path, cmcgan: Run) -> None:
    judge = train_judge(dataset, [Modality.VISUAL], "judge-tiny")
    other = write_dataset(tmp_path / "other")
    (other / "index.csv").write_text((other / "index.csv").read_text().replace(",train,", ",validation,"))
    code, out, err = cmcgan("evaluate", other, "-c", judge)
    assert code == 0
    assert "pictures" in out
    assert "0 training pairs" in err


def test_with_one_recording_per_class_there_is_no_retrieval(saved: Saved, tmp_path: Path, cmcgan: Run) -> None:
    code, out, err = cmcgan("evaluate", write_dataset(tmp_path / "other"), "-c", saved(ClassEmbedder))
    assert (code, out) == (0, "")
    assert "no class of this split has two recordings" in err


def test_a_classifier_of_one_modality_is_not_scored_by_retrieval(dataset: PreparedDataset) -> None:
    evaluation = evaluate(train_judge(dataset, [Modality.VISUAL], "judge-tiny"), dataset)
    assert evaluation.classification is not None
    assert evaluation.retrieval is None


def test_a_network_that_can_do_nothing_is_named(dataset: PreparedDataset, saved: Saved) -> None:
    with pytest.raises(CheckpointError, match="holds a toy, which neither translates, nor classifies, nor embeds both"):
        evaluate(saved(lambda: nn.Linear(1, 1)), dataset)  # type: ignore[arg-type]
