"""Search embeddings: the best half second of every content, by cosine similarity, in blocks of bounded size."""

import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.inference.retrieve.index import Entry
from cmcgan_core.modality import Modality

#: Embeddings that are compared at once.
BLOCK = 16_384


class Candidate(NamedTuple):
    """The best half second of one modality of a content."""

    score: float  #: cosine similarity, -1 to 1
    content: bytes
    modality: Modality
    start: float  #: seconds; NaN for a picture file


def search(
    queries: NDArray[np.float32],
    allowed: Sequence[Collection[Modality]],
    entries: Iterable[Entry],
    top: int,
) -> list[list[Candidate]]:
    """Return the contents that are most similar to each query, the best first.

    Args:
        queries: vectors (Q, D) of length 1.
        allowed: for each query, the modalities that are searched.
        entries: the embeddings, of length 1. A content with two modalities has two entries, and can be returned twice.
        top: number of candidates for each query.
    """
    best: list[list[Candidate]] = [[] for _ in queries]
    for block in _blocks(entries):
        found = _best_of_block(queries, allowed, block, top)
        best = [heapq.nlargest(top, [*old, *new], key=_rank) for old, new in zip(best, found, strict=True)]
    return best


def _rank(candidate: Candidate) -> tuple[float, bytes, str]:
    """Return a key that orders equal scores always in the same way."""
    return candidate.score, candidate.content, candidate.modality


def _blocks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield groups of entries with about `BLOCK` embeddings."""
    block, size = [], 0
    for entry in entries:
        block.append(entry)
        size += len(entry.embeddings.starts)
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def _best_of_block(
    queries: NDArray[np.float32], allowed: Sequence[Collection[Modality]], block: Sequence[Entry], top: int
) -> list[list[Candidate]]:
    """Return the best candidates of a block for each query, in any order."""
    counts = np.array([len(entry.embeddings.starts) for entry in block])
    offsets = np.concatenate([[0], counts.cumsum()[:-1]])
    scores = queries @ np.concatenate([entry.embeddings.vectors for entry in block]).T
    by_entry = np.maximum.reduceat(scores, offsets, axis=1)  # (Q, entries)
    found = []
    for query, wanted in enumerate(allowed):
        places = np.array([i for i, entry in enumerate(block) if entry.modality in wanted], np.intp)
        if len(places) > top:
            places = places[np.argpartition(-by_entry[query, places], top - 1)[:top]]
        found.append([_candidate(block[i], scores[query, offsets[i] : offsets[i] + counts[i]]) for i in places])
    return found


def _candidate(entry: Entry, scores: NDArray[np.float32]) -> Candidate:
    """Return the best half second of an entry; `scores` are those of its half seconds."""
    place = int(scores.argmax())
    # Rounding errors can make the cosine of two equal vectors larger than 1.
    score = min(1.0, max(-1.0, float(scores[place])))
    return Candidate(score, entry.content, entry.modality, float(entry.embeddings.starts[place]))
