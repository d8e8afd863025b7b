"""Training with several processes that `torchrun` starts, one for each GPU or for each part of the CPU's cores.

Each process computes the gradients of its share of every batch. The gradients are averaged before an optimizer uses
them, so all processes have the same weights. With one process, all functions do nothing.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")

#: How long a process waits for the others, for example while the first one validates. torchrun ends all processes at
#: once if one dies, so this is no reason to wait in vain.
PATIENCE = timedelta(hours=2)


@contextmanager
def process_group() -> Iterator[None]:
    """Connect the processes that torchrun has started, while the block runs; without torchrun, do nothing."""
    if not dist.is_torchelastic_launched() or dist.is_initialized():
        yield
        return
    # Tensors on the CPU go through gloo, so decisions can be exchanged without waiting for the GPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def process_count() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Return whether this is the process that writes files."""
    return rank() == 0


def first_decides(decide: Callable[[], T]) -> T:
    """Call a function in the first process only, and return its result in all processes.

    What depends on files or clocks is decided in this way, because processes look at them at different times.
    """
    if process_count() == 1:
        return decide()
    decisions = [decide() if is_first() else None]
    dist.broadcast_object_list(decisions)
    return decisions[0]  # type: ignore[return-value]


def any_process(*flags: bool) -> list[bool]:
    """Return for each flag whether it is set in any process."""
    if process_count() == 1:
        return list(flags)
    shared = torch.tensor(flags, dtype=torch.uint8)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return [bool(flag) for flag in shared.tolist()]


def wait_for_all() -> None:
    """Wait until all processes are here."""
    any_process(False)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients over the processes.

    A parameter that has no gradient in some processes, because they drew other generation paths, counts as zero there.
    One without a gradient in any process keeps none.
    """
    if process_count() == 1:
        return
    ordered = list(parameters)
    has_gradient = any_process(*(p.grad is not None for p in ordered))
    gradients = []
    for parameter, used in zip(ordered, has_gradient, strict=True):
        if used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    average(gradients)


def average_buffers(*modules: nn.Module) -> None:
    """Average the floating-point buffers of networks, such as running statistics, over the processes."""
    average([buffer for module in modules for buffer in module.buffers() if buffer.is_floating_point()])


def average(tensors: list[Tensor]) -> None:
    """Average tensors over the processes, in place, in one message. All processes must give the same shapes."""
    if process_count() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= process_count()
    for tensor, values in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(values.view(tensor.shape))


def own_gpu() -> str:
    """Return the name of this process's GPU: with torchrun, each process of a machine has another one."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if dist.is_torchelastic_launched() else "cuda"
