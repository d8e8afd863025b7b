"""Measure what judges cost and how well they read held-out pairs, next to the cost of the training that they judge.

Each architecture is trained twice: as `cmcgan evaluate` does, as one network that reads sounds, pictures and pairs; and
as one network for each input, as in the paper. Prints CPU-seconds of one thread and accuracies on the test split. The
cost of the judged training is estimated from a few of its steps.

usage: python benchmarks/judges.py DATA [PRESET]      (small by default)
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import PreparedDataset, open_dataset
from cmcgan_core.data.loader import in_order
from cmcgan_core.evaluation.judges import FIRST_SEED, SECOND, SECOND_SEED, Judge
from cmcgan_core.modality import Modality
from cmcgan_core.training.classifiers import classifier_config
from cmcgan_core.training.run import Run, train_once
from cmcgan_core.training.train import plan_run

CPU = torch.device("cpu")
#: The inputs of a judge.
INPUTS = {"pictures": (Modality.VISUAL,), "sounds": (Modality.AUDIO,), "pairs": tuple(Modality)}
#: Steps of the judged training that are measured, after one to warm up.
STEPS = 5


def measure_accuracy(judge: Judge, dataset: PreparedDataset, modalities: Sequence[Modality]) -> float:
    """Return the accuracy of a judge on the test split, by these modalities."""
    split, right = dataset.split("test"), 0
    with torch.inference_mode():
        for batch in in_order(split, judge.trained.about.config.network, 64, CPU):
            _, predicted = judge.predict({modality: batch.maps()[modality] for modality in modalities})
            right += int((predicted == batch.label).sum())
    return right / len(split)


def train_and_measure(
    preset: str, seed: int, dataset: PreparedDataset, inputs: Sequence[str]
) -> tuple[float, dict[str, float]]:
    """Train one classifier that reads these `INPUTS`, and return its CPU-seconds and its accuracy by input."""
    modalities = max((INPUTS[name] for name in inputs), key=len)
    config = classifier_config(preset, modalities, dataset.split("train"), seed, alone=len(inputs) > 1)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        path = train_once(config, dataset, Path(folder) / "run", "cpu", lambda _: None)
        seconds = time.process_time() - started
        judge = Judge(load_checkpoint(path, CPU))
    return seconds, {name: measure_accuracy(judge, dataset, INPUTS[name]) for name in inputs}


def estimate_training(preset: str, dataset: PreparedDataset) -> tuple[int, float]:
    """Return the number of steps of a training with a preset, and its CPU-seconds, from a few of its steps."""
    config = load_config(preset)
    steps = plan_run(config, dataset)["steps"]
    times = []
    run = Run(replace(config, train=replace(config.train, steps=STEPS + 1)), dataset, Path(), CPU)
    optimizers = run.optimizers
    for batch in run.loader.epoch(0):
        started = time.process_time()
        run.method.train_step(batch, optimizers, torch.Generator().manual_seed(0))
        times.append(time.process_time() - started)
        if len(times) > STEPS:
            break
    return steps, steps * sum(times[1:]) / STEPS


def main(data: str, preset: str = "small") -> None:
    """Print a line for each classifier, the sums, and the cost of the judged training."""
    torch.set_num_threads(1)
    dataset, judge = open_dataset(data), load_config(preset).judge
    groupings: dict[str, list[list[str]]] = {"together": [list(INPUTS)], "apart": [[name] for name in INPUTS]}
    totals = dict.fromkeys(groupings, 0.0)
    for name, seed in ((judge, FIRST_SEED), (judge + SECOND, SECOND_SEED)):
        for grouping, networks in groupings.items():
            for inputs in networks:
                if name != judge and inputs == ["pairs"]:
                    continue  # only the main judge reads pairs
                seconds, accuracies = train_and_measure(name, seed, dataset, inputs)
                totals[grouping] += seconds
                figures = ", ".join(f"{key} {value:.3f}" for key, value in accuracies.items())
                print(f"{name:22} {grouping:9} {seconds:6.1f} CPU-s   {figures}", flush=True)
    steps, seconds = estimate_training(preset, dataset)
    print(f"training {preset}: {steps} steps, about {seconds:.0f} CPU-s")
    for grouping, total in totals.items():
        print(f"all judges {grouping}: {total:.0f} CPU-s, {total / seconds:.2f} of the training")


if __name__ == "__main__":
    main(*sys.argv[1:])
