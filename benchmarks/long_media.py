"""Measure memory and time to generate a film for a long sound, and a soundtrack for a long silent film.

`cmcgan generate` makes each one, at several lengths, each in a separate process. Peak memory must not grow with the
length. The real-time factors are CPU-seconds and seconds by the clock for one second of media.

usage: python benchmarks/long_media.py SOUND [MINUTES ...]      (6 and 60 by default)
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from cmcgan_core.media.files import read_sound
from cmcgan_core.media.film import write_film

RATE = 44_100
#: Frames per second of the silent film.
FPS = 5
#: Runs a command and prints its peak memory in KiB. Linux reports the largest child of a process so far, so each
#: command gets a parent of its own.
PEAK_MEMORY = (
    "import resource, subprocess, sys; result = subprocess.run(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(result.returncode)"
)


def write_long_sound(sound: Path, minutes: float, out: Path) -> None:
    """Write a FLAC file of this length that repeats a sound."""
    waveform = read_sound(sound, RATE)
    with soundfile.SoundFile(out, "w", RATE, 1, "PCM_16", format="FLAC") as file:
        left = round(minutes * 60 * RATE)
        while left > 0:
            file.write(waveform[:left])
            left -= len(waveform)


def write_silent_film(minutes: float, out: Path) -> None:
    """Write a film of slowly changing colours, without sound."""
    shades = (np.uint8(n % 200) for n in range(round(minutes * 60 * FPS)))
    write_film(out, (np.full((64, 64, 3), (shade, 90, 200 - shade), np.uint8) for shade in shades), FPS)


def measure_generation(source: Path, out: Path) -> tuple[float, float, float]:
    """Run `cmcgan generate` on a file; return its CPU-seconds, seconds by the clock and peak memory (MiB)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    options = ["--from", str(source), "--out", str(out), "--checkpoint", "box", "--quiet"]
    command = [sys.executable, "-m", "cmcgan_cli", "generate", *options]
    result = subprocess.run([sys.executable, "-c", PEAK_MEMORY, *command], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.monotonic() - started, int(result.stdout.splitlines()[-1]) / 1024


def main(sound: str, *minutes: str) -> None:
    """Print a line for each kind and length."""
    print(f"{'':>12}{'minutes':>9}{'CPU-s':>9}{'wall s':>9}{'CPU / s':>9}{'wall / s':>9}{'MiB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        long_sound, silent_film = Path(folder) / "long.flac", Path(folder) / "long.mp4"
        for length in map(float, minutes or ("6", "60")):
            write_long_sound(Path(sound), length, long_sound)
            write_silent_film(length, silent_film)
            for kind, source in (("film", long_sound), ("soundtrack", silent_film)):
                cpu, wall, memory = measure_generation(source, Path(folder) / f"{kind}-{length:g}")
                rates = f"{cpu / length / 60:9.3f}{wall / length / 60:9.3f}"
                print(f"{kind:>12}{length:9g}{cpu:9.1f}{wall:9.1f}{rates}{memory:8.0f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
