"""Check the values of tensors, and send tensors to a device."""

import torch
from torch import Tensor


def is_finite(tensor: Tensor) -> bool:
    """Return whether all values of a tensor are finite numbers.

    The sum tells it in a tenth of the time. Only if it is not finite, which large values can cause too, all values are
    looked at.
    """
    return not tensor.is_floating_point() or bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the host to a device, without waiting for work that the device still does.

    A copy to a GPU can only do that from pinned memory.
    """
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
