"""Search embeddings: the best half second of every content, by cosine similarity, in blocks of bounded size."""

import heapq
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.inference.retrieve.index import Block
from cmcgan_core.modality import Modality


class Candidate(NamedTuple):
    """The best half second of one modality of a content."""

    score: float  #: cosine similarity, -1 to 1
    content: bytes
    modality: Modality
    start: float  #: seconds; NaN for a picture file


def search(
    queries: NDArray[np.float32], allowed: Sequence[Collection[Modality]], blocks: Iterable[Block], top: int
) -> list[list[Candidate]]:
    """Return the contents that are most similar to each query, the best first.

    Args:
        queries: vectors (Q, D) of length 1.
        allowed: for each query, the modalities that are searched.
        blocks: the embeddings, of length 1. A content with two modalities can be returned twice.
        top: number of candidates for each query.
    """
    best: list[list[Candidate]] = [[] for _ in queries]
    for block in blocks:
        found = _best_of_block(queries, allowed, block, top)
        best = [heapq.nlargest(top, [*old, *new]) for old, new in zip(best, found, strict=True)]
    return best


def _best_of_block(
    queries: NDArray[np.float32], allowed: Sequence[Collection[Modality]], block: Block, top: int
) -> list[list[Candidate]]:
    """Return the best candidates of a block for each query, in any order."""
    counts = np.array(block.counts)
    ends = counts.cumsum()
    offsets = ends - counts
    scores = queries @ block.embeddings.vectors.T
    by_entry = np.maximum.reduceat(scores, offsets, axis=1)  # (Q, entries)
    of_modality = {m: np.array([modality is m for modality in block.modalities]) for m in Modality}
    found = []
    for query, wanted in enumerate(allowed):
        places = np.flatnonzero(np.any([of_modality[modality] for modality in wanted], axis=0))
        if len(places) > top:
            places = places[np.argpartition(-by_entry[query, places], top - 1)[:top]]
        bests = [offsets[i] + int(scores[query, offsets[i] : ends[i]].argmax()) for i in places]
        # Rounding errors can make the cosine of two equal vectors larger than 1.
        cosines = scores[query, bests].clip(-1, 1).tolist()
        starts = block.embeddings.starts[bests].tolist()
        found.append(
            [
                Candidate(cosine, block.contents[i], block.modalities[i], start)
                for i, cosine, start in zip(places, cosines, starts, strict=True)
            ]
        )
    return found
