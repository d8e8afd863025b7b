"""Measure how often a real recording of an instrument gives a picture of that instrument.

Every half second above the level of silence, of the sounds in FOLDER/CLASS/, is turned into a picture. A judge that was
trained on the pairs of DATA classifies it. For comparison, the judge classifies the half seconds themselves.

usage: python benchmarks/real_recordings.py FOLDER DATA [CHECKPOINT]
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.evaluation.judges import Judge
from cmcgan_core.features.representations import analyse
from cmcgan_core.features.scaling import scale_spectrograms
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import to_network, translate
from cmcgan_core.media.files import SILENT_DBFS, loudness, media_kind, read_sound
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.progress import tqdm_progress
from cmcgan_core.run_folder import find_checkpoint
from cmcgan_core.training.classifiers import train_judge

#: Names of folders that differ from the name of their class.
SYNONYMS = {"saxophone": "sax"}


def list_sounds(folder: Path) -> list[Path]:
    """Return the sound files of a folder, sorted."""
    return [file for file in sorted(folder.iterdir()) if media_kind(file) == "sound"]


def read_audible_spectrograms(files: Iterable[Path], settings: FeatureSettings) -> Tensor:
    """Return the spectrograms (N, 1, M, T) in [-1, 1] of all half seconds above the level of silence."""
    spectrograms = []
    for file in files:
        sound = read_sound(file, settings.sample_rate)
        chunks = sound[: len(sound) // settings.samples * settings.samples].reshape(-1, settings.samples)
        audible = [chunk for chunk in chunks if loudness(chunk) > SILENT_DBFS]
        spectrograms += [analyse(torch.from_numpy(chunk), settings) for chunk in audible]
    return scale_spectrograms(torch.stack(spectrograms), settings)[:, None]


def share_of_class(judge: Judge, modality: Modality, maps: Tensor, label: int) -> float:
    """Return the share of maps (N, C, H, W) that a judge assigns to a class."""
    with torch.inference_mode():
        _, predicted = judge.predict({modality: maps})
    return float((predicted == label).float().mean())


def main(folder: str, data: str, checkpoint: str = "box") -> None:
    """Print a line for each class, and the mean over the classes."""
    cpu = torch.device("cpu")
    trained, dataset = load_checkpoint(find_checkpoint(Path(checkpoint)), cpu), open_dataset(data)
    preset, classes = trained.about.config.judge, trained.about.classes
    path = train_judge(dataset, tuple(Modality), preset, device="cpu", on_progress=tqdm_progress())
    judge = Judge(load_checkpoint(path, cpu))
    rows = []
    for path in sorted(Path(folder).iterdir()):
        name = SYNONYMS.get(path.name, path.name)
        if name not in classes:
            continue
        audio, label = read_audible_spectrograms(list_sounds(path), trained.about.settings), classes.index(name)
        visual = translate(trained, Direction.A2V, to_network(trained, audio), SamplingOptions())
        pictures, sounds = (
            share_of_class(judge, m, maps, label) for m, maps in ((Modality.VISUAL, visual), (Modality.AUDIO, audio))
        )
        rows.append((pictures, sounds))
        print(f"{name:12} {len(audio):5} half seconds: pictures {pictures:.2f}, sounds themselves {sounds:.2f}")
    pictures, sounds = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    print(f"mean of {len(rows)} classes: pictures {pictures:.3f}, sounds themselves {sounds:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
