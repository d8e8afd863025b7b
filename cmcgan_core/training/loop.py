"""The training loop. It knows no method, no folder and no log: it yields after every step."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cmcgan_core.data.loader import Batch, Loader
from cmcgan_core.methods import Method
from cmcgan_core.utils import distributed
from cmcgan_core.utils.rng import derive_seed


@dataclass(frozen=True)
class Update:
    """A finished training step.

    Attributes:
        step: its number, from 1.
        epoch: the number of its epoch, from 0.
        losses: scalars on the device, by name.
    """

    step: int
    epoch: int
    losses: dict[str, Tensor]


class PairCompleter(Protocol):
    """Replaces one modality of some training pairs by a generated one; see `inference.completion.Completion`.

    Attributes:
        fingerprint: hash that identifies the generating checkpoint.
    """

    fingerprint: str

    def mix(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return the batch with some sounds and some pictures replaced."""


def fit(
    method: Method[Any],
    optimizers: Mapping[str, Optimizer],
    loader: Loader,
    steps: int,
    done: int = 0,
    completer: PairCompleter | None = None,
    *,
    pretraining: int = 0,
) -> Iterator[Update]:
    """Train, and yield after every step. The caller averages weights, logs, saves and stops.

    All random numbers of a step depend on the seed, the step's number and the process only, so a resumed run equals an
    uninterrupted one.

    Args:
        method: the method to train, on its device and in training mode.
        optimizers: optimizers of the method.
        loader: batches of the training split.
        steps: number of steps in all.
        done: number of steps that were done before.
        completer: replaces one modality of some pairs, or None.
        pretraining: number of steps at the start that call `Method.pretrain_step`.
    """
    while done < steps:
        is_pretraining = done < pretraining
        first, last = (0, min(pretraining, steps)) if is_pretraining else (pretraining, steps)
        active = {
            name: optimizer
            for name, optimizer in optimizers.items()
            if (name in method.pretraining_optimizers) is is_pretraining
        }
        train_step = method.pretrain_step if is_pretraining else method.train_step
        length = (pretraining if is_pretraining else steps) - first
        for step, batch in _batches(loader, done, last):
            # Processes that train together draw different latents, wrong pairs and paths.
            seed = derive_seed(method.config.seed + distributed.rank(), step)
            rng = torch.Generator().manual_seed(seed)
            pairs = completer.mix(batch, rng) if completer else batch
            factor = cosine((step - 1 - first) / length, method.config.train.final_learning_rate)
            _set_learning_rates(active.values(), factor)
            with _global_seed(seed, loader.device):
                losses = train_step(_channels_last(pairs), active, rng)
            yield Update(step, (step - 1) // len(loader), losses)
            done = step


def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the exponential moving average of a network's weights one step on; buffers are copied.

    At first the decay is smaller, (1 + step) / (10 + step), so that the random initial weights are forgotten. This is
    not `torch.optim.swa_utils.AveragedModel`, because that copies a counter to the device, and so waits for the device,
    in every step.

    Args:
        average: a copy of the network, which is changed.
        network: the trained network.
        decay: see `TrainConfig.average`; 0 copies the weights.
        step: number of the training step, from 1.
    """
    move = get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))  # type: ignore[no-untyped-call]
    if weights := list(average.parameters()):
        move(weights, list(network.parameters()), None)
    for averaged, current in zip(average.buffers(), network.buffers(), strict=True):
        averaged.copy_(current)


def cosine(progress: float, final: float) -> float:
    """Return the factor of the learning rate at a point of the schedule (0 to 1): from 1 down to `final`."""
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def _batches(loader: Loader, done: int, last: int) -> Iterator[tuple[int, Batch]]:
    """Yield the numbers and the batches of steps `done` + 1 to `last`, epoch after epoch."""
    while done < last:
        epoch, skip = divmod(done, len(loader))
        for batch in itertools.islice(loader.epoch(epoch, skip), last - done):
            done += 1
            yield done, batch


def _set_learning_rates(optimizers: Iterable[Optimizer], factor: float) -> None:
    """Set learning rates to a share of the first ones.

    Not by `torch.optim.lr_scheduler`, which warns of an optimizer that takes no step, as that of a discriminator whose
    loss has weight 0.
    """
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor


def _channels_last(batch: Batch) -> Batch:
    """Lay out the maps with their channels last, which is faster for 5 x 5 kernels."""
    audio, visual = (maps.contiguous(memory_format=torch.channels_last) for maps in (batch.audio, batch.visual))
    return batch._replace(audio=audio, visual=visual)


@contextmanager
def _global_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global rng, which dropout draws from, and restore its state at the end."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
