"""What the players of the demonstration set do, known from the score: what a generated pose can be held to."""

import re

import torch
from torch import Tensor

from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.synthetic.score import REGISTERS, compose, note_at
from cmcgan_core.data.synthetic.seeds import make_rng


def note_heights(dataset: PairDataset) -> Tensor | None:
    """How high in its instrument's register the note is that sounds at the start of each pair.

    Hands, bows, slides and holes are drawn by it, so it is what a pose has to tell of a sound.

    Args:
        dataset: a split.

    Returns:
        (N,), 0 the lowest pitch of the register to 1 the highest; None where the dataset is no demonstration set.
    """
    if dataset.dataset.about.get("source") != "DemoSource":
        return None
    pieces = [_piece(pair.recording) for pair in dataset.pairs]
    ends: dict[tuple[str, int], float] = {}
    for pair, piece in zip(dataset.pairs, pieces, strict=True):
        ends[pair.label, piece] = max(pair.start, ends.get((pair.label, piece), 0.0))
    seed, half = dataset.dataset.about["seed"], dataset.settings.seconds
    scores = {
        (label, piece): compose(label, end + half, make_rng(seed, label, "piece", piece))
        for (label, piece), end in ends.items()
    }
    found = []
    for pair, piece in zip(dataset.pairs, pieces, strict=True):
        low, high = REGISTERS[pair.label]
        found.append((note_at(scores[pair.label, piece], pair.start).pitch - low) / (high - low))
    return torch.tensor(found)


def _piece(recording: str) -> int:
    """The piece's number of an id such as `tuba-p3-piece07-room12`."""
    found = re.search(r"-piece(\d+)-", recording)
    assert found, recording
    return int(found[1])
