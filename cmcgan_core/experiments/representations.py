"""The study of representations: CMAV's sound classifiers on one source that was prepared in several representations.

Source: Chen et al., "Deep Cross-Modal Audio-Visual Generation" (2017), Table 1.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import PairDataset, held_out
from cmcgan_core.data.loader import in_order
from cmcgan_core.errors import DataError
from cmcgan_core.evaluation.judges import one_trainer
from cmcgan_core.evaluation.paper import paper_tables
from cmcgan_core.evaluation.scores import Accuracy, accuracy, recordings
from cmcgan_core.nn.fusion import FusionNetwork
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.training.run import train_once
from cmcgan_core.utils.device import choose_device

#: Presets of the classifiers by their number of convolutional layers.
CLASSIFIERS = {3: "cmav-3", 4: "cmav-4"}
#: Pairs that are asked about at once.
BATCH = 64


@dataclass(frozen=True)
class Row:
    """One classifier on one representation.

    Attributes:
        representation: its name.
        layers: of the classifier.
        accuracy: on the held-out split.
        train: on the training split.
        paper: the published figure, or None.
    """

    representation: str
    layers: int
    accuracy: Accuracy
    train: Accuracy
    paper: float | None


@dataclass(frozen=True)
class RepresentationStudy:
    """What CMAV's Table 1 says, and what was found.

    Attributes:
        data: the datasets.
        split: that was judged.
        seed: of the trainings and the bootstrap.
        pairs: their number by split.
        rows: in the order of the datasets, then by the number of layers.
    """

    data: tuple[str, ...]
    split: str
    seed: int
    pairs: dict[str, int]
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def study_representations(
    data: Sequence[Path], *, split: str = "test", seed: int = 0, device: str = "auto", on_progress: OnProgress = silent
) -> RepresentationStudy:
    """Train the classifiers on every dataset, and judge them on its held-out split.

    Each is trained once and kept in the dataset's `judges/`, so that an interrupted study goes on.

    Args:
        data: prepared datasets, the same pairs in different representations.
        split: to judge.
        seed: of the trainings and the bootstrap.
        device: see `choose_device`.
        on_progress: told after every step.

    Raises:
        DataError: they are not the same pairs, or two are of one representation, or the split is empty.
        KeyboardInterrupt: it was asked to stop while it trained; the next call goes on there.
    """
    judged = {root: held_out(root, split) for root in data}
    _require_comparable(list(judged.values()))
    paper = paper_tables()["representations"]
    rows = []
    for root, dataset in judged.items():
        name, train = dataset.settings.representation, PairDataset(root, "train")
        for layers, preset in CLASSIFIERS.items():
            config = replace(load_config(preset), seed=seed)
            with one_trainer(root, on_progress):
                path = train_once(config, root, root / "judges" / f"{preset}-a-{seed}", device, on_progress)
            trained = load_checkpoint(path, choose_device(device))
            found, known = (_accuracy(trained, of, seed) for of in (dataset, train))
            rows.append(Row(name, layers, found, known, paper.get(name, {}).get(str(layers))))
    pairs = {split: len(dataset), "train": len(train)}
    return RepresentationStudy(tuple(map(str, data)), split, seed, pairs, tuple(rows))


def _require_comparable(datasets: list[PairDataset]) -> None:
    first = datasets[0]
    known: dict[str, PairDataset] = {}
    for dataset in datasets:
        name = dataset.settings.representation
        if known.setdefault(name, dataset) is not dataset:
            raise DataError(
                f"{known[name].root} and {dataset.root} are both {name}; prepare one of them with another "
                "--representation, or leave it out"
            )
        if [(p.id, p.label) for p in dataset.pairs] != [(p.id, p.label) for p in first.pairs]:
            raise DataError(
                f"{dataset.root} has other {dataset.split} pairs than {first.root}; prepare both from one "
                "source, with the same options but for --representation"
            )


def _accuracy(trained: Trained, dataset: PairDataset, seed: int) -> Accuracy:
    network = trained.network
    assert isinstance(network, FusionNetwork)
    sizes, device = trained.about.config.network, next(network.parameters()).device
    seen: list[Tensor] = []
    with torch.inference_mode():
        for batch in in_order(dataset, sizes, BATCH, device):
            seen.append(network(audio=batch.audio).argmax(dim=1).cpu())
    return accuracy(torch.cat(seen)[None], dataset.labels, recordings(dataset), len(dataset.classes), seed)
