"""Wrong (mismatched) pairs: a sound and a picture that do not belong together, for discriminators that score matching.

Source: CMCGAN, Algorithm 1 ("mismatched"); CMAV (Chen et al. 2017). CMAV's instrument-oriented setting takes the wrong
    partner from another class. Its pose-oriented setting takes it from the same class, of another player or in another
    pose.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cmcgan_core.data.index import number_in_order
from cmcgan_core.errors import DataError

#: What a wrong pair mismatches, see `config.TrainConfig.wrong_pairs`.
By = Literal["class", "pose"]

#: Seconds between two frames of one recording that count as different poses. CMAV draws from other recordings and gives
#: no number.
MIN_POSE_GAP_S = 5.0
#: Milliseconds between the starts of two recordings on the common time axis; longer than any recording.
RECORDING_OFFSET_MS = 10**9


def timestamps_ms(recordings: ArrayLike, starts: ArrayLike) -> Tensor:
    """Place pairs on one time axis, on which the recordings follow one another far apart.

    Args:
        recordings: the recording (N,) of each of N pairs, as names or numbers.
        starts: the start (N,) of each pair in its recording, in seconds.

    Returns:
        Timestamps (N,) in milliseconds.
    """
    milliseconds = np.rint(1000 * np.asarray(starts, np.float64)).astype(np.int64)
    return torch.from_numpy(number_in_order(recordings) * RECORDING_OFFSET_MS + milliseconds)


def wrong_partners(label: Tensor, rng: torch.Generator, among: Tensor | None = None) -> Tensor:
    """Draw a partner of another class for each item of a batch, uniformly.

    In training, partners come from the batch itself, because the discriminator's features of its pictures and sounds
    are computed already. The batch is a uniform sample of the dataset.

    Args:
        label: class indices (B,).
        rng: the random numbers of the draw.
        among: class indices (N,) of the items to draw from; None for the batch itself.

    Returns:
        Positions (B,) in `among`.

    Raises:
        DataError: an item has no possible partner, because all items are of one class.
    """
    other = label[:, None] != (label if among is None else among)[None, :]
    return _draw(
        other,
        rng,
        "there are pairs of one class only, so there are no wrong pairs by class; add classes, or use wrong pairs by "
        "pose: --set train.wrong_pairs=pose",
    )


def wrong_poses(label: Tensor, timestamp_ms: Tensor, rng: torch.Generator) -> Tensor:
    """Draw a partner in another pose for each pair of a batch, uniformly.

    A partner is of the same class, but of another recording, or at least `MIN_POSE_GAP_S` away in time.

    Args:
        label: class indices (B,).
        timestamp_ms: timestamps (B,), see `timestamps_ms`.
        rng: the random numbers of the draw.

    Returns:
        Positions (B,) in the batch.

    Raises:
        DataError: a pair has no such partner. `PosePartners` makes batches in which each pair has one.
    """
    far = (timestamp_ms[:, None] - timestamp_ms[None, :]).abs() >= round(1000 * MIN_POSE_GAP_S)
    return _draw(far & (label[:, None] == label[None, :]), rng, "a pair has no partner in another pose")


class PosePartners:
    """The possible wrong partners by pose of each pair of a split.

    Args:
        label: class indices (N,).
        timestamp_ms: timestamps (N,), see `timestamps_ms`.

    Attributes:
        items: positions of the pairs that have a partner.
    """

    def __init__(self, label: Tensor, timestamp_ms: Tensor) -> None:
        self.label, self.timestamp_ms = label, timestamp_ms
        order = timestamp_ms.argsort()
        # The positions and the timestamps of the pairs of each class, in order of time.
        self._of_class = {c: order[label[order] == c] for c in set(label.tolist())}
        self._times = {c: timestamp_ms[items] for c, items in self._of_class.items()}
        partners = torch.zeros(len(label), dtype=torch.long)
        for c, items in self._of_class.items():
            first, end = self._find_too_near(c, timestamp_ms[items])
            partners[items] = len(items) - (end - first)
        self.items: list[int] = partners.nonzero().flatten().tolist()

    def draw(self, item: int, rng: torch.Generator) -> int:
        """Draw a partner of one of `items`, uniformly, and return its position in the split."""
        c = int(self.label[item])
        first, end = (int(bound) for bound in self._find_too_near(c, self.timestamp_ms[item]))
        drawn = int(torch.randint(len(self._of_class[c]) - (end - first), (), generator=rng))
        return int(self._of_class[c][drawn if drawn < first else drawn + end - first])

    def _find_too_near(self, c: int, timestamp_ms: Tensor) -> tuple[Tensor, Tensor]:
        """Find the pairs that are too near to be partners of pairs of class `c` with timestamps (B,) or ().

        Returns:
            The first of them, and the position after the last of them, in the class's pairs in order of time: shaped as
            the timestamps.
        """
        far = round(1000 * MIN_POSE_GAP_S)
        times = self._times[c]
        return torch.searchsorted(times, timestamp_ms - far + 1), torch.searchsorted(times, timestamp_ms + far)


def _draw(possible: Tensor, rng: torch.Generator, message: str) -> Tensor:
    """Draw a true column (B,) of each row of a Boolean matrix (B, N), uniformly.

    Raises:
        DataError: a row has no true column; the error has this message.
    """
    if not bool(possible.any(dim=1).all()):
        raise DataError(message)
    return torch.multinomial(possible.float(), 1, generator=rng).flatten()
