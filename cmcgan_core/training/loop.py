"""."""

import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cmcgan_core.config import Config
from cmcgan_core.data.loader import Batch, Loader
from cmcgan_core.inference.completion import Completion
from cmcgan_core.methods import Method


@dataclass(frozen=True)
class Update:
    """One training step that has been done: its number from 1, its epoch from 0, its losses on the device."""

    step: int
    epoch: int
    losses: dict[str, Tensor]


def fit(
    method: Method,
    optimizers: Mapping[str, Optimizer],
    loader: Loader,
    steps: int,
    done: int = 0,
    completion: Completion | None = None,
) -> Iterator[Update]:
    """Train, and yield after every step; whoever called it averages, logs, saves and stops.

    What a step draws depends on the seed and the step alone, so a run that goes on equals one that never stopped.

    Args:
        method: on its device, in training mode.
        optimizers: the method's.
        loader: of the training split.
        steps: to do in all.
        done: of them, those done before.
        completion: gives some pairs a generated modality in the place of a real one.
    """
    rates = {name: [group["lr"] for group in o.param_groups] for name, o in optimizers.items()}
    pretraining = method.pretraining_epochs * len(loader)
    while done < steps:
        epoch, skip = divmod(done, len(loader))
        method.pretraining = done < pretraining
        first, last = (0, pretraining) if method.pretraining else (pretraining, steps)
        left = itertools.islice(loader.epoch(epoch, skip), steps - done)
        for step, batch in enumerate(left, start=done + 1):
            share = cosine((step - 1 - first) / (last - first), method.config.train.final_learning_rate)
            for name, optimizer in optimizers.items():
                for group, rate in zip(optimizer.param_groups, rates[name], strict=True):
                    group["lr"] = rate * share
            seed = method.config.seed * 1_000_003 + step
            rng = torch.Generator().manual_seed(seed)
            pairs = completion.mix(batch, rng) if completion else batch
            with _global_seed(seed, loader.device):
                losses = method.train_step(_laid_out(pairs, method.config), optimizers, rng)
            yield Update(step, epoch, losses)
            done = step


def cosine(share: float, final: float) -> float:
    """Factor of the learning rate after this share of the steps: from 1 down to `final`."""
    return final + (1 - final) * (1 + math.cos(math.pi * share)) / 2


def update_average(average: nn.Module, module: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average of the weights; buffers are copied.

    Early on the decay is smaller, (1 + step) / (10 + step), so that the first, random weights are forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), 1 - decay)
        for mine, theirs in zip(average.buffers(), module.buffers(), strict=True):
            mine.copy_(theirs)


def memory_format_of(config: Config) -> torch.memory_format:
    """Memory layout of weights and maps, see `TrainConfig.channels_last`."""
    return torch.channels_last if config.train.channels_last else torch.contiguous_format


def _laid_out(batch: Batch, config: Config) -> Batch:
    layout = memory_format_of(config)
    return batch._replace(
        audio=batch.audio.contiguous(memory_format=layout), visual=batch.visual.contiguous(memory_format=layout)
    )


@contextmanager
def _global_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generator, which dropout draws from, and leave it as it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
