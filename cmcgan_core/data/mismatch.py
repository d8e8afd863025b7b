"""Wrong (mismatched) pairs: a sound and a picture that do not belong together, for discriminators that score matching.

Source: CMCGAN, Algorithm 1 ("mismatched"); CMAV (Chen et al. 2017). CMAV's instrument-oriented setting takes the wrong
    partner from another class. Its pose-oriented setting takes it from the same class, of another player or in another
    pose.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from cmcgan_core.errors import DataError

#: What a wrong pair mismatches, see `config.TrainConfig.wrong_pairs`.
By = Literal["class", "pose"]

#: Seconds between two frames of one recording that count as different poses. CMAV draws from other recordings and gives
#: no number.
MIN_POSE_GAP_S = 5.0
#: Milliseconds between the starts of two recordings on the common time axis; longer than any recording.
RECORDING_OFFSET_MS = 10**9


def timestamps_ms(recordings: Sequence[str], starts: Sequence[float]) -> Tensor:
    """Place pairs on one time axis, on which the recordings follow one another far apart.

    Args:
        recordings: the name of the recording of each of N pairs.
        starts: the start of each pair in its recording, in seconds.

    Returns:
        Timestamps (N,) in milliseconds.
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
        self.label, self.timestamp_ms = label.tolist(), timestamp_ms
        order = timestamp_ms.argsort()
        # The positions and the timestamps of the pairs of each class, in order of time.
        self._of_class = {c: order[label[order] == c] for c in set(self.label)}
        self._times = {c: timestamp_ms[items] for c, items in self._of_class.items()}
        self.items = [i for i in range(len(label)) if self._count_partners(i)]

    def draw(self, item: int, rng: torch.Generator) -> int:
        """Draw a partner of one of `items`, uniformly, and return its position in the split."""
        first, end = self._find_too_near(item)
        drawn = int(torch.randint(self._count_partners(item), (), generator=rng))
        return int(self._of_class[self.label[item]][drawn if drawn < first else drawn + end - first])

    def _count_partners(self, item: int) -> int:
        """Count the possible partners of an item."""
        first, end = self._find_too_near(item)
        return len(self._of_class[self.label[item]]) - (end - first)

    def _find_too_near(self, item: int) -> tuple[int, int]:
        """Find the pairs that are too near to be partners, as a range of the class's pairs in order of time."""
        timestamp_ms, far = self.timestamp_ms[item], round(1000 * MIN_POSE_GAP_S)
        bounds = torch.stack([timestamp_ms - far + 1, timestamp_ms + far])
        first, end = torch.searchsorted(self._times[self.label[item]], bounds).tolist()
        return first, end


def _draw(possible: Tensor, rng: torch.Generator, message: str) -> Tensor:
    """Draw a true column (B,) of each row of a Boolean matrix (B, N), uniformly.

    Raises:
        DataError: a row has no true column; the error has this message.
    """
    if not bool(possible.any(dim=1).all()):
        raise DataError(message)
    return torch.multinomial(possible.float(), 1, generator=rng).flatten()
