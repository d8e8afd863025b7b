"""Put a finished run into the package as the model in the box: generators and classifier, weights in half precision.

usage: python benchmarks/box.py RUN
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from cmcgan_core.checkpoint import BOX, load_checkpoint, network_tensors, save_checkpoint
from cmcgan_core.inference.completion import fingerprint

#: What a file in the box may weigh, bytes.
LIMIT = 10_000_000


def half_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert weights to float16, which halves a file. Running statistics, whose range is wider, stay as they are."""
    return {name: t if "running" in name or not t.is_floating_point() else t.half() for name, t in tensors.items()}


def main(run: str) -> None:
    """Write `last.safetensors` and `classifier.safetensors` of a run to the box; the model card is written by hand."""
    for name in ("last.safetensors", "classifier.safetensors"):
        trained = load_checkpoint(Path(run) / name, torch.device("cpu"))
        about = replace(trained.about, best=None)
        if about.completed_by:
            about = replace(about, completed_by=fingerprint(BOX / "last.safetensors"))
        save_checkpoint(BOX / name, about, half_precision(network_tensors(trained.network)))
        weight = (BOX / name).stat().st_size
        assert weight <= LIMIT, f"{weight:,} bytes are more than the {LIMIT:,} that a file in the box may weigh"
        print(BOX / name, f"{weight:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
