"""Put a finished run into the package as the shipped model ("box"): network and classifier, weights in half precision.

The model card is written by hand. With a FOLDER, the files are written there instead, and may have any size.

usage: python benchmarks/box.py RUN [FOLDER]
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from cmcgan_core.checkpoint import BOX, RunFolder, load_checkpoint, network_tensors, save_checkpoint
from cmcgan_core.inference.completion import fingerprint
from cmcgan_core.nn.familiarity import familiarity_tensors

#: Largest size of a file in the box, in bytes.
LIMIT = 10_000_000


def half_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert weights to float16, which halves a file.

    Running statistics stay as they are, because their range is wider.
    """
    return {name: t if "running" in name or not t.is_floating_point() else t.half() for name, t in tensors.items()}


def main(run: str, out: str = str(BOX)) -> None:
    """Write `last.safetensors` and `classifier.safetensors` of a run to the box, and print their sizes."""
    folder, box = RunFolder(Path(run)), RunFolder(Path(out))
    for source, target in ((folder.last, box.last), (folder.classifier, box.classifier)):
        trained = load_checkpoint(source, torch.device("cpu"))
        about = replace(trained.about, best=None)
        if about.completed_by:
            about = replace(about, completed_by=fingerprint(box.last))
        tensors = {**half_precision(network_tensors(trained.network)), **familiarity_tensors(trained.familiarity)}
        save_checkpoint(target, about, tensors)
        size = target.stat().st_size
        assert size <= LIMIT or box.path != BOX, f"{target} has {size:,} bytes; a file in the box may have {LIMIT:,}"
        print(target, f"{size:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
