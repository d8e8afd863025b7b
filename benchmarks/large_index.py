"""Measure what it costs to open a dataset of many pairs, and to draw and read its first batches.

Makes datasets in the form of Sub-URMP (20 pairs a recording, a sound file and a picture file for each pair) in a
temporary folder. Their shards are files of zeros without content on disk. Each size is measured in a process of its
own. Prints the CPU-seconds of each step, and the peak memory of the process: after the imports, after the index and
the split have been read, and at the end.

usage: python benchmarks/large_index.py [PAIRS...]      (10000 100000 1000000 by default)
"""

import itertools
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cmcgan_core.data.index import FORMAT, Pair
from cmcgan_core.data.prepare.shards import SHARD_SIZE
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.utils.toml import dump_toml

CLASSES = ("bassoon", "cello", "clarinet", "flute", "horn", "oboe", "sax", "trombone", "trumpet", "tuba", "violin")
PAIRS_PER_RECORDING = 20
BATCH_SIZE = 64
#: The batches that are read.
READ = 20


def write_dataset(root: Path, pairs: int) -> None:
    """Write a dataset whose shards are zeros; every tenth recording is a test recording."""
    settings = FeatureSettings()
    (root / "shards").mkdir(parents=True)
    with (root / "index.csv").open("w", encoding="utf-8") as file:
        file.write(",".join(Pair._fields) + "\n")
        for row in range(pairs):
            take, number = divmod(row, PAIRS_PER_RECORDING)
            label, split = CLASSES[take % len(CLASSES)], "train" if take % 10 else "test"
            name, start = f"{label}{take:06d}", number / 2
            where = f"{split}/{label}/{name}_{round(1000 * start)}"
            fields = (f"{name}_{start:07.3f}", split, label, name, "", f"{start}", f"chunk/{where}.wav")
            file.write(",".join((*fields, f"img/{where}.jpg", f"{row:016x}")) + "\n")
    picture = (settings.picture_size, settings.picture_size, 3)
    for shard, first in enumerate(range(0, pairs, SHARD_SIZE)):
        length = min(SHARD_SIZE, pairs - first)
        write_zeros(root / f"shards/{shard:05d}.pictures.npy", (length, *picture), np.uint8)
        write_zeros(root / f"shards/{shard:05d}.spectrograms.npy", (length, settings.bins, settings.frames), np.float16)
    about = {"format": FORMAT, "name": root.name, "shard_size": SHARD_SIZE, "pairs": pairs, "classes": CLASSES}
    (root / "dataset.toml").write_text(dump_toml({**about, "features": asdict(settings)}), encoding="utf-8")


def write_zeros(file: Path, shape: tuple[int, ...], dtype: type) -> None:
    """Write an array of zeros that takes no space on disk."""
    np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape).flush()


def peak_memory() -> float:
    """Return the peak memory of this process in MiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(root: Path) -> None:
    """Print the costs of one dataset."""
    import torch

    from cmcgan_core.config import NetworkConfig
    from cmcgan_core.data.dataset import open_dataset
    from cmcgan_core.data.loader import Loader

    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        begin = time.process_time()
        result = step()
        seconds[name] = time.process_time() - begin
        return result

    memory = [peak_memory()]
    dataset = timed("open", lambda: open_dataset(root))
    split = timed("split", lambda: dataset.split("train"))
    memory.append(peak_memory())
    loader = timed("loader", lambda: Loader(split, NetworkConfig(), BATCH_SIZE, 0, torch.device("cpu")))
    order = timed("first batch", lambda: next(loader.order(0)))
    timed(f"read {READ} batches", lambda: [split.read(items) for items in itertools.islice(loader.order(0), READ)])
    timed("loader by pose", lambda: Loader(split, NetworkConfig(), BATCH_SIZE, 0, torch.device("cpu"), by="pose"))
    memory.append(peak_memory())
    steps = ", ".join(f"{name} {value:.3f}" for name, value in seconds.items())
    print(f"{len(dataset.pairs)} pairs: {steps} CPU-s; memory {', '.join(f'{m:.0f}' for m in memory)} MiB")
    print(f"  the first batch begins with {order[:4]}", flush=True)


def main(*sizes: str) -> None:
    """Measure each size in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes or ("10000", "100000", "1000000"):
            root = Path(folder) / size
            write_dataset(root, int(size))
            subprocess.run([sys.executable, __file__, "--measure", str(root)], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]))
    else:
        main(*sys.argv[1:])
