"""Every metric as a pure function."""

import torch
from torch import Tensor


def accuracy(predicted: Tensor, label: Tensor) -> float:
    """Share of class indices (N,) that equal the labels (N,); in [0, 1]."""
    return float((predicted == label).float().mean())


def confusion_matrix(predicted: Tensor, label: Tensor, classes: int) -> Tensor:
    """Counts (classes, classes): row the label, column what was predicted."""
    return torch.bincount(label * classes + predicted, minlength=classes**2).reshape(classes, classes)


def balanced_accuracy(predicted: Tensor, label: Tensor, classes: int) -> float:
    """Mean over the classes that occur of the share of each that is right; in [0, 1].

    Unlike `accuracy` it does not reward a model for the classes that happen to be frequent.
    """
    matrix = confusion_matrix(predicted, label, classes).double()
    occurs = matrix.sum(dim=1) > 0
    return float((matrix.diagonal()[occurs] / matrix.sum(dim=1)[occurs]).mean())
