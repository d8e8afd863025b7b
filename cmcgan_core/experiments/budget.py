"""How much a study trains: with which seeds, and how many steps a budget buys.

A budget is CPU-seconds on the CPU, and elapsed seconds on a GPU.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import islice

import torch

from cmcgan_core.errors import ConfigError
from cmcgan_core.progress import OnProgress, Progress
from cmcgan_core.training.run import Run

#: Number of measurements of each recipe. They take turns, so that other load on the machine affects all recipes alike.
TURNS = 3
#: Steps that a cost is averaged over, after some steps to warm up. Some methods draw at random what a step computes.
TIMED, WARM_UP = 5, 2


def affordable_steps(
    recipes: Sequence[str], start: Callable[[str], Run], seconds: float, on_progress: OnProgress
) -> dict[str, int]:
    """Return the number of steps that fit a budget, by recipe: medians over the turns. Pretraining steps are included.

    Args:
        recipes: names of the recipes.
        start: function that returns a new run of a recipe. Its number of steps does not matter; it is trained a little.
        seconds: budget of a training. Validation, samples and checkpoints are not part of it.
        on_progress: called after every measurement.

    Raises:
        ConfigError: the pretraining alone exceeds the budget.
    """
    steps: dict[str, list[int]] = {name: [] for name in recipes}
    for turn in range(TURNS):
        for number, name in enumerate(recipes, start=1):
            steps[name].append(steps_within(start(name), seconds))
            done = turn * len(recipes) + number
            on_progress(Progress("measuring the cost of a step", done, TURNS * len(recipes), "runs"))
    return {name: statistics.median_low(measured) for name, measured in steps.items()}


def steps_within(run: Run, seconds: float) -> int:
    """Return the number of steps of a new run that fit a budget, see `affordable_steps`."""
    pretraining = run.pretraining_steps
    spent = pretraining * step_seconds(run, 0, pretraining) if pretraining else 0.0
    if spent >= seconds:
        raise ConfigError(
            f"training the encoder takes {spent:.0f} of {seconds:g} seconds; raise the budget, or lower "
            "options.encoder_epochs"
        )
    return pretraining + max(1, round((seconds - spent) / step_seconds(run, pretraining)))


def step_seconds(run: Run, done: int, most: int = WARM_UP + TIMED) -> float:
    """Return the cost of a step, including reading its pairs.

    Args:
        run: the run to measure.
        done: number of steps before those that are measured.
        most: largest number of steps to train.
    """
    timed = min(TIMED, most)
    clock = time.monotonic if run.device.type == "cuda" else time.process_time
    return measure_step(run, done, min(WARM_UP, most - timed), timed, clock)


def measure_step(run: Run, done: int, warm_up: int, timed: int, clock: Callable[[], float]) -> float:
    """Train a run a little, and return what a step takes, including reading its pairs.

    Args:
        run: the run to measure.
        done: number of steps before those that are trained.
        warm_up: steps that are trained first and do not count.
        timed: steps that the cost is averaged over.
        clock: the time in seconds; it is read when the device has finished.
    """
    updates = run.fit(done, done + warm_up + timed)
    for _ in islice(updates, warm_up):
        pass
    started = _read(clock, run.device)
    for _ in updates:
        pass
    return (_read(clock, run.device) - started) / timed


def _read(clock: Callable[[], float], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock()
