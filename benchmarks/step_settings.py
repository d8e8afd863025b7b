"""Compare what a training step costs with different settings, measured in alternation in one process.

Each argument is one row: settings of the preset, separated by blanks. Prints the CPU-seconds per step on one thread,
with the reading of the pairs, and the ratio to the first row, over several rounds.

usage: python benchmarks/step_settings.py DATA PRESET SETTINGS SETTINGS...
       python benchmarks/step_settings.py prepared/demo small train.precision=float32 train.precision=bfloat16
"""

import statistics
import sys
import time
from pathlib import Path

import torch

from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.training.run import Run

#: Rounds, and steps of each row in a round, after some to warm up.
ROUNDS, STEPS, WARM_UP = 10, 5, 3


def main(data: str, preset: str, *rows: str) -> None:
    """Print the costs and the ratios."""
    torch.set_num_threads(1)
    dataset, last = open_dataset(data), WARM_UP + ROUNDS * STEPS
    configs = {row: load_config(preset, settings=row.split()) for row in rows}
    updates = {row: Run(config, dataset, Path(), torch.device("cpu")).fit(0, last) for row, config in configs.items()}
    times: dict[str, list[float]] = {row: [] for row in rows}
    for steps in (WARM_UP, *[STEPS] * ROUNDS):
        for row, of_row in updates.items():
            started = time.process_time()
            for _ in range(steps):
                next(of_row)
            times[row].append((time.process_time() - started) / steps)
    print(f"{preset}, one thread, torch {torch.__version__}, {ROUNDS} rounds of {STEPS} steps (median, min-max)")
    first = times[rows[0]][1:]
    for row in rows:
        seconds = times[row][1:]
        ratios = [a / b for a, b in zip(first, seconds, strict=True)]
        for name, values in ((row, seconds), ("  first row / this row", ratios)):
            print(f"  {name:40} {statistics.median(values):.3f}  {min(values):.3f}-{max(values):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
