"""Draw what a model makes of a held-out pair of each class, for README and docs.

usage: python benchmarks/sheet.py DATA FILE [CHECKPOINT] [SPLIT]      (the shipped model and the test split by default)
"""

import sys
from pathlib import Path

import torch
from PIL import Image

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import to_batch
from cmcgan_core.features.figures import draw_labelled_grid
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import translate
from cmcgan_core.modality import Direction
from cmcgan_core.reports.samples import typical_items
from cmcgan_core.run_folder import find_checkpoint

SIDE = 128


def main(data: str, file: str, checkpoint: str = "box", split: str = "test") -> None:
    """Write the sheet, and print the classes of its columns."""
    trained = load_checkpoint(find_checkpoint(Path(checkpoint)), torch.device("cpu"))
    pairs = open_dataset(data).nonempty_split(split)
    items = typical_items(pairs)
    batch = to_batch(pairs.read(items), trained.about.config.network, pairs.settings, trained.device)
    pictures, sounds = (
        translate(trained, direction, batch.maps()[direction.source], SamplingOptions(samples=2)).split(len(items))
        for direction in Direction
    )
    rows = [("real sound", batch.audio), ("generated picture", pictures[0]), ("with another z", pictures[1])]
    rows += [("real picture", batch.visual), ("generated sound", sounds[0]), ("with another z", sounds[1])]
    Image.fromarray(draw_labelled_grid(rows, SIDE)).save(file, quality=88)
    print("columns:", ", ".join(pairs.pairs[item].label for item in items))


if __name__ == "__main__":
    main(*sys.argv[1:])
