"""A checkpoint and a split to rows beside the papers' numbers.

Judges are the paper's classifiers, trained on real training pairs only and kept beside the dataset. No label reaches
the generator. The rows of Table 2 stand beside controls: what the same classifier says when the generated modality is
replaced by a constant, by what was generated for another class, and by noise. A generator helps by no more than its
row is above those.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cmcgan_core import metrics
from cmcgan_core.checkpoint import Trained, find_checkpoint, load_checkpoint
from cmcgan_core.classifiers import train_classifier
from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import Batch, PairDataset, to_batch, wrong_partners
from cmcgan_core.device import choose_device
from cmcgan_core.errors import CheckpointError, DataError
from cmcgan_core.generate import to_network, translator
from cmcgan_core.methods.cmcgan import TRANSLATIONS
from cmcgan_core.progress import OnProgress, Progress, silent

#: Names of the directions in the papers' tables.
TABLE_NAMES = {"a2v": "S2I", "v2a": "I2S"}
#: What stands in for the generated modality in the controls.
CONTROLS = ("constant", "other class", "noise")


@dataclass(frozen=True)
class Accuracy:
    """Share of items whose judged class is right, over all items and as the mean over classes."""

    micro: float
    balanced: float


@dataclass(frozen=True)
class Evaluation:
    """The rows of Tables 1 and 2.

    Attributes:
        checkpoint, data, split, seed: what was evaluated, and how.
        pairs: number of pairs by split.
        hops: of the model's own output, which Table 2 uses.
        real: judged accuracy of real pictures ("v") and sounds ("a") by split: the ceiling of the rows of Table 1.
        table1: judged accuracy of generated samples by direction ("S2I", "I2S"), number of hops ("1", "2") and split.
        table2: accuracy of the classifiers V, A, V-A, GV-A, GA-V and of the controls, on the held-out split.
    """

    checkpoint: str
    data: str
    split: str
    seed: int
    hops: int
    pairs: dict[str, int]
    real: dict[str, dict[str, Accuracy]]
    table1: dict[str, dict[str, dict[str, Accuracy]]]
    table2: dict[str, Accuracy]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, the papers' figures beside them."""
        return {**asdict(self), "paper": paper_tables()}


def paper_tables() -> dict[str, Any]:
    """The published figures."""
    return tomllib.loads(files("cmcgan_core").joinpath("paper_tables.toml").read_text(encoding="utf-8"))


def evaluate(
    run: Path | None, data: Path, *, split: str = "test", seed: int = 0, device: str = "auto",
    on_progress: OnProgress = silent,
) -> Evaluation:  # fmt: skip
    """Judge a run on a whole split, and on as many training pairs, spread evenly.

    Raises:
        CheckpointError: there is no such run, it generates nothing, or it knows other classes than the dataset.
        DataError: the dataset has no such split.
    """
    on = choose_device(device)
    trained = load_checkpoint(find_checkpoint(run), on)
    held_out, train = PairDataset(data, split), PairDataset(data, "train")
    _check(trained, held_out)
    judges = {}
    for modalities in ("v", "a", "av"):
        preset = trained.about.config.judge
        path = train_classifier(data, modalities, preset, device=device, on_progress=on_progress)
        judges[modalities] = load_checkpoint(path, on)
    asked = {split: Answers(trained, judges, held_out, seed, controls=True)}
    if split != "train":
        asked["train"] = Answers(trained, judges, train, seed, most=len(held_out))
    said = {part: answers.collect(on_progress) for part, answers in asked.items()}
    pairs = {part: len(answers.items) for part, answers in asked.items()}
    return _tabulate(trained, data, split, seed, pairs, said)


