"""How far a classifier's probabilities can be believed: temperature scaling, and the error that it lowers.

Sources: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017); Platt, "Probabilistic
outputs for support vector machines" (1999). Not in CMCGAN.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

#: Lowest and highest temperature; what is worse than a guess would ask for an infinite one.
TEMPERATURES = (0.1, 10.0)


def fit_temperature(logits: Tensor, label: Tensor) -> float:
    """The temperature T, within `TEMPERATURES`, for which softmax(logits / T) has least cross-entropy to the labels.

    As Platt does, N items are taken to be right in (N + 1) / (N + 2) rather than in all, so that a few items that are
    classified without a fault ask for confidence, not for certainty. The cross-entropy is convex in 1 / T; its
    derivative is bisected.

    Args:
        logits: (N, C), of held-out items.
        label: (N,) class index.

    Returns:
        Above 1 where the classifier is too sure of itself, below 1 where it is not sure enough.
    """
    logits, (items, classes) = logits.double(), logits.shape
    right = (items + 1) / (items + 2)
    wrong = (1 - right) / (classes - 1)
    target = wrong + (right - wrong) * F.one_hot(label, classes)
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    for _ in range(50):
        sharpness = (low + high) / 2
        slope = (((logits * sharpness).softmax(dim=1) - target) * logits).sum()
        if float(slope) > 0:
            high = sharpness
        else:
            low = sharpness
    return 2 / (low + high)


def expected_calibration_error(probabilities: Tensor, label: Tensor, bins: int = 15) -> float:
    """Mean distance of confidence and accuracy, over bins of equal width of the confidence, weighted by their items.

    Args:
        probabilities: (N, C); the largest of an item is its confidence, and names the class that it is given.
        label: (N,) class index.
        bins: of (0, 1]; each takes its upper edge.

    Returns:
        In [0, 1]; 0 where, of the items with confidence p, a share of p is right. Few items give more by chance alone.
    """
    confidence, predicted = probabilities.double().max(dim=1)
    excess = confidence - (predicted == label).double()
    edges = torch.arange(1, bins, dtype=torch.float64, device=confidence.device) / bins
    sums = torch.zeros(bins, dtype=torch.float64, device=confidence.device)
    sums.index_add_(0, torch.bucketize(confidence, edges), excess)
    return float(sums.abs().sum()) / len(label)
