"""Do the poses of generated pictures follow the notes? Source: CMAV (Chen et al. 2017), the pose-oriented setting.

Shapes: K latents, N pairs, S items that are correlated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cmcgan_core.evaluation import metrics
from cmcgan_core.evaluation.outputs import Generated, JudgeOutputs, PairInfo, Real
from cmcgan_core.modality import Direction, Modality

#: The r with which the pose judge must read the heights of a class from real pictures.
READABLE = 0.8
#: The row of all readable classes together.
ALL_READABLE = "all of r >= .8"


@dataclass(frozen=True)
class PoseScore:
    """Correlations, within classes, of the heights that the pose judge reads with those of the notes.

    Attributes:
        real: r of real pictures.
        generated: r of generated pictures; None if `real` is below `READABLE`, because it would say nothing.
        interval: 95 % interval of `generated`, see `metrics.bootstrap_interval`.
        another_sound: r of pictures that were generated from another recording of the class: the control.
    """

    real: float
    generated: float | None = None
    interval: tuple[float, float] | None = None
    another_sound: float | None = None


def score_poses(
    outputs: JudgeOutputs, pairs: PairInfo, judge: str, hops: int, classes: Sequence[str], *, seed: int
) -> dict[str, PoseScore]:
    """Score the poses of generated pictures, by class and for all readable classes together.

    Generated pictures count only if the main judge sees the right class.

    Args:
        outputs: outputs of the judges.
        pairs: what is known about the pairs.
        judge: name of the main judge.
        hops: number of subnetworks in a row that generate the pictures.
        classes: names of the classes.
        seed: seed of the bootstrap and of the control.

    Returns:
        Scores by class, then those of `ALL_READABLE`, if there are any; nothing if no heights are known or no pictures
        are generated.
    """
    real, sample = Real(Modality.VISUAL), Generated(Direction.A2V, hops)
    if pairs.height is None or sample not in outputs.heights:
        return {}
    label = pairs.label
    read, right = _of_own_class(outputs.heights[sample], label), outputs.predicted[judge, sample] == label
    partner = _partners(label, pairs.recording, seed)
    read_of_real, true = _of_own_class(outputs.heights[real], label)[0], pairs.height
    scores = {}
    readable = torch.zeros_like(label, dtype=torch.bool)
    for number, name in enumerate(classes):
        of_class = label == number
        r = _correlate(read_of_real[of_class], true[of_class], label[of_class])
        if r is None:
            continue
        scores[name] = PoseScore(r)
        if r >= READABLE:
            readable |= of_class
            scores[name] = _score(r, of_class, read, right, partner, pairs, seed)
    if readable.any():
        r = _correlate(read_of_real[readable], true[readable], label[readable])
        assert r is not None
        scores[ALL_READABLE] = _score(r, readable, read, right, partner, pairs, seed)
    return scores


def _score(
    real: float, chosen: Tensor, read: Tensor, right: Tensor, partner: Tensor, pairs: PairInfo, seed: int
) -> PoseScore:
    """Score the generated pictures of chosen pairs.

    Args:
        real: r of the real pictures.
        chosen: whether a pair is chosen (N,).
        read: heights (K, N) that are read from generated pictures.
        right: whether a generated picture (K, N) shows the right class.
        partner: position (N,) of the pair whose picture the control takes; -1 for none.
        pairs: what is known about the pairs.
        seed: seed of the bootstrap.
    """
    assert pairs.height is not None
    latent, item = (right & chosen).nonzero(as_tuple=True)
    x, y, label = read[latent, item], pairs.height[item], pairs.label[item]
    generated = _correlate(x, y, label)
    other_latent, other = (right[:, partner] & chosen & (partner >= 0)).nonzero(as_tuple=True)
    return PoseScore(
        real,
        generated,
        None if generated is None else metrics.correlation_interval(x, y, label, pairs.recording[item], seed=seed),
        _correlate(read[other_latent, partner[other]], pairs.height[other], pairs.label[other]),
    )


def _of_own_class(heights: Tensor, label: Tensor) -> Tensor:
    """Return the heights (K, N) of pictures that are taken for pictures of their pair's class, from (K, N, classes)."""
    return heights.gather(2, label[None, :, None].expand(len(heights), -1, 1))[..., 0]


def _correlate(x: Tensor, y: Tensor, label: Tensor) -> float | None:
    """Correlate values (S,) within their classes; None if there are none, or if they are constant."""
    return metrics.within_class_correlation(x, y, label) if len(x) else None


def _partners(label: Tensor, recording: Tensor, seed: int) -> Tensor:
    """Draw for each pair another one of its class and of another recording, uniformly; -1 if there is none."""
    # In this order, a class is a block of pairs, and a recording a block within it.
    order = torch.from_numpy(np.lexsort((recording.numpy(), label.numpy())))
    labels, recordings = label[order], recording[order]
    class_start, class_end = _blocks(labels)
    start, end = _blocks(labels * (int(recording.max()) + 1) + recordings)
    possible = (class_end - class_start) - (end - start)
    rng = torch.Generator().manual_seed(seed)
    drawn = class_start + (torch.rand(len(label), dtype=torch.float64, generator=rng) * possible).long()
    drawn += (end - start) * (drawn >= start)  # the pair's own recording is passed over
    partner = torch.empty_like(label)
    partner[order] = torch.where(possible > 0, order[drawn.clamp_max(len(label) - 1)], -1)
    return partner


def _blocks(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the block of equal values that each of N sorted values is in starts (N,) and ends (N,)."""
    return torch.searchsorted(values, values), torch.searchsorted(values, values, right=True)
