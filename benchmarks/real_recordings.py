"""How often does a real recording of an instrument give a picture of that instrument?

Every half second that can be heard of the sounds in FOLDER/CLASS/ is turned into a picture, which a judge trained
on the rendered pictures of DATA names; beside it, what DATA's judge of sounds makes of the same half seconds.

usage: python benchmarks/real_recordings.py FOLDER DATA [CHECKPOINT]
"""

import sys
from pathlib import Path

import torch

from cmcgan_core.checkpoint import Trained, find_checkpoint, load_checkpoint
from cmcgan_core.data.prepare.recording import SourceOptions, cut_chunks
from cmcgan_core.features.representations import analyse
from cmcgan_core.features.scaling import scale_spectrograms
from cmcgan_core.inference.translate import SamplingOptions, to_network, translate
from cmcgan_core.media.files import loudness, media_kind, read_sound
from cmcgan_core.progress import tqdm_progress
from cmcgan_core.training.classifiers import train_classifier

#: Level of silence, dBFS, as of `cmcgan prepare`.
SILENCE = -60.0
#: Folder names that mean a class by another name.
SYNONYMS = {"saxophone": "sax"}


def heard(folder: Path, options: SourceOptions) -> torch.Tensor:
    """Log-mel levels (N, 1, M, T), scaled, of all half seconds above the level of silence."""
    levels = []
    for file in sorted(folder.iterdir()):
        if media_kind(file) == "sound":
            sound = read_sound(file, options.settings.sample_rate)
            audible = [chunk for _, chunk in cut_chunks(sound, options) if loudness(chunk) > SILENCE]
            levels += [analyse(torch.from_numpy(chunk), options.settings) for chunk in audible]
    return scale_spectrograms(torch.stack(levels), options.settings)[:, None]


def share(judge: Trained, kind: str, maps: torch.Tensor, label: int) -> float:
    """Share of the maps in which the judge sees the class."""
    with torch.inference_mode():
        seen = judge.network(**{kind: to_network(judge, maps)}).argmax(dim=1)
    return float((seen == label).float().mean())


def main(folder: str, data: str, checkpoint: str = "box") -> None:
    """Print a line a class and the mean over the classes."""
    cpu = torch.device("cpu")
    trained = load_checkpoint(find_checkpoint(Path(checkpoint)), cpu)
    preset, classes = trained.about.config.judge, trained.about.classes
    paths = {m: train_classifier(Path(data), m, preset, on_progress=tqdm_progress()) for m in "va"}
    judges = {m: load_checkpoint(path, cpu) for m, path in paths.items()}
    rows = []
    for place in sorted(Path(folder).iterdir()):
        name = SYNONYMS.get(place.name, place.name)
        if name not in classes:
            continue
        audio, label = heard(place, SourceOptions(settings=trained.about.settings)), classes.index(name)
        made = translate(trained, "a2v", to_network(trained, audio), SamplingOptions())
        pictures, sounds = share(judges["v"], "visual", made, label), share(judges["a"], "audio", audio, label)
        rows.append((pictures, sounds))
        print(f"{name:12} {len(audio):5} half seconds: pictures {pictures:.2f}, sounds themselves {sounds:.2f}")
    pictures, sounds = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    print(f"mean of {len(rows)} classes: pictures {pictures:.3f}, sounds themselves {sounds:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
