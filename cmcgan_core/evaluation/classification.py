"""The accuracy of a trained classifier on real pairs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.loader import to_batch
from cmcgan_core.evaluation.metrics import confusion_matrix
from cmcgan_core.evaluation.outputs import PairInfo
from cmcgan_core.evaluation.scores import Accuracy, accuracy_of
from cmcgan_core.inference.dynamic_classifier import require_classifier
from cmcgan_core.modality import Modality
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.batches import in_batches, spread_evenly

#: Pairs that are classified at once.
BATCH = 64


@dataclass(frozen=True)
class Classification:
    """How well a classifier classifies real pairs.

    Attributes:
        modalities: the modalities that it reads.
        accuracy: the accuracy on each split, by name of the split.
        confusion: counts on the evaluated split; the row is the true class, the column the predicted one.
    """

    modalities: tuple[Modality, ...]
    accuracy: dict[str, Accuracy]
    confusion: list[list[int]]


def evaluate_classifier(
    trained: Trained, split: PairDataset, *, seed: int, on_progress: OnProgress = silent
) -> Classification:
    """Classify all pairs of a split, and an equal number of training pairs, spread evenly, if there are any.

    Args:
        trained: a classifier.
        split: the pairs to classify.
        seed: seed of the bootstrap.
        on_progress: called after every batch.

    Raises:
        CheckpointError: the network is not a classifier.
    """
    training = split.dataset.split("train")
    splits = {str(split.split): spread_evenly(len(split), len(split))}
    if len(training):
        splits.setdefault("train", spread_evenly(len(training), len(split)))
    accuracy, confusion = {}, torch.zeros(0)
    for name, items in splits.items():
        part = split.dataset.split(name)
        pairs = PairInfo(part.labels[items], part.recordings[items], len(part.classes))
        predicted = classify_pairs(trained, part, items, on_progress)
        accuracy[name] = accuracy_of(predicted[None], pairs, seed)
        if part is split:
            confusion = confusion_matrix(predicted, pairs.label, pairs.classes)
    return Classification(require_classifier(trained).modalities, accuracy, confusion.tolist())


def classify_pairs(trained: Trained, split: PairDataset, items: list[int], on_progress: OnProgress = silent) -> Tensor:
    """Return class indices (N,) of the real pairs at N positions of a split.

    Raises:
        CheckpointError: the network is not a classifier.
    """
    network = require_classifier(trained)
    predicted: list[Tensor] = []
    done = 0
    for batch_items in in_batches(items, BATCH):
        stored = split.read(batch_items)
        batch = to_batch(stored, trained.about.config.network, split.settings, trained.device)
        with torch.inference_mode():
            predicted.append(network(batch.maps()).argmax(dim=1).cpu())
        done += len(batch_items)
        on_progress(Progress(f"classifying {split.split} pairs", done, len(items), "pairs"))
    return torch.cat(predicted)
