"""Measure what `cmcgan prepare` needs to find the recordings of WebDataset shards, before it reads sounds and pictures.

Makes shards of 2,000 samples in a temporary folder, with files of some bytes in place of sounds and pictures, and 20
samples a recording. Prints the CPU-seconds, and the memory that finding the recordings adds to the process.

usage: python benchmarks/large_shards.py [SAMPLES]      (100000 by default)
"""

import io
import json
import resource
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from cmcgan_core.data.prepare import SourceOptions
from cmcgan_core.data.prepare.webdataset import WebDataset

SAMPLES_PER_SHARD = 2000
SAMPLES_PER_RECORDING = 20


def write_shards(root: Path, samples: int) -> None:
    """Write the shards."""
    for shard, first in enumerate(range(0, samples, SAMPLES_PER_SHARD)):
        with tarfile.open(root / f"train-{shard:06d}.tar", "w") as tar:
            for number in range(first, min(first + SAMPLES_PER_SHARD, samples)):
                take, place = divmod(number, SAMPLES_PER_RECORDING)
                about = {"label": "violin", "recording": f"take {take}", "player": "p", "start": place / 2}
                for suffix, content in (("jpg", b"."), ("wav", b"."), ("json", json.dumps(about).encode())):
                    entry = tarfile.TarInfo(f"{number:08d}.{suffix}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))


def main(samples: str = "100000") -> None:
    """Print the costs."""
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), int(samples))
        before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        recordings, faults = WebDataset().recordings(Path(folder), SourceOptions())
        seconds = time.process_time() - begin
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        found = f"{len(recordings)} recordings, {len(faults)} faults"
        print(f"{samples} samples: {found}; {seconds:.1f} CPU-s, {memory:.0f} MiB")


if __name__ == "__main__":
    main(*sys.argv[1:])
