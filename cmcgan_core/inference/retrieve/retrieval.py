"""Search a gallery: read the queries, bring the index up to date, compare, and name what cannot be read."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cmcgan_core.checkpoint import Trained
from cmcgan_core.errors import ConfigError, MediaError
from cmcgan_core.inference.completion import fingerprint
from cmcgan_core.inference.retrieve.embedding import require_embedder
from cmcgan_core.inference.retrieve.files import Gallery
from cmcgan_core.inference.retrieve.gallery import Indexed, update_index
from cmcgan_core.inference.retrieve.index import Index, IndexDamagedError, default_folder, delete_index, open_index
from cmcgan_core.inference.retrieve.query import Query, read_query
from cmcgan_core.inference.retrieve.results import Hit, IndexReport, Retrieval, Retrieved, unread
from cmcgan_core.inference.retrieve.search import Candidate, search
from cmcgan_core.inference.target import Target
from cmcgan_core.modality import Modality
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.batches import in_batches

#: Queries that are compared at once.
QUERIES_PER_SEARCH = 256


def retrieve(
    trained: Trained,
    queries: Sequence[Path],
    gallery: Gallery,
    *,
    top: int = 5,
    to: Target | None = None,
    at: float | None = None,
    index_folder: Path | None = None,
    on_progress: OnProgress = silent,
) -> Retrieval:
    """Find the files of a gallery that are most similar to each query.

    A query or a file that cannot be read does not stop the others. A query file is never its own hit.

    Args:
        trained: a network that embeds both modalities.
        queries: sounds, pictures and videos, see `query.read_query`.
        gallery: the files that are searched.
        top: largest number of hits for each query.
        to: what to look for; None is the modality that the query is not.
        at: see `query.read_query`.
        index_folder: folder of the indexes; None is `index.default_folder`.
        on_progress: called while queries and files are embedded.

    Raises:
        CheckpointError: the network does not embed both modalities.
        ConfigError: `top` is below 1, or the gallery holds nothing of the modality.
        DataError: the index cannot be written, because the disk is full for example.
    """
    require_embedder(trained)
    if top < 1:
        raise ConfigError(f"top cannot be {top}; take 1 or more")
    read = list(_read_queries(trained, queries, to, at, on_progress))
    usable = [query for query in read if isinstance(query, Query)]
    if not usable:
        return unread(queries, map(str, read))
    report, hits = _search_index(trained, usable, gallery, top, index_folder or default_folder(), on_progress)
    found = iter(hits)
    results = (_describe(path, item, found) for path, item in zip(queries, read, strict=True))
    return Retrieval(tuple(results), report)


def _read_queries(
    trained: Trained, paths: Sequence[Path], to: Target | None, at: float | None, on_progress: OnProgress
) -> Iterator[Query | MediaError]:
    """Yield each query, or the error that explains why it cannot be read."""
    for done, path in enumerate(paths, start=1):
        try:
            yield read_query(trained, path, to, at)
        except MediaError as error:
            yield error
        if len(paths) > 1:
            on_progress(Progress("reading queries", done, len(paths), "queries"))


def _describe(path: Path, item: Query | MediaError, hits: Iterator[tuple[Hit, ...]]) -> Retrieved:
    """Return the result of a query; `hits` yields those of the queries that can be read."""
    if isinstance(item, MediaError):
        return Retrieved(path, error=str(item))
    return Retrieved(path, item.modality, item.at, item.target, next(hits))


def _search_index(
    trained: Trained, queries: Sequence[Query], gallery: Gallery, top: int, folder: Path, on_progress: OnProgress
) -> tuple[IndexReport, list[tuple[Hit, ...]]]:
    """Bring the index up to date, and return the hits of each query. A damaged index is built again."""
    try:
        return _search_once(trained, queries, gallery, top, folder, on_progress)
    except IndexDamagedError as damage:
        delete_index(damage.path)
        report, hits = _search_once(trained, queries, gallery, top, folder, on_progress)
        return replace(report, notes=(f"{damage}; it was built again", *report.notes)), hits


def _search_once(
    trained: Trained, queries: Sequence[Query], gallery: Gallery, top: int, folder: Path, on_progress: OnProgress
) -> tuple[IndexReport, list[tuple[Hit, ...]]]:
    """See `_search_index`.

    Raises:
        IndexDamagedError: the index is damaged.
    """
    modalities = [m for m in Modality if any(m in query.target.modalities for query in queries)]
    with open_index(folder, fingerprint(trained.path)) as index:
        indexed = update_index(trained, gallery, modalities, index, on_progress=on_progress)
        hits = _find_hits(queries, indexed, index, top)
    notes = (index.note,) if index.note else ()
    return IndexReport(index.path, len(indexed.contents), indexed.embedded, indexed.faults, notes), hits


def _find_hits(queries: Sequence[Query], indexed: Indexed, index: Index, top: int) -> list[tuple[Hit, ...]]:
    """Return the hits of each query."""
    paths: dict[bytes, list[Path]] = {}
    for path, content in indexed.contents.items():
        paths.setdefault(content, []).append(path)
    hits: list[tuple[Hit, ...]] = []
    for batch in in_batches(queries, QUERIES_PER_SEARCH):
        # One more, because the query is no hit; twice as many, because a video can be found as sound and as picture.
        candidates = search(
            np.stack([query.vector for query in batch]),
            [query.target.modalities for query in batch],
            index.blocks(paths),
            2 * (top + 1),
        )
        hits += [_rank_files(query, found, paths)[:top] for query, found in zip(batch, candidates, strict=True)]
    return hits


def _rank_files(
    query: Query, candidates: Sequence[Candidate], paths: Mapping[bytes, Sequence[Path]]
) -> tuple[Hit, ...]:
    """Return the files of candidates, each once, the best first, without the query itself.

    A copy of the query has similarity 1, if its modality is searched. This is not computed: the half second of a query
    need not be one of those of the index.
    """
    if query.modality in query.target.modalities and query.content in paths:
        start = math.nan if query.at is None else query.at
        candidates = [Candidate(1.0, query.content, query.modality, start), *candidates]
    itself = os.path.realpath(query.path)
    hits: dict[Path, Hit] = {}
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        at = None if math.isnan(candidate.start) else round(candidate.start, 3)
        for path in paths[candidate.content]:
            if path not in hits and os.path.realpath(path) != itself:
                hits[path] = Hit(path, candidate.modality, round(candidate.score, 4), at)
    return tuple(sorted(hits.values(), key=lambda hit: -hit.score))
