"""Generated pictures beside the training picture that is nearest to each, to see whether a network copies."""

from collections.abc import Sequence
from dataclasses import dataclass

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.data.dataset import PreparedDataset
from cmcgan_core.data.loader import to_batch
from cmcgan_core.evaluation.compare import Entry
from cmcgan_core.evaluation.memorisation import TrainingMaps
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import draw_latents, to_pictures, translate_maps
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.reports.samples import Tile, picture_uri, typical_items
from cmcgan_core.utils.device import choose_device


@dataclass(frozen=True)
class Neighbours:
    """Generated pictures and their nearest training pictures.

    Attributes:
        name: name of the run.
        pairs: for each pair of the page, the tile of the generated picture and that of the nearest training picture.
    """

    name: str
    pairs: list[tuple[Tile, Tile]]


def find_neighbours(
    entries: Sequence[Entry], dataset: PreparedDataset, *, seed: int = 0, device: str = "auto"
) -> list[Neighbours]:
    """Return, for every run that generates pictures, those of the pairs of the page and their neighbours.

    Args:
        entries: the runs.
        dataset: the dataset that they were evaluated on.
        seed: seed of the latents, as in `cmcgan generate --seed`.
        device: see `choose_device`.
    """
    generating = [entry for entry in entries if Direction.A2V in entry.evaluation.table1]
    return [Neighbours(entry.name, _pair_tiles(entry, dataset, seed, device)) for entry in generating]


def _pair_tiles(entry: Entry, dataset: PreparedDataset, seed: int, device: str) -> list[tuple[Tile, Tile]]:
    """Return, for the pairs of the page, the tile of the generated picture and that of its neighbour."""
    split, training = dataset.split(entry.evaluation.split), dataset.split("train")
    trained = load_checkpoint(entry.path, choose_device(device))
    network = trained.about.config.network
    stored = split.read(typical_items(split))
    source = to_batch(stored, network, dataset.settings, trained.device).audio
    (z,) = draw_latents(trained, Direction.A2V, SamplingOptions(seed=seed))
    generated = translate_maps(trained, Direction.A2V, source, z)
    searched = TrainingMaps(training, network, trained.device)
    distances, positions = searched.find_nearest(Modality.VISUAL, generated)
    items = [searched.items[position] for position in positions.tolist()]
    nearest = to_batch(training.read(items), network, dataset.settings, trained.device).visual
    captions = [
        f"{training.pairs[item].recording}, distance {distance:.2f}"
        for item, distance in zip(items, distances.tolist(), strict=True)
    ]
    return [
        (Tile("generated", picture_uri(picture)), Tile(caption, picture_uri(neighbour)))
        for picture, caption, neighbour in zip(to_pictures(generated), captions, to_pictures(nearest), strict=True)
    ]
