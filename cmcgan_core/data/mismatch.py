"""Wrong pairs: a sound and a picture that do not belong together, for discriminators that know matching from not.

Source: CMCGAN, Algorithm 1 ("mismatched"); CMAV (Chen et al. 2017), whose instrument-oriented setting takes the wrong
one from another class, and whose pose-oriented setting from the same class, of another player or in another pose.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from cmcgan_core.errors import DataError

By = Literal["class", "pose"]

#: Seconds after which a player has taken another pose; the paper draws from other recordings, and gives no number.
MIN_POSE_GAP_S = 5.0
#: Milliseconds between the beginnings of two recordings on the axis of `timestamps_ms`; longer than any recording.
RECORDING_OFFSET_MS = 10**9


def timestamps_ms(recordings: Sequence[str], starts: Sequence[float]) -> Tensor:
    """Milliseconds (N,) on one time axis for all recordings, which follow one another far apart.

    Args:
        recordings: that each pair is of.
        starts: seconds from the start of its recording.
    """
    number = {name: i for i, name in enumerate(dict.fromkeys(recordings))}
    return torch.tensor(
        [
            number[name] * RECORDING_OFFSET_MS + round(1000 * start)
            for name, start in zip(recordings, starts, strict=True)
        ],
        dtype=torch.long,
    )


def wrong_partners(label: Tensor, rng: torch.Generator, among: Tensor | None = None) -> Tensor:
    """For every label (B,) a position in `among` (N,) whose class is another, drawn evenly; (B,).

    In training `among` is the batch itself, which is drawn evenly from the dataset, so that the discriminator's
    features of the wrong pictures and sounds are there already.

    Raises:
        DataError: all items are of one class.
    """
    other = label[:, None] != (label if among is None else among)[None, :]
    return _draw(
        other,
        rng,
        "there are pairs of one class only, and so no wrong pairs; more classes are needed, "
        "or wrong pairs by pose: cmcgan train --wrong-pairs pose",
    )


def wrong_poses(label: Tensor, timestamp_ms: Tensor, rng: torch.Generator) -> Tensor:
    """For every pair of a batch another one of its class, but of another recording or `MIN_POSE_GAP_S` away in time; (B,).

    Args:
        label: class index (B,).
        timestamp_ms: see `timestamps_ms` (B,).
        rng: of the draw, which is even.

    Raises:
        DataError: a pair has no such partner; `PosePartners` makes batches in which each has one.
    """
    far = (timestamp_ms[:, None] - timestamp_ms[None, :]).abs() >= round(1000 * MIN_POSE_GAP_S)
    return _draw(far & (label[:, None] == label[None, :]), rng, "a pair has no partner in another pose")


class PosePartners:
    """Who may be the wrong partner by pose of whom, in a whole split.

    Args:
        label: class index (N,).
        timestamp_ms: see `timestamps_ms` (N,).

    Attributes:
        items: positions of the pairs that have a partner.
    """

    def __init__(self, label: Tensor, timestamp_ms: Tensor) -> None:
        self.label, self.timestamp_ms = label.tolist(), timestamp_ms
        order = timestamp_ms.argsort()
        self._of_class = {c: order[label[order] == c] for c in set(self.label)}
        self._times = {c: timestamp_ms[items] for c, items in self._of_class.items()}
        self.items = [i for i in range(len(label)) if self._possible(i)]

    def draw(self, item: int, rng: torch.Generator) -> int:
        """A partner of one of `items`, drawn evenly."""
        near, beyond = self._near(item)
        drawn = int(torch.randint(self._possible(item), (), generator=rng))
        return int(self._of_class[self.label[item]][drawn if drawn < near else drawn + beyond - near])

    def _possible(self, item: int) -> int:
        near, beyond = self._near(item)
        return len(self._of_class[self.label[item]]) - (beyond - near)

    def _near(self, item: int) -> tuple[int, int]:
        """Of the pairs of the class in order of time, the first and the one behind the last that is too near."""
        timestamp_ms, far = self.timestamp_ms[item], round(1000 * MIN_POSE_GAP_S)
        near = torch.searchsorted(
            self._times[self.label[item]], torch.stack([timestamp_ms - far + 1, timestamp_ms + far])
        )
        return int(near[0]), int(near[1])


def _draw(possible: Tensor, rng: torch.Generator, otherwise: str) -> Tensor:
    """One column (B,) of each row of a Boolean matrix (B, N), drawn evenly; a `DataError` where a row has none."""
    if not bool(possible.any(dim=1).all()):
        raise DataError(otherwise)
    return torch.multinomial(possible.float().cpu(), 1, generator=rng).flatten().to(possible.device)
