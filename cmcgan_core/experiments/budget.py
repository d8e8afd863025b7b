"""How many steps a budget buys: of CPU-seconds on the CPU, of seconds by the clock on a GPU."""

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import islice

import torch

from cmcgan_core.errors import ConfigError
from cmcgan_core.progress import OnProgress, Progress
from cmcgan_core.training.loop import fit
from cmcgan_core.training.run import Run

#: Times that every recipe is measured, in turn, so that whatever else a machine does meets all alike.
TURNS = 3
#: Steps that a cost is the mean of, after some to warm up; some methods draw what a step does.
TIMED, WARM_UP = 5, 2


def affordable_steps(
    recipes: Sequence[str], begin: Callable[[str], Run], seconds: float, on_progress: OnProgress
) -> dict[str, int]:
    """Steps that fit a budget, those that train an encoder by itself included, by recipe; medians over the turns.

    Args:
        recipes: their names.
        begin: makes a fresh run of one, whose own length does not count; it is trained a little.
        seconds: of training. Validation, samples and checkpoints are on top.
        on_progress: told after every measurement.

    Raises:
        ConfigError: an encoder alone takes more.
    """
    found: dict[str, list[int]] = {name: [] for name in recipes}
    for turn in range(TURNS):
        for number, name in enumerate(recipes, start=1):
            found[name].append(steps_within(begin(name), seconds))
            done = turn * len(recipes) + number
            on_progress(Progress("measuring the cost of a step", done, TURNS * len(recipes), "runs"))
    return {name: statistics.median_low(steps) for name, steps in found.items()}


def steps_within(run: Run, seconds: float) -> int:
    """Steps of a fresh run that fit a budget, see `affordable_steps`."""
    encoder = run.method.pretraining_epochs * len(run.loader)
    spent = encoder * step_seconds(run, 0, encoder) if encoder else 0.0
    if spent >= seconds:
        raise ConfigError(
            f"training the encoder takes {spent:.0f} of {seconds:g} seconds; give more, or fewer options.encoder_epochs"
        )
    return encoder + max(1, round((seconds - spent) / step_seconds(run, encoder)))


def step_seconds(run: Run, done: int, most: int = WARM_UP + TIMED) -> float:
    """Cost of a step, reading its pairs included, measured on those that follow `done`: `most` of them at most."""
    timed = min(TIMED, most)
    warm_up = min(WARM_UP, most - timed)
    updates = fit(run.method, run.optimizers, run.loader, done + warm_up + timed, done)
    for _ in islice(updates, warm_up):
        pass
    started = _clock(run.device)
    for _ in updates:
        pass
    return (_clock(run.device) - started) / timed


def _clock(device: torch.device) -> float:
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.monotonic()
