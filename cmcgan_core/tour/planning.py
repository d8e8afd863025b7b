"""How many steps of training fit a time: a step's cost is measured first."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from cmcgan_core.experiments.budget import measure_step
from cmcgan_core.training.run import Run

#: Steps that a cost is averaged over, after some steps to warm up.
WARM_UP, TIMED = 1, 3
#: What the judges and the evaluation of a demonstration cost, in training steps of `small`: 125 against 0.87
#: CPU-seconds (2026-11-27, Xeon at 2.8 GHz, one thread).
JUDGING_STEPS = 150


@dataclass(frozen=True)
class TrainingPlan:
    """A training that fits a time.

    Attributes:
        minutes: the time, for everything from rendering the set to judging.
        steps: number of training steps.
        step_seconds: measured cost of a step.
        threads: number of threads of PyTorch, with which a step is fastest.
        judged: whether there is time to judge the samples.
    """

    minutes: float
    steps: int
    step_seconds: float
    threads: int
    judged: bool


def plan_steps(minutes: float, seconds_left: float, step_seconds: float, threads: int) -> TrainingPlan:
    """Plan the training for the time that is left.

    Judging takes its share of the time first. If that would be more than half of it, nothing is judged.

    Args:
        minutes: the whole time.
        seconds_left: what is left of it.
        step_seconds: cost of a step.
        threads: number of threads that a step is trained with.
    """
    judging = JUDGING_STEPS * step_seconds
    judged = judging <= seconds_left / 2
    steps = math.floor((seconds_left - judging * judged) / step_seconds)
    return TrainingPlan(minutes, max(1, steps), step_seconds, threads, judged)


def fastest_threads(run: Run) -> tuple[int, float]:
    """Return with how many threads a step is fastest, one or all, and the seconds that it then takes.

    On a machine whose cores are shared with other programs, threads wait for each other, and one may be faster.
    """
    choices = sorted({1, torch.get_num_threads()})
    seconds = {}
    for number, threads in enumerate(choices):
        with use_threads(threads):
            seconds[threads] = measure_step(run, number * (WARM_UP + TIMED), WARM_UP, TIMED, time.monotonic)
    best = min(choices, key=lambda threads: seconds[threads])
    return best, seconds[best]


@contextmanager
def use_threads(number: int) -> Iterator[None]:
    """Let PyTorch use this number of threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
