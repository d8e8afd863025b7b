"""Measure how often a real recording of an instrument finds rendered pictures of that instrument.

Every half second above the level of silence, of the sounds in FOLDER/CLASS/, is a query. The gallery is all pictures of
DATA's test split. Printed is the share of the right class among the first five pictures, by class.

usage: python benchmarks/real_retrieval.py FOLDER DATA [CHECKPOINT]
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from real_recordings import SYNONYMS, list_sounds, read_audible_spectrograms

from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.evaluation.retrieval import embed_split
from cmcgan_core.inference.retrieve.embedding import load_embedder, require_embedder
from cmcgan_core.inference.translate import to_network
from cmcgan_core.modality import Modality

FIRST = 5


def main(folder: str, data: str, checkpoint: str = "") -> None:
    """Print a line for each class, and the mean over the classes."""
    cpu = torch.device("cpu")
    trained, test = load_embedder(Path(checkpoint) if checkpoint else None, cpu), open_dataset(data).split("test")
    network = require_embedder(trained)
    pictures = embed_split(network.embed, test, trained.about.config.network, cpu)[Modality.VISUAL]
    shares = []
    for path in sorted(Path(folder).iterdir()):
        name = SYNONYMS.get(path.name, path.name)
        if name not in test.classes:
            continue
        audio = to_network(trained, read_audible_spectrograms(list_sounds(path), trained.about.settings))
        with torch.inference_mode():
            similarity = F.normalize(network.embed(Modality.AUDIO, audio), dim=1) @ F.normalize(pictures, dim=1).T
        found = test.labels[similarity.topk(FIRST).indices]
        shares.append(float((found == test.classes.index(name)).float().mean()))
        print(f"{name:12} {len(audio):5} half seconds: {shares[-1]:.2f} of the first {FIRST} pictures")
    print(f"mean of {len(shares)} classes: {sum(shares) / len(shares):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
