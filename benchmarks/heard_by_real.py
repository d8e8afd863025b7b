"""Measure how often a judge that was trained on real recordings only recognises the instrument in generated sounds.

The judge is a residual classifier of sounds, trained on half seconds of the files in FOLDER/CLASS/. Every third file of
a class is held out, to measure how well it recognises real recordings that it does not know. Then it classifies the
rendered sounds of DATA's test split, and the sounds that the model generates from their pictures. Classes that FOLDER
lacks are left out, and the judge chooses among the others only.

usage: python benchmarks/heard_by_real.py FOLDER DATA [CHECKPOINT]
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from real_recordings import SYNONYMS, list_sounds, read_audible_spectrograms
from torch import Tensor

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.config import load_config
from cmcgan_core.data.augment import augment
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import Batch, in_order
from cmcgan_core.features.scaling import resize
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import translate
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.fusion import FusionNetwork
from cmcgan_core.run_folder import find_checkpoint

PRESET = "judge-small-resnet"
STEPS, BATCH = 600, 64


def read_recordings(folder: Path, classes: list[str], settings: FeatureSettings) -> tuple[Batch, Batch]:
    """Return the half seconds of the files to train on, and those of the files that are held out."""
    parts: dict[bool, list[tuple[Tensor, int]]] = {True: [], False: []}
    for path in sorted(folder.iterdir()):
        if (name := SYNONYMS.get(path.name, path.name)) in classes:
            for number, file in enumerate(list_sounds(path)):
                parts[number % 3 == 2].append((read_audible_spectrograms([file], settings), classes.index(name)))
    known, unknown = (_to_batch(parts[held_out]) for held_out in (False, True))
    return known, unknown


def _to_batch(part: list[tuple[Tensor, int]]) -> Batch:
    """Return the sounds of several files as a batch, whose pictures are black."""
    audio = torch.cat([resize(sounds, load_config(PRESET).network.size(Modality.AUDIO)) for sounds, _ in part])
    labels = torch.cat([torch.full((len(sounds),), label) for sounds, label in part])
    return Batch(audio, torch.zeros(len(audio), 3, 12, 12), labels, labels, torch.zeros_like(labels))


def train(known: Batch, classes: int) -> FusionNetwork:
    """Train the judge; every class is drawn equally often."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    judge = FusionNetwork(load_config(PRESET).network, [Modality.AUDIO], classes).train()
    optimizer = torch.optim.Adam(judge.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    weights = 1 / torch.bincount(known.label, minlength=classes)[known.label]
    for _ in range(STEPS):
        rows = torch.multinomial(weights, BATCH, replacement=True, generator=rng)
        batch = augment(known.select(rows), rng)
        optimizer.zero_grad()
        F.cross_entropy(judge(batch.maps()), batch.label).backward()
        optimizer.step()
        schedule.step()
    return judge.eval()


def recalls(judge: FusionNetwork, audio: Tensor, labels: Tensor) -> Iterator[float]:
    """Return the share of the sounds (N, 1, M, T) of each class that the judge recognises."""
    size = load_config(PRESET).network.size(Modality.AUDIO)
    with torch.inference_mode():
        parts = [judge({Modality.AUDIO: part}).argmax(1) for part in resize(audio, size).split(256)]
    right = torch.cat(parts) == labels
    return (float(right[labels == label].float().mean()) for label in range(int(labels.max()) + 1))


def main(folder: str, data: str, checkpoint: str = "box") -> None:
    """Print a line for each class, and the mean over the classes."""
    cpu = torch.device("cpu")
    trained, dataset = load_checkpoint(find_checkpoint(Path(checkpoint)), cpu), open_dataset(data)
    names = {SYNONYMS.get(path.name, path.name) for path in Path(folder).iterdir()}
    classes = [name for name in dataset.classes if name in names]
    known, unknown = read_recordings(Path(folder), classes, dataset.settings)
    judge = train(known, len(classes))
    batches = list(in_order(dataset.nonempty_split("test"), trained.about.config.network, 64, cpu))
    labels = torch.tensor([{name: i for i, name in enumerate(classes)}.get(name, -1) for name in dataset.classes])
    labels = torch.cat([labels[batch.label] for batch in batches])
    rendered = torch.cat([batch.audio for batch in batches])
    generated = torch.cat([translate(trained, Direction.V2A, batch.visual, SamplingOptions()) for batch in batches])
    shared = labels >= 0
    columns = [
        list(recalls(judge, unknown.audio, unknown.label)),
        list(recalls(judge, rendered[shared], labels[shared])),
        list(recalls(judge, generated[shared], labels[shared])),
    ]
    print(f"{'class':12} held-out recordings, rendered sounds, generated sounds")
    for name, *row in zip(classes, *columns, strict=True):
        print(f"{name:12}", *(f"{value:.2f}" for value in row))
    print(f"mean of {len(classes)}", *(f"{sum(column) / len(column):.3f}" for column in columns))


if __name__ == "__main__":
    main(*sys.argv[1:])
