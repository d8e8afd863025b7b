"""An embedder whose embeddings can be computed by hand, for tests of retrieval.

A picture becomes its mean colour, a sound the share of low, middle and high frequencies. So a red picture fits a low
tone, a green one a middle tone, and a blue one a high tone; a black picture has an embedding of zeros.
"""

import sys
import time
from collections import Counter
from pathlib import Path

import torch
from conftest import CLASSES, tiny_config
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.modality import Modality
from cmcgan_core.nn.capabilities import Embedder
from cmcgan_core.run_folder import About

#: Frequencies in Hz of sounds that are mostly low, middle and high.
LOW, MIDDLE, HIGH = 150, 1500, 12_000


class ColourAndPitch(Embedder):
    """See the module. `embedded` counts the items by modality."""

    embeds = tuple(Modality)

    def __init__(self, pause: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("anything", torch.zeros(1))
        self.embedded: Counter[Modality] = Counter()
        self.pause = pause

    def embed(self, modality: Modality, maps: Tensor) -> Tensor:
        self.embedded[modality] += len(maps)
        time.sleep(self.pause * len(maps))
        if modality is Modality.VISUAL:
            return (maps + 1).mean(dim=(2, 3)).round(decimals=3)
        bands = (4 * maps[:, 0]).exp().mean(dim=2)
        return torch.stack([band.mean(dim=1) for band in bands.tensor_split(3, dim=1)], dim=1)


def make_embedder(checkpoint: Path, network: Embedder | None = None) -> Trained:
    """An embedder with a checkpoint file; its content is the name of the file."""
    checkpoint.write_text(checkpoint.name)
    about = About(tiny_config(), CLASSES, FeatureSettings(), 1, 1, "test", "")
    return Trained(about, (network or ColourAndPitch()).eval(), checkpoint)


if __name__ == "__main__":
    from cmcgan_core.inference.retrieve import embedding, gallery
    from cmcgan_core.inference.retrieve.files import find_gallery
    from cmcgan_core.inference.retrieve.retrieval import retrieve

    # Slowly, and saved after every file.
    embedding.BATCH, gallery.SAVE_SECONDS = 1, 0.0
    embedder = make_embedder(Path("slow.safetensors"), ColourAndPitch(pause=0.02))
    print("ready", flush=True)
    found = retrieve(embedder, [Path(sys.argv[1])], find_gallery([sys.argv[2]]), index_folder=Path(sys.argv[3]))
    print(found.index)
