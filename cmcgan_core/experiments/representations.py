"""The study of representations: CMAV's sound classifiers on one source that was prepared in several representations.

Source: Chen et al., "Deep Cross-Modal Audio-Visual Generation" (2017), Table 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import PairDataset, PreparedDataset
from cmcgan_core.errors import DataError
from cmcgan_core.evaluation.classification import classify_pairs
from cmcgan_core.evaluation.judges import one_trainer
from cmcgan_core.evaluation.outputs import PairInfo
from cmcgan_core.evaluation.paper import paper_tables
from cmcgan_core.evaluation.pooling import PooledAccuracy, pool_accuracies
from cmcgan_core.evaluation.results import to_plain
from cmcgan_core.evaluation.scores import Accuracy, accuracy_of
from cmcgan_core.experiments.recipes import SEEDS
from cmcgan_core.modality import Modality
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.training.classifiers import judge_folder
from cmcgan_core.training.run import train_once
from cmcgan_core.utils.device import choose_device

#: Presets of the classifiers by number of convolutional layers.
CLASSIFIERS = {3: "cmav-3", 4: "cmav-4"}


@dataclass(frozen=True)
class Row:
    """One classifier on one representation.

    Attributes:
        representation: name of the representation.
        layers: number of convolutional layers of the classifier.
        accuracy: accuracy on the evaluated split, pooled over the seeds.
        train: accuracy on the training split, pooled over the seeds.
        paper: the published accuracy, or None.
    """

    representation: str
    layers: int
    accuracy: PooledAccuracy
    train: PooledAccuracy
    paper: float | None


@dataclass(frozen=True)
class RepresentationStudy:
    """The result of a study of representations.

    Attributes:
        data: folders of the datasets.
        split: name of the evaluated split.
        seeds: seeds of the trainings.
        pairs: number of pairs by split.
        rows: the results, in the order of the datasets, then by number of layers.
    """

    data: tuple[str, ...]
    split: str
    seeds: tuple[int, ...]
    pairs: dict[str, int]
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        document: dict[str, Any] = to_plain(self)
        return document


def study_representations(
    datasets: Sequence[PreparedDataset],
    *,
    split: str = "test",
    seeds: Sequence[int] = SEEDS,
    seed: int = 0,
    device: str = "auto",
    on_progress: OnProgress = silent,
) -> RepresentationStudy:
    """Train the classifiers on every dataset with every seed, and evaluate them on a split of it.

    Each classifier is trained once and kept in the dataset's `judges/`, so an interrupted study resumes.

    Args:
        datasets: the same pairs in different representations.
        split: name of the split.
        seeds: seeds of the trainings.
        seed: seed of the bootstrap.
        device: see `choose_device`.
        on_progress: called after every step.

    Raises:
        DataError: the datasets have different pairs, or two have the same representation, or the split is empty.
        Interrupted: a stop was requested; the next call resumes.
    """
    splits = [dataset.nonempty_split(split) for dataset in datasets]
    _require_comparable(splits)
    rows = []
    for dataset in datasets:
        name = dataset.settings.representation
        for layers, preset in CLASSIFIERS.items():
            trained = [_train(dataset, preset, training_seed, device, on_progress) for training_seed in seeds]
            accuracies = pool_accuracies([_accuracies(classifier, dataset, split, seed) for classifier in trained])
            paper = paper_tables().representations.get(name, {}).get(str(layers))
            rows.append(Row(name, layers, accuracies[split], accuracies["train"], paper))
    pairs = {split: len(splits[0]), "train": len(datasets[0].split("train"))}
    roots = tuple(str(dataset.root) for dataset in datasets)
    return RepresentationStudy(roots, split, tuple(seeds), pairs, tuple(rows))


def _train(dataset: PreparedDataset, preset: str, seed: int, device: str, on_progress: OnProgress) -> Trained:
    """Train a classifier once, keep it with the dataset, and load it."""
    config = replace(load_config(preset), seed=seed)
    with one_trainer(dataset.root, on_progress):
        folder = judge_folder(dataset, (Modality.AUDIO,), preset, seed)
        path = train_once(config, dataset, folder, device, on_progress)
    return load_checkpoint(path, choose_device(device))


def _accuracies(trained: Trained, dataset: PreparedDataset, split: str, seed: int) -> dict[str, Accuracy]:
    """Compute the accuracy of a classifier on a split and on the training split, by name; `seed` is the bootstrap's."""
    accuracies = {}
    for name in (split, "train"):
        part = dataset.split(name)
        predicted = classify_pairs(trained, part, list(range(len(part))))
        accuracies[name] = accuracy_of(predicted[None], PairInfo(part.labels, part.recordings, len(part.classes)), seed)
    return accuracies


def _require_comparable(splits: Sequence[PairDataset]) -> None:
    """Raise a `DataError` if splits have different pairs, or the same representation."""
    first = splits[0]
    by_name: dict[str, PairDataset] = {}
    for split in splits:
        name = split.settings.representation
        if by_name.setdefault(name, split) is not split:
            raise DataError(
                f"{by_name[name].root} and {split.root} are both {name}; prepare one of them with another "
                "--representation, or leave it out"
            )
        if [(pair.id, pair.label) for pair in split.pairs] != [(pair.id, pair.label) for pair in first.pairs]:
            raise DataError(
                f"{split.root} has other {split.split} pairs than {first.root}; prepare both from one source, with the "
                "same options except --representation"
            )
