"""Temperature scaling, which makes the probabilities of a classifier match how often it is right.

Sources: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017); Platt, "Probabilistic
outputs for support vector machines" (1999). Not in CMCGAN.
"""

import torch.nn.functional as F
from torch import Tensor

#: Lowest and highest temperature. A classifier that is worse than chance would get an infinite one.
TEMPERATURES = (0.1, 10.0)


def fit_temperature(logits: Tensor, label: Tensor) -> float:
    """Find the temperature T that minimises the cross-entropy of softmax(logits / T) to the labels.

    T lies within `TEMPERATURES`.

    As in Platt's method, the target probability of the right class is (N + 1) / (N + 2), not 1. So a few items that are
    all classified correctly give a confident classifier, not a certain one. The cross-entropy is convex in 1 / T, and
    its derivative is bisected.

    Args:
        logits: logits (N, C) of held-out items.
        label: class indices (N,).

    Returns:
        T: above 1 if the classifier is overconfident, below 1 if it is underconfident.
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
