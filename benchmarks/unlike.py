"""Compare scores that tell whether an input is unlike the training data of a run.

The scores of the test pairs of DATA are compared with those of the sounds and the pictures in FOLDER/NAME/ (of names
that are not classes of DATA), of noise and of sines. The threshold is the 95th percentile of the validation pairs.
`run` and `classifier` are Mahalanobis distances of the codes of the two networks (`nn.familiarity`; what `classify`
uses is `run`). `neighbour` is one minus the cosine to the nearest training code of the run. `energy` is that of the
classifier's logits.

usage: python benchmarks/unlike.py DATA FOLDER [FOLDER ...]      the run is the model in the box
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from real_recordings import SYNONYMS, list_sounds, read_audible_spectrograms
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.data.dataset import PreparedDataset, open_dataset
from cmcgan_core.data.loader import in_order
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.dynamic_classifier import load_classifier
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import to_audio, to_network, to_visual, translate
from cmcgan_core.media.files import media_kind, read_picture
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.capabilities import Embedder
from cmcgan_core.nn.familiarity import distances, fit_familiarity
from cmcgan_core.run_folder import BOX

#: Largest number of half seconds of one folder.
HALF_SECONDS = 150

Score = Callable[[Tensor], Tensor]


def read_folder(folder: Path, settings: FeatureSettings) -> dict[Modality, Tensor]:
    """Return the spectrograms of the audible half seconds of a folder, and its pictures, in [-1, 1]."""
    sounds = list_sounds(folder)
    pictures = [file for file in sorted(folder.iterdir()) if media_kind(file) == "picture"]
    maps = {}
    if sounds:
        maps[Modality.AUDIO] = read_audible_spectrograms(sounds, settings)[:HALF_SECONDS]
    if pictures:
        maps[Modality.VISUAL] = to_visual(np.stack([read_picture(file, settings.picture_size) for file in pictures]))
    return maps


def make_toys(settings: FeatureSettings) -> dict[str, dict[Modality, Tensor]]:
    """Return noise of several levels, sines of several pitches, and pictures of noise."""
    rng = torch.Generator().manual_seed(0)
    levels = 10 ** (torch.linspace(-40, -10, 60)[:, None] / 20)
    noise = (torch.randn(60, settings.samples, generator=rng) * levels).clamp(-1, 1)
    hertz = torch.logspace(1.8, 3.7, 60)[:, None]
    sines = 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(settings.samples) / settings.sample_rate)
    pictures = torch.rand(60, 3, settings.picture_size, settings.picture_size, generator=rng) * 2 - 1
    return {
        "noise": {Modality.AUDIO: to_audio(noise, settings), Modality.VISUAL: pictures},
        "sines": {Modality.AUDIO: to_audio(sines, settings)},
    }


def embed(trained: Trained, modality: Modality, maps: Tensor) -> Tensor:
    """Return the codes (N, D) of maps (N, C, H, W) of any size."""
    assert isinstance(trained.network, Embedder)
    network = trained.network
    with torch.inference_mode():
        return torch.cat([network.embed(modality, to_network(trained, part)) for part in maps.split(64)])


def make_scores(run: Trained, classifier: Trained, dataset: PreparedDataset, modality: Modality) -> dict[str, Score]:
    """Return the scores by name; each is a function of maps (N, C, H, W) that returns (N,), higher for unlike ones."""
    label = dataset.split("train").labels
    training, validation = (read_split(dataset, run, split, modality) for split in ("train", "validation"))

    def mahalanobis(trained: Trained) -> Score:
        known = fit_familiarity(embed(trained, modality, training), label, embed(trained, modality, validation))
        return lambda maps: distances(embed(trained, modality, maps), known.whitening, known.means)

    codes = F.normalize(embed(run, modality, training))
    direction = next(direction for direction in Direction if direction.source is modality)

    def energy(maps: Tensor) -> Tensor:
        parts = []
        for part in maps.split(64):
            other = translate(run, direction, to_network(run, part), SamplingOptions())
            given = {modality: to_network(classifier, part), direction.target: to_network(classifier, other)}
            with torch.inference_mode():
                parts.append(-classifier.network(given).logsumexp(dim=1))
        return torch.cat(parts)

    return {
        "run": mahalanobis(run),
        "classifier": mahalanobis(classifier),
        "neighbour": lambda maps: 1 - (F.normalize(embed(run, modality, maps)) @ codes.T).amax(dim=1),
        "energy": energy,
    }


def read_split(dataset: PreparedDataset, trained: Trained, split: str, modality: Modality) -> Tensor:
    """Return the maps of a split at the size of a network."""
    batches = in_order(dataset.split(split), trained.about.config.network, 64, trained.device)
    return torch.cat([batch.maps()[modality] for batch in batches])


def auroc(like: Tensor, unlike: Tensor) -> float:
    """Return the probability that an unlike input has a higher score than a like one."""
    return float((unlike[:, None] > like).double().mean() + (unlike[:, None] == like).double().mean() / 2)


def main(data: str, *folders: str) -> None:
    """Print a line for each modality and score, and the shares of each kind of input that are found."""
    run, dataset = load_checkpoint(BOX / "last.safetensors", torch.device("cpu")), open_dataset(data)
    classifier, settings = load_classifier(run), run.about.settings
    unlike = {
        f"{path.parent.name}/{path.name}": read_folder(path, settings)
        for folder in folders
        for path in sorted(Path(folder).iterdir())
        if path.is_dir() and SYNONYMS.get(path.name, path.name) not in dataset.classes
    }
    inputs = [*unlike.items(), *make_toys(settings).items()]
    for modality in Modality:
        kinds = {name: maps[modality] for name, maps in inputs if modality in maps}
        validation, test = (read_split(dataset, run, split, modality) for split in ("validation", "test"))
        for name, score in make_scores(run, classifier, dataset, modality).items():
            threshold, like = score(validation).quantile(0.95), score(test)
            scores = {kind: score(maps) for kind, maps in kinds.items()}
            found = {kind: float((values > threshold).double().mean()) for kind, values in scores.items()}
            area = auroc(like, torch.cat(list(scores.values())))
            alarms = float((like > threshold).double().mean())
            print(
                f"{modality} {name:10} AUROC {area:.3f}  false alarms on the test split {alarms:.2f}  found:", end=" "
            )
            print(", ".join(f"{kind} {share:.2f}" for kind, share in found.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
