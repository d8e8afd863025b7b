"""Measure what `cmcgan retrieve` costs: to embed files, to check a folder in which nothing changed, and to search.

Files are embedded with the box. The folder with many files is filled with files of one byte, and random embeddings are
put into its index, so that nothing but the search of the folder is measured. CPU-seconds are those of one thread.

usage: python benchmarks/retrieve.py [FILES]      (100,000 by default)
"""

import hashlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
import torch
from PIL import Image

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.inference.completion import fingerprint
from cmcgan_core.inference.retrieve.embedding import Embeddings, normalise
from cmcgan_core.inference.retrieve.files import find_gallery
from cmcgan_core.inference.retrieve.index import FileState, open_index
from cmcgan_core.inference.retrieve.retrieval import retrieve
from cmcgan_core.inference.retrieve.search import search
from cmcgan_core.modality import Modality
from cmcgan_core.run_folder import BOX
from cmcgan_core.utils.batches import in_batches

#: Pictures and sounds that are embedded.
BUILT = 2000
#: Values of an embedding: that of the box, and a large one.
SIZES = (64, 1024)

T = TypeVar("T")


def measure(name: str, items: int, function: Callable[[], T]) -> tuple[T, float]:
    """Call a function; print and return what it took."""
    begun, cpu = time.monotonic(), time.process_time()
    result = function()
    cpu, wall = time.process_time() - cpu, time.monotonic() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:<58}{cpu:9.3f}{wall:9.3f}{1000 * cpu / items:11.4f}{memory:9.0f}", flush=True)
    return result, cpu


def write_media(folder: Path) -> None:
    """Write pictures of 256 x 256 pixels, and sounds of one second."""
    rng = np.random.default_rng(0)
    for number in range(BUILT):
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize((256, 256)).save(folder / "pictures" / f"{number:04d}.png")
        soundfile.write(folder / "sounds" / f"{number:04d}.wav", rng.uniform(-0.3, 0.3, 44_100), 44_100)


def measure_build(trained: Trained, root: Path) -> None:
    """Embed pictures and sounds; then change one in a hundred, and search again."""
    for kind in ("pictures", "sounds"):
        (root / kind).mkdir()
    write_media(root)
    for kind, other, suffix in (("pictures", "sounds", "wav"), ("sounds", "pictures", "png")):
        query = [root / other / f"0000.{suffix}"]

        def run(kind: str = kind, query: list[Path] = query) -> None:
            retrieve(trained, query, find_gallery([str(root / kind)]), index_folder=root / "index")

        _, first = measure(f"embed {BUILT} {kind} and search", BUILT, run)
        _, second = measure("again, nothing changed", BUILT, run)
        print(f"    ratio {first / second:.0f}")
        changed = sorted((root / kind).iterdir())[::100]
        for file in changed:
            file.write_bytes(file.read_bytes() + b" ")
        _, third = measure(f"again, {len(changed)} changed", BUILT, run)
        print(f"    ratio {first / third:.0f}")


def fill(trained: Trained, folder: Path, index_folder: Path, files: int) -> None:
    """Create files of one byte, and random embeddings of them in the index."""
    rng = np.random.default_rng(0)
    with open_index(index_folder, fingerprint(trained.path)) as index:
        for names in in_batches(range(files), 10_000):
            states, embeddings = {}, {}
            for number, vector in zip(names, normalise(rng.normal(size=(len(names), 64))), strict=True):
                file = folder / f"{number // 1000:03d}" / f"{number:06d}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b" ")
                content = hashlib.sha256(str(number).encode()).digest()
                states[file] = FileState(1, file.stat().st_mtime_ns, content)
                embeddings[content] = {Modality.VISUAL: Embeddings(np.full(1, np.nan, np.float32), vector[None])}
            index.save(states, embeddings)


def measure_large_folder(trained: Trained, root: Path, files: int) -> None:
    """Search a folder of many files in which nothing changed."""
    fill(trained, root / "many", root / "many index", files)
    query = [root / "sounds" / "0001.wav"]
    gallery, _ = measure(f"list a folder of {files:,} files", files, lambda: find_gallery([str(root / "many")]))
    found, _ = measure(
        "check that nothing changed, and search",
        files,
        lambda: retrieve(trained, query, gallery, index_folder=root / "many index"),
    )
    assert found.index is not None
    assert (found.index.embedded, found.index.files) == (0, files)


def measure_search(root: Path, files: int, size: int) -> None:
    """Compare one query, and 100 queries, with many embeddings in an index."""
    rng = np.random.default_rng(0)
    contents = [hashlib.sha256(str(number).encode()).digest() for number in range(files)]
    with open_index(root / f"index {size}", "f" * 64) as index:
        for batch in in_batches(contents, 10_000):
            vectors = normalise(rng.normal(size=(len(batch), size)))
            index.save(
                {},
                {
                    content: {Modality.VISUAL: Embeddings(np.full(1, np.nan, np.float32), vector[None])}
                    for content, vector in zip(batch, vectors, strict=True)
                },
            )
        print(f"    index of {files:,} embeddings of {size} values: {index.path.stat().st_size / 2**20:.0f} MiB")
        for count in (1, 100):
            queries = normalise(rng.normal(size=(count, size)))
            measure(
                f"compare {count} queries with {files:,} embeddings",
                files,
                lambda queries=queries: search(
                    queries, [[Modality.VISUAL]] * len(queries), index.blocks(set(contents)), 12
                ),
            )


def main(files: str = "100000") -> None:
    """Print a line for each measurement."""
    torch.set_num_threads(1)
    trained = load_checkpoint(BOX / "last.safetensors", torch.device("cpu"))
    print(f"{'':<58}{'CPU-s':>9}{'wall s':>9}{'CPU-ms/item':>11}{'MiB peak':>9}")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        measure_build(trained, root)
        measure_large_folder(trained, root, int(files))
        for size in SIZES:
            measure_search(root, int(files), size)


if __name__ == "__main__":
    main(*sys.argv[1:])
