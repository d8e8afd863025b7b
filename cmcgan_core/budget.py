"""How many steps a budget buys: of CPU-seconds on the CPU, of seconds by the clock on a GPU."""

import time
from itertools import islice

import torch

from cmcgan_core.errors import ConfigError
from cmcgan_core.runs import Run, fit

#: Steps that a cost is the mean of, after some to warm up; some methods draw what a step does.
TIMED, WARM_UP = 12, 3


def affordable_steps(run: Run, seconds: float) -> int:
    """Steps that fit a budget, those that train an encoder by itself included; trains the run's networks a little.

    Args:
        run: fresh; its configuration's own length does not count.
        seconds: of training. Validation, samples and checkpoints are on top.

    Raises:
        ConfigError: the encoder alone takes more.
    """
    encoder = run.method.pretraining_epochs * len(run.loader)
    spent = encoder * step_seconds(run, 0, encoder) if encoder else 0.0
    if spent >= seconds:
        raise ConfigError(f"training the encoder takes {spent:.0f} of {seconds:g} seconds; give more, or fewer "
                          "options.encoder_epochs")  # fmt: skip
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
