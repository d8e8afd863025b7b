"""Cross-modal retrieval: pictures by a sound, and sounds by a picture, with the embeddings of a trained network."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.loader import in_order
from cmcgan_core.evaluation.metrics import Ranking, retrieval, retrieval_by_chance
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.capabilities import Embedder
from cmcgan_core.progress import OnProgress, Progress, silent

#: The k of recall at k.
RANKS = (1, 5, 10)
#: Pairs that are embedded at once.
BATCH = 64


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
        split: the pairs to embed.
        on_progress: called after every batch.

    Returns:
        The scores; None if no class of the split has two recordings.
    """
    network = trained.network
    assert isinstance(network, Embedder)
    chance = retrieval_by_chance(split.labels, split.recordings, RANKS)
    if chance is None:
        return None
    embeddings = _embed(trained, network, split, on_progress)
    ranking = {}
    for direction in Direction:
        query, key = embeddings[direction.source], embeddings[direction.target]
        scores = retrieval(query, key, split.labels, split.recordings, RANKS)
        assert scores is not None
        ranking[direction] = scores
    return CrossModalRetrieval(ranking, chance)


def _embed(trained: Trained, network: Embedder, split: PairDataset, on_progress: OnProgress) -> dict[Modality, Tensor]:
    """Return embeddings (N, D) of the real items of a split, by modality."""
    parts: dict[Modality, list[Tensor]] = {modality: [] for modality in Modality}
    done = 0
    for batch in in_order(split, trained.about.config.network, BATCH, trained.device):
        with torch.inference_mode():
            for modality, maps in batch.maps().items():
                parts[modality].append(network.embed(modality, maps).float().cpu())
        done += len(batch.label)
        on_progress(Progress(f"embedding {split.split} pairs", done, len(split), "pairs"))
    return {modality: torch.cat(embeddings) for modality, embeddings in parts.items()}
