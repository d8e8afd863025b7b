"""The notes that sound in the pairs of the demonstration set, as ground truth for the poses of generated pictures."""

import re

import torch
from torch import Tensor

from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.synthetic.score import REGISTERS, compose, note_at
from cmcgan_core.data.synthetic.seeds import make_rng


def note_heights(dataset: PairDataset) -> Tensor | None:
    """Return the relative pitch of the note that sounds at the start of each pair.

    Hands, bows, slides and finger holes are drawn at this height, so a picture that matches a sound shows it.

    Args:
        dataset: a split of a dataset.

    Returns:
        Heights (N,) between 0, the lowest pitch of the instrument's register, and 1, the highest. None if the dataset
        is not a demonstration set.
    """
    if dataset.dataset.about.get("source") != "DemoSource":
        return None
    pieces = [_piece_number(pair.recording) for pair in dataset.pairs]
    ends: dict[tuple[str, int], float] = {}
    for pair, piece in zip(dataset.pairs, pieces, strict=True):
        ends[pair.label, piece] = max(pair.start, ends.get((pair.label, piece), 0.0))
    seed, chunk_seconds = dataset.dataset.about["seed"], dataset.settings.seconds
    scores = {
        (label, piece): compose(label, end + chunk_seconds, make_rng(seed, label, "piece", piece))
        for (label, piece), end in ends.items()
    }
    heights = []
    for pair, piece in zip(dataset.pairs, pieces, strict=True):
        low, high = REGISTERS[pair.label]
        heights.append((note_at(scores[pair.label, piece], pair.start).pitch - low) / (high - low))
    return torch.tensor(heights)


def _piece_number(recording: str) -> int:
    """Return the number of the piece in a recording's id, such as 7 in `tuba-p3-piece07-room12`."""
    match = re.search(r"-piece(\d+)-", recording)
    assert match, recording
    return int(match[1])
