"""Put finished runs into the package as the shipped models ("box"), with weights in half precision.

RUN generates; its network and its classifier are written. RETRIEVAL is a run for `cmcgan retrieve`. The model card
of the box is written by hand, and kept. With --out, the files are written to that folder, and may have any size.

usage: python benchmarks/box.py [RUN] [--retrieval RETRIEVAL] [--out FOLDER]
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

import cmcgan_core as cmcgan
from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.inference.pretrained import save_network
from cmcgan_core.inference.retrieve.embedding import SHIPPED
from cmcgan_core.run_folder import BOX

#: Largest size of a file in the box, in bytes.
LIMIT = 10_000_000


def half_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert weights to float16, which halves a file.

    Running statistics stay as they are, because their range is wider.
    """
    return {name: t if "running" in name or not t.is_floating_point() else t.half() for name, t in tensors.items()}


def halve(trained: Trained) -> Trained:
    """Convert the weights of a network to half precision."""
    trained.network.load_state_dict(half_precision(trained.network.state_dict()), assign=True)
    return trained


def main() -> None:
    """Write the files, and print their sizes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--retrieval", type=Path)
    parser.add_argument("--out", type=Path, default=BOX)
    given = parser.parse_args()
    if given.run:
        model = cmcgan.load(given.run, "cpu")
        halve(model.trained)
        if model.classifier:
            halve(model.classifier)
        model.save_pretrained(given.out, licence="mit")
    if given.retrieval:
        retrieval = load_checkpoint(cmcgan.find_checkpoint(given.retrieval), torch.device("cpu"))
        save_network(given.out / SHIPPED.name, halve(retrieval))
    for file in given.out.glob("*.safetensors"):
        size = file.stat().st_size
        assert size <= LIMIT or given.out != BOX, f"{file} has {size:,} bytes; a file in the box may have {LIMIT:,}"
        print(file, f"{size:,} bytes")


if __name__ == "__main__":
    main()
