"""Cross-modal retrieval: pictures by a sound, and sounds by a picture, with the embeddings of a trained network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.loader import in_order
from cmcgan_core.evaluation.metrics import (
    Items,
    QueryScores,
    Ranking,
    bootstrap_interval,
    partner_ranks,
    retrieval,
    retrieval_by_chance,
    score_queries,
)
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.capabilities import Embedder
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.batches import spread_evenly

#: The k of recall at k.
RANKS = (1, 5, 10)
#: Pairs that are embedded at once.
BATCH = 64
#: Largest number of pairs that are ranked by `evaluate_embedder`; they are spread evenly. Every item is compared with
#: every other one, so without a limit the time would grow with the square of the split.
RANKED = 5000


@dataclass(frozen=True)
class CrossModalRetrieval:
    """How well items of one modality find items of their class in the other modality. Their own recording is left out.

    Attributes:
        ranking: scores by direction, from the modality of the queries to that of the ranked items.
        chance: what random rankings reach on average.
    """

    ranking: dict[Direction, Ranking]
    chance: Ranking


def evaluate_embedder(
    trained: Trained, split: PairDataset, *, on_progress: OnProgress = silent
) -> CrossModalRetrieval | None:
    """Embed all pairs of a split, and rank the items of each modality by each item of the other one.

    Args:
        trained: a network that embeds both modalities.
        split: the pairs to embed; at most `RANKED` of them are ranked.
        on_progress: called after every batch.

    Returns:
        The scores; None if no class of the split has two recordings.
    """
    network = trained.network
    assert isinstance(network, Embedder)
    ranked = spread_evenly(len(split), RANKED)
    label, recording = split.labels[ranked], split.recordings[ranked]
    chance = retrieval_by_chance(label, recording, RANKS)
    if chance is None:
        return None
    embeddings = embed_split(network.embed, split, trained.about.config.network, trained.device, on_progress)
    ranking = {}
    for direction in Direction:
        query, key = embeddings[direction.source][ranked], embeddings[direction.target][ranked]
        scores = retrieval(query, key, label, recording, RANKS)
        assert scores is not None
        ranking[direction] = scores
    return CrossModalRetrieval(ranking, chance)


def embed_split(
    embed: Callable[[Modality, Tensor], Tensor],
    split: PairDataset,
    network: NetworkConfig,
    device: torch.device,
    on_progress: OnProgress = silent,
) -> dict[Modality, Tensor]:
    """Return embeddings (N, D) of the real items of a split, by modality, on the CPU.

    Args:
        embed: embeds maps (B, C, H, W) of a modality, as `Embedder.embed` does.
        split: the pairs.
        network: the sizes of the maps.
        device: device of the maps.
        on_progress: called after every batch.
    """
    parts: dict[Modality, list[Tensor]] = {modality: [] for modality in Modality}
    done = 0
    for batch in in_order(split, network, BATCH, device):
        with torch.inference_mode():
            for modality, maps in batch.maps().items():
                parts[modality].append(embed(modality, maps).float().cpu())
        done += len(batch.label)
        on_progress(Progress(f"embedding {split.split} pairs", done, len(split), "pairs"))
    return {modality: torch.cat(embeddings) for modality, embeddings in parts.items()}


@dataclass(frozen=True)
class TaskScore:
    """How well the queries of one modality find items of their class.

    Attributes:
        precision: mean average precision over all ranks, 0 to 1.
        interval: its 95 % interval over the recordings; None for fewer than two.
        first: share of queries whose first item is of their class (precision at 1).
        fifth: share of queries with an item of their class among the first five (recall at 5).
    """

    precision: float
    interval: tuple[float, float] | None
    first: float
    fifth: float


@dataclass(frozen=True)
class RetrievalScores:
    """The scores of one representation.

    Attributes:
        tasks: scores by task: `S->P`, `P->S` (bi-modal: the gallery has the other modality) and `S->All`, `P->All`
            (all-modal: the gallery has both).
        partner: share of the items of other recordings that are ranked before the picture (`S->P`) or the sound
            (`P->S`) of the query's own pair; 0 is the best, chance is 0.5.
    """

    tasks: dict[str, TaskScore]
    partner: dict[str, float]


#: Letters of the modalities in the names of tasks.
LETTERS = {Modality.AUDIO: "S", Modality.VISUAL: "P"}


def score_embeddings(
    by_query: Mapping[Modality, Mapping[Modality, Tensor]], split: PairDataset, *, same_recording: bool = False
) -> RetrievalScores | None:
    """Score a representation on all tasks.

    Args:
        by_query: embeddings (N, D) of all items, by the modality of the query, then by the modality of the item. Most
            methods have the same for both.
        split: the pairs.
        same_recording: keep items of the query's own recording in the gallery, as published evaluations do. The query
            itself is never in it.

    Returns:
        The scores; None if no class of the split has two recordings.
    """
    tasks, partner = {}, {}
    for modality, embeddings in by_query.items():
        query, of_query = embeddings[modality], _items(split, modality, same_recording=same_recording)
        for name, members in ((LETTERS[modality.other], (modality.other,)), ("All", tuple(Modality))):
            parts = [_items(split, member, same_recording=same_recording) for member in members]
            gallery = Items(*(torch.cat(column) for column in zip(*parts, strict=True)))
            scores = score_queries(query, torch.cat([embeddings[m] for m in members]), of_query, gallery, (1, 5))
            if not len(scores.query):
                return None
            tasks[f"{LETTERS[modality]}->{name}"] = _average(scores, split.recordings)
        name = f"{LETTERS[modality]}->{LETTERS[modality.other]}"
        partner[name] = float(partner_ranks(query, embeddings[modality.other], split.recordings).mean())
    return RetrievalScores(tasks, partner)


def _items(split: PairDataset, modality: Modality, *, same_recording: bool) -> Items:
    """Return the items of one modality. An item is its own recording if the others of its recording may be found."""
    if not same_recording:
        return Items(split.labels, split.recordings)
    first = list(Modality).index(modality) * len(split)
    return Items(split.labels, torch.arange(first, first + len(split)))


def _average(scores: QueryScores, recording: Tensor) -> TaskScore:
    """Average the scores of the queries; `recording` is the number of each pair's recording (N,)."""
    interval = bootstrap_interval(scores.precision, recording[scores.query])
    first, fifth = scores.hits.mean(dim=0).tolist()
    return TaskScore(float(scores.precision.mean()), interval, first, fifth)
