"""How far a classifier's probabilities can be believed: temperature scaling, and the error that it lowers.

Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017). Not in CMCGAN.
"""

import torch
from torch import Tensor

#: Lowest and highest temperature. A split that is classified without a fault would ask for certainty itself.
TEMPERATURES = (0.1, 10.0)


def fit_temperature(logits: Tensor, label: Tensor) -> float:
    """The temperature T for which softmax(logits / T) gives the labels the highest likelihood, within `TEMPERATURES`.

    The negative log-likelihood is convex in 1 / T; its derivative there is bisected.

    Args:
        logits: (N, C), of held-out items.
        label: (N,) class index.

    Returns:
        Above 1 where the classifier is too sure of itself, below 1 where it is not sure enough.
    """
    logits = logits.double()
    right = logits.gather(1, label[:, None])[:, 0]
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    for _ in range(50):
        sharpness = (low + high) / 2
        expected = ((logits * sharpness).softmax(dim=1) * logits).sum(dim=1)
        if float((expected - right).mean()) > 0:
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
