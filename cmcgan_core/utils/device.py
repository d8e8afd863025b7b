"""Where tensors live and in what precision they are multiplied."""

from contextlib import AbstractContextManager

import torch

from cmcgan_core.errors import ConfigError


def choose_device(name: str = "auto") -> torch.device:
    """`auto` is CUDA where there is one, else the CPU.

    Raises:
        ConfigError: the name is no device, or this machine has none of that kind.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"--device {name!r} is not a device; take auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device {name!r} is not supported; take auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"--device {name!r}: torch sees {torch.cuda.device_count()} CUDA devices; see: cmcgan doctor")
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Mixed precision as `TrainConfig.precision` says: "auto" is bfloat16 where a GPU has it, float32 elsewhere."""
    automatic = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    bfloat16 = precision == "bfloat16" or (precision == "auto" and automatic)
    return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)
