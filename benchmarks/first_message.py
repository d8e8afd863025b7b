"""Measure how long commands take until they answer, if they compute nothing: a typing error, a missing file, a plan.

Prints for each command the CPU-seconds (user and system, median of some runs) and which large packages were imported.

usage: python benchmarks/first_message.py DATA [RUNS]      (a prepared dataset; 5 runs by default)
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

COMMANDS = (
    "--help",
    "generate missing.wav",
    "classify missing.wav",
    "retrieve missing.wav --in .",
    "train DATA --preset smal",
    "train missing",
    "prepare missing",
    "prepare demo --dry-run",
    "evaluate DATA --checkpoint missing",
    "compare DATA missing",
    "study DATA rival",
    "plugins",
)
PACKAGES = ("torch", "numpy", "rich")


def cpu_seconds(words: list[str], folder: str) -> float:
    """Return the CPU-seconds of a command."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "cmcgan_cli", *words], capture_output=True, check=False, cwd=folder)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def imported(words: list[str], folder: str) -> list[str]:
    """Return the packages of `PACKAGES` that a command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "cmcgan_cli", *words]
    log = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder).stderr
    return [name for name in PACKAGES if re.search(rf"\| +{name}$", log, re.MULTILINE)]


def main(data: str, runs: str = "5") -> None:
    """Print a row for each command."""
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            words = [str(Path(data).absolute()) if word == "DATA" else word for word in command.split()]
            seconds = statistics.median(cpu_seconds(words, folder) for _ in range(int(runs)))
            print(f"{command:36} {seconds:5.2f} CPU-s  {' '.join(imported(words, folder))}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
