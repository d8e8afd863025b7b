"""Memory and time of a film that follows a long sound, and of a soundtrack to a long silent film.

Each is made at several lengths in a process of its own. Memory that is needed must not grow with the length; the
real-time factor is seconds of work (CPU and wall) for a second of sound.

usage: python benchmarks/long_media.py SOUND [MINUTES ...]      (6 and 60 by default)
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cmcgan_core.media import film
from cmcgan_core.media.files import read_sound

RATE = 44_100


def write_long(sound: Path, minutes: float, out: Path) -> None:
    """A sound, again and again, as a FLAC file of a length."""
    import soundfile

    once = read_sound(sound, RATE)
    with soundfile.SoundFile(out, "w", RATE, 1, "PCM_16", format="FLAC") as file:
        left = round(minutes * 60 * RATE)
        while left > 0:
            file.write(once[:left])
            left -= len(once)


def write_silent(minutes: float, out: Path) -> None:
    """A film of slowly changing colours, without sound."""
    shades = (np.uint8(n % 200) for n in range(round(minutes * 60 * 5)))
    film.write_film(out, (np.full((64, 64, 3), (shade, 90, 200 - shade), np.uint8) for shade in shades), 5)


def measure(source: Path, out: Path) -> tuple[float, float, float]:
    """CPU-seconds, wall seconds and peak memory (MiB) of making what `generate` makes of a file."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    command = [sys.executable, "-m", "cmcgan_cli", "generate", "--from", source, "--out", out, "-c", "box", "--quiet"]
    # Linux reports the largest of all children so far; each is started by a shell that reports its own.
    code = (
        "import resource,subprocess,sys; r=subprocess.run(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(r.returncode)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, *command, "-c", "box"], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.monotonic() - started, int(said.stdout.splitlines()[-1]) / 1024


def main(sound: str, *minutes: str) -> None:
    """Print a line for each kind and length."""
    print(f"{'':>12}{'minutes':>9}{'CPU-s':>9}{'wall s':>9}{'CPU / s':>9}{'wall / s':>9}{'MiB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for length in map(float, minutes or ("6", "60")):
            for kind, source in (("film", "long.flac"), ("soundtrack", "long.mp4")):
                path = Path(folder) / source
                write_long(Path(sound), length, path) if kind == "film" else write_silent(length, path)
                cpu, wall, memory = measure(path, Path(folder) / f"{kind}-{length:g}")
                rates = f"{cpu / length / 60:9.3f}{wall / length / 60:9.3f}"
                print(f"{kind:>12}{length:9g}{cpu:9.1f}{wall:9.1f}{rates}{memory:8.0f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
