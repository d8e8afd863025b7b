"""Choose the device that tensors live on and the precision of matrix products."""

from contextlib import AbstractContextManager, nullcontext

import torch

from cmcgan_core.errors import ConfigError
from cmcgan_core.utils.distributed import own_gpu


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; "auto" is CUDA if it is available, otherwise the CPU.

    Of several processes that torchrun has started, each gets a GPU of its own.

    The GPU of an Apple computer, "mps", is used only if it is named: nothing here was tested on one.

    Args:
        name: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        ConfigError: the name is not a supported device, or this machine does not have it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = own_gpu()
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"--device {name!r} is not a device; take auto, cpu, cuda or mps") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"--device {name!r} is not supported; take auto, cpu, cuda or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"--device {name!r}: torch sees {torch.cuda.device_count()} CUDA devices; see: cmcgan doctor")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"--device {name!r}: torch finds no Apple GPU; take auto, cpu or cuda")
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Return a context manager for mixed precision.

    Args:
        device: the device that computes.
        precision: a value of `TrainConfig.precision`. "auto" is bfloat16 on a GPU that supports it in hardware,
            otherwise float32.
    """
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    enabled = precision == "bfloat16" or (precision == "auto" and has_bfloat16)
    return torch.autocast(device.type, torch.bfloat16) if enabled else nullcontext()
