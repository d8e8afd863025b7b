"""Put finished runs into the package as the shipped models ("box"), with weights in half precision.

RUN generates; its network and its classifier are written. RETRIEVAL is a run for `cmcgan retrieve`. The model card is
written by hand. With --out, the files are written to that folder instead, and may have any size.

usage: python benchmarks/box.py [RUN] [--retrieval RETRIEVAL] [--out FOLDER]
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from cmcgan_core.checkpoint import load_checkpoint, network_tensors, save_checkpoint
from cmcgan_core.inference.completion import fingerprint
from cmcgan_core.inference.retrieve.embedding import SHIPPED
from cmcgan_core.nn.familiarity import familiarity_tensors
from cmcgan_core.run_folder import BOX, RunFolder

#: Largest size of a file in the box, in bytes.
LIMIT = 10_000_000


def half_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert weights to float16, which halves a file.

    Running statistics stay as they are, because their range is wider.
    """
    return {name: t if "running" in name or not t.is_floating_point() else t.half() for name, t in tensors.items()}


def main() -> None:
    """Write the files, and print their sizes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--retrieval", type=Path)
    parser.add_argument("--out", type=Path, default=BOX)
    given = parser.parse_args()
    box = RunFolder(given.out)
    if given.run:
        write(RunFolder(given.run).last, box.last)
        write(RunFolder(given.run).classifier, box.classifier, completed_by=fingerprint(box.last))
    if given.retrieval:
        write(RunFolder(given.retrieval).last, given.out / SHIPPED.name)


def write(source: Path, target: Path, completed_by: str = "") -> None:
    """Write a checkpoint with weights in half precision.

    Args:
        source: the checkpoint.
        target: the file.
        completed_by: see `About.completed_by`.
    """
    trained = load_checkpoint(source, torch.device("cpu"))
    about = replace(trained.about, best=None, completed_by=completed_by)
    tensors = {**half_precision(network_tensors(trained.network)), **familiarity_tensors(trained.familiarity)}
    save_checkpoint(target, about, tensors)
    size = target.stat().st_size
    assert size <= LIMIT or target.parent != BOX, f"{target} has {size:,} bytes; a file in the box may have {LIMIT:,}"
    print(target, f"{size:,} bytes")


if __name__ == "__main__":
    main()
