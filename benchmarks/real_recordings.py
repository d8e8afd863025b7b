"""How often does a real recording of an instrument give a picture of that instrument?

Every audible half second of the sounds in FOLDER/CLASS/ is translated to a picture. A judge that was trained on the
rendered pictures of DATA classifies the picture, and DATA's judge of sounds classifies the half second itself.

usage: python benchmarks/real_recordings.py FOLDER DATA [CHECKPOINT]
"""

import sys
from pathlib import Path

import torch

from cmcgan_core.checkpoint import find_checkpoint, load_checkpoint
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.prepare.recording import SourceOptions, chunks
from cmcgan_core.evaluation.judges import Judge
from cmcgan_core.features.representations import analyse
from cmcgan_core.features.scaling import scale_spectrograms
from cmcgan_core.inference.translate import SamplingOptions, to_network, translate
from cmcgan_core.media.files import loudness, media_kind, read_sound
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.progress import tqdm_progress
from cmcgan_core.training.classifiers import train_judge

#: Level of silence, dBFS, as of `cmcgan prepare`.
SILENCE = -60.0
#: Folder names that mean a class by another name.
SYNONYMS = {"saxophone": "sax"}


def audible_spectrograms(folder: Path, options: SourceOptions) -> torch.Tensor:
    """Return scaled spectrograms (N, 1, M, T) of all half seconds above the level of silence."""
    spectrograms = []
    for file in sorted(folder.iterdir()):
        if media_kind(file) == "sound":
            sound = read_sound(file, options.settings.sample_rate)
            audible = [chunk for _, chunk in chunks(sound, options) if loudness(chunk) > SILENCE]
            spectrograms += [analyse(torch.from_numpy(chunk), options.settings) for chunk in audible]
    return scale_spectrograms(torch.stack(spectrograms), options.settings)[:, None]


def share(judge: Judge, modality: Modality, maps: torch.Tensor, label: int) -> float:
    """Return the share of the maps that the judge assigns to the class."""
    with torch.inference_mode():
        _, predicted = judge.predict({modality: maps})
    return float((predicted == label).float().mean())


def main(folder: str, data: str, checkpoint: str = "box") -> None:
    """Print a line for each class, and the mean over the classes."""
    cpu = torch.device("cpu")
    dataset, trained = open_dataset(data), load_checkpoint(find_checkpoint(Path(checkpoint)), cpu)
    preset, classes = trained.about.config.judge, trained.about.classes
    paths = {m: train_judge(dataset, [m], preset, on_progress=tqdm_progress()) for m in Modality}
    judges = {m: Judge(load_checkpoint(path, cpu)) for m, path in paths.items()}
    rows = []
    for place in sorted(Path(folder).iterdir()):
        name = SYNONYMS.get(place.name, place.name)
        if name not in classes:
            continue
        audio = audible_spectrograms(place, SourceOptions(settings=trained.about.settings))
        visual = translate(trained, Direction.A2V, to_network(trained, audio), SamplingOptions())
        maps, label = {Modality.VISUAL: visual, Modality.AUDIO: audio}, classes.index(name)
        pictures, sounds = (share(judges[m], m, part, label) for m, part in maps.items())
        rows.append((pictures, sounds))
        print(f"{name:12} {len(audio):5} half seconds: pictures {pictures:.2f}, sounds themselves {sounds:.2f}")
    pictures, sounds = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    print(f"mean of {len(rows)} classes: pictures {pictures:.3f}, sounds themselves {sounds:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
