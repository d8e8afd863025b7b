"""The results of a search. The command line imports this module, so it does not import torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmcgan_core.inference.target import Target
from cmcgan_core.modality import Modality


@dataclass(frozen=True)
class Hit:
    """A file that was found.

    Attributes:
        path: the file.
        modality: what was found in it.
        score: cosine similarity of the embeddings, -1 to 1.
        at: start of its most similar half second, in seconds; None for a picture file.
    """

    path: Path
    modality: Modality
    score: float
    at: float | None


@dataclass(frozen=True)
class Retrieved:
    """The result of one query.

    Attributes:
        query: the file.
        modality: what was used of it; None if it cannot be read.
        at: start of the half second of a sound, or time of the picture of a video, in seconds. None for a picture file,
            and for a video of which all pictures were used.
        to: what it looked for; None if it cannot be read.
        hits: the files that are most similar, the best first.
        error: why it cannot be read, or "".
    """

    query: Path
    modality: Modality | None = None
    at: float | None = None
    to: Target | None = None
    hits: tuple[Hit, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class IndexReport:
    """What happened to the index.

    Attributes:
        path: the index.
        files: number of files that were searched.
        embedded: number of contents that were embedded now; the others were in the index.
        faults: for each file that cannot be read, what is wrong with it.
        notes: what else the user should know: the index was damaged, or cannot be written.
    """

    path: Path
    files: int
    embedded: int
    faults: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Retrieval:
    """The results of a search.

    Attributes:
        results: the result of each query, in their order.
        index: what happened to the index; None if no query can be read.
    """

    results: tuple[Retrieved, ...]
    index: IndexReport | None


def unread(queries: Sequence[Path], errors: Iterable[str]) -> Retrieval:
    """Return the result of a search of which no query can be read, given what is wrong with each."""
    return Retrieval(tuple(Retrieved(path, error=error) for path, error in zip(queries, errors, strict=True)), None)
