"""Decide whether an input is unlike the training data, by the place of its code among the codes of training pairs.

Source: Lee, Lee, Lee and Shin, "A simple unified framework for detecting out-of-distribution samples and adversarial
attacks" (NeurIPS 2018): the Mahalanobis distance to the nearest class. Not in CMCGAN. `docs/reproduction.md` compares
it with other scores.

Shapes: N items; D values of a code; C classes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cmcgan_core.modality import Modality

#: Share of the validation pairs that are taken for unlike the training data.
FALSE_ALARMS = 0.05
#: Share of the mean variance of all training codes that is added to the variance within the classes, so that directions
#: in which codes of a class hardly vary do not decide alone.
SHRINKAGE = 1e-3
#: Prefix of the names of the tensors in a checkpoint.
PREFIX = "familiarity."


@dataclass(frozen=True)
class Familiarity:
    """Where the codes of the training pairs of one modality lie.

    Attributes:
        whitening: matrix (D, D), float64, that gives the codes of each class the identity as covariance.
        means: means of the classes (C, D), whitened, float64.
        threshold: the largest distance (a scalar, float64) of an input that counts as like the training data.
    """

    whitening: Tensor
    means: Tensor
    threshold: Tensor

    def is_unlike(self, codes: Tensor) -> Tensor:
        """Return which of N codes (N, D) are unlike those of the training data: (N,) bool."""
        return distances(codes, self.whitening, self.means) > self.threshold


def fit_familiarity(codes: Tensor, label: Tensor, held_out: Tensor) -> Familiarity:
    """Fit means and a shared covariance to training codes, and the threshold to held-out codes.

    At the threshold, about a share `FALSE_ALARMS` of inputs like the held-out ones is taken for unlike. With fewer than
    19 held-out ones, the threshold is their largest distance, and the share is larger.

    Args:
        codes: codes of training pairs (N, D).
        label: their class indices (N,).
        held_out: codes of validation pairs (M, D), M at least 1.
    """
    codes = codes.cpu().double()
    members = [codes[label == index] for index in sorted(set(label.tolist()))]
    means = torch.stack([of_class.mean(dim=0) for of_class in members])
    centred = torch.cat([of_class - mean for of_class, mean in zip(members, means, strict=True)])
    covariance = centred.T @ centred / len(codes)
    mean_variance = codes.var(dim=0, correction=0).mean().clamp_min(1e-12)
    covariance += SHRINKAGE * mean_variance * torch.eye(len(covariance), dtype=codes.dtype)
    factor = torch.linalg.cholesky(covariance)
    whitening = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=codes.dtype), upper=False)
    means = means @ whitening.T
    ordered = distances(held_out, whitening, means).sort().values
    rank = min(len(ordered), math.ceil((1 - FALSE_ALARMS) * (len(ordered) + 1)))
    return Familiarity(whitening, means, ordered[rank - 1])


def distances(codes: Tensor, whitening: Tensor, means: Tensor) -> Tensor:
    """Return the Mahalanobis distance of codes (N, D) to the nearest class: (N,)."""
    whitened = codes.cpu().double() @ whitening.T
    # Without matrix products, which lose the digits of small distances between large codes.
    return torch.cdist(whitened, means, compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1)


def familiarity_tensors(by_modality: Mapping[Modality, Familiarity]) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, by name."""
    return {
        f"{PREFIX}{modality}.{name}": tensor
        for modality, known in by_modality.items()
        for name, tensor in vars(known).items()
    }


def read_familiarity(tensors: Mapping[str, Tensor]) -> dict[Modality, Familiarity]:
    """Undo `familiarity_tensors`; the names have no `PREFIX`.

    Raises:
        ValueError: a tensor is missing, or has a wrong shape or type.
    """
    present = [modality for modality in Modality if f"{modality}.threshold" in tensors]
    return {modality: _read_one(tensors, modality) for modality in present}


def _read_one(tensors: Mapping[str, Tensor], modality: Modality) -> Familiarity:
    """Read the statistics of one modality."""
    names = [f"{modality}.{name}" for name in ("whitening", "means", "threshold")]
    if missing := [name for name in names if name not in tensors]:
        raise ValueError(f"{PREFIX}{missing[0]} is missing")
    known = Familiarity(*(tensors[name] for name in names))
    size = known.whitening.shape[-1:]
    shapes = (known.whitening.shape, known.means.shape[1:], known.threshold.shape)
    if shapes != ((*size, *size), size, ()) or not known.means.numel():
        raise ValueError(f"{PREFIX}{modality} has tensors of shapes that do not fit")
    if any(tensors[name].dtype != torch.float64 for name in names):
        raise ValueError(f"{PREFIX}{modality} has tensors that are not float64")
    return known