class Answers:
    """What the judges say of the real, generated and stand-in samples of a split, as accuracies by name.

    Args:
        trained: the generating model.
        judges: classifiers by what they are given: "v", "a", "av".
        dataset: a split.
        seed: of latents and stand-ins.
        controls: also try the stand-ins.
        most: at most so many pairs, spread evenly.
    """

    def __init__(
        self,
        trained: Trained,
        judges: Mapping[str, Trained],
        dataset: PairDataset,
        seed: int,
        *,
        controls: bool = False,
        most: int | None = None,
    ) -> None:
        self.trained, self.judges, self.dataset, self.controls = trained, judges, dataset, controls
        count = min(most or len(dataset), len(dataset))
        self.items = torch.linspace(0, len(dataset) - 1, count).round().long().tolist()
        self.network = translator(trained, *TABLE_NAMES)
        self.generator = torch.Generator().manual_seed(seed)
        self.device = next(trained.inference.parameters()).device
        self.judge_network = judges["av"].about.config.network

    def collect(self, on_progress: OnProgress, batch_size: int = 64) -> dict[str, Accuracy]:
        """Accuracies by the names that `_answers` gives."""
        predicted: dict[str, list[Tensor]] = {}
        labels = []
        for first in range(0, len(self.items), batch_size):
            items = self.items[first : first + batch_size]
            batch = self._batch(items, self.trained.about.config.network)
            labels.append(batch.label.cpu())
            with torch.inference_mode():
                for name, logits in self._answers(batch, self._batch(items, self.judge_network)):
                    predicted.setdefault(name, []).append(logits.argmax(dim=1).cpu())
            on_progress(Progress(f"judging {self.dataset.split}", first + len(items), len(self.items), "pairs"))
        label, classes = torch.cat(labels), len(self.dataset.classes)
        return {
            name: Accuracy(
                metrics.accuracy(torch.cat(p), label), metrics.balanced_accuracy(torch.cat(p), label, classes)
            )
            for name, p in predicted.items()
        }

    def _answers(self, batch: Batch, real: Batch) -> Iterator[tuple[str, Tensor]]:
        """Judges' logits by name: "V", "A", "V-A", "a2v 1", ..., "GV-A", "GA-V", "GV-A noise", ...

        Args:
            batch: pairs at the size that the generator is given.
            real: the same pairs at the size that the judges are given.
        """
        yield "V", self._judge("v", visual=real.visual)
        yield "A", self._judge("a", audio=real.audio)
        yield "V-A", self._judge("av", audio=real.audio, visual=real.visual)
        for direction, source in (("a2v", batch.audio), ("v2a", batch.visual)):
            for hops in TRANSLATIONS:
                made = self.network.translate(direction, source, self.generator, hops)
                modality = "visual" if direction == "a2v" else "audio"
                yield f"{direction} {hops}", self._judge(modality[0], **{modality: made})
                if hops == self.network.hops:
                    yield from self._fusion(direction, real, made)

    def _fusion(self, direction: str, real: Batch, made: Tensor) -> Iterator[tuple[str, Tensor]]:
        """GV-A (sound and generated picture) or GA-V (picture and generated sound), and the controls."""
        name, generated = ("GV-A", "visual") if direction == "a2v" else ("GA-V", "audio")
        given = {"audio": real.audio, "visual": real.visual}
        yield name, self._judge("av", **{**given, generated: made})
        if self.controls:
            for control, stand_in in self._stand_ins(direction, real.label, made):
                yield f"{name} {control}", self._judge("av", **{**given, generated: stand_in})

    def _stand_ins(self, direction: str, label: Tensor, made: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield CONTROLS[0], torch.zeros_like(made)
        others = wrong_partners(label.cpu(), self.generator, among=self.dataset.labels)
        other = self._batch(others.tolist(), self.trained.about.config.network)
        source = other.audio if direction == "a2v" else other.visual
        yield CONTROLS[1], self.network.translate(direction, source, self.generator)
        yield CONTROLS[2], torch.rand(made.shape, generator=self.generator).to(made.device) * 2 - 1

    def _judge(self, judge: str, **maps: Tensor) -> Tensor:
        classifier = self.judges[judge]
        logits: Tensor = classifier.inference(**{name: to_network(classifier, m) for name, m in maps.items()})
        return logits

    def _batch(self, items: list[int], network: NetworkConfig) -> Batch:
        return to_batch(self.dataset.read(items), network, self.dataset.settings, self.device)


def _check(trained: Trained, dataset: PairDataset) -> None:
    about = trained.about
    if not len(dataset):
        raise DataError(f"{dataset.root} has no pairs in its {dataset.split} split; choose another --split")
    translator(trained, *TABLE_NAMES)
    if about.classes != dataset.classes or about.settings != dataset.settings:
        raise CheckpointError(f"{trained.path} was trained on other classes or features than {dataset.root} has")
    if about.data == dataset.about["name"] and about.content != dataset.about.get("content", ""):
        raise CheckpointError(f"{dataset.root} was prepared anew since {trained.path} was trained on it: pairs "
                              "that are in its test split now may have been trained on; train again")  # fmt: skip


def _tabulate(
    trained: Trained,
    data: Path,
    split: str,
    seed: int,
    pairs: dict[str, int],
    said: Mapping[str, Mapping[str, Accuracy]],
) -> Evaluation:
    table1 = {
        name: {
            str(hops): {part: answers[f"{direction} {hops}"] for part, answers in said.items()} for hops in TRANSLATIONS
        }
        for direction, name in TABLE_NAMES.items()
    }
    held_out = said[split]
    return Evaluation(
        checkpoint=str(trained.path),
        data=str(data),
        split=split,
        seed=seed,
        hops=translator(trained).hops,
        pairs=pairs,
        real={m: {part: answers[m.upper()] for part, answers in said.items()} for m in ("v", "a")},
        table1=table1,
        table2={name: value for name, value in held_out.items() if name[:3] not in ("a2v", "v2a")},
    )
