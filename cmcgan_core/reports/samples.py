"""Held-out pairs and the samples of runs for a page: pictures, spectrograms and sounds as data URIs.

The pairs are not selected by hand: they are the middle pairs of the first recording of each class in the split.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.data.dataset import PairDataset, PreparedDataset, StoredPairs
from cmcgan_core.data.index import Pair
from cmcgan_core.data.loader import to_batch
from cmcgan_core.evaluation.compare import Entry
from cmcgan_core.evaluation.labels import kind_label
from cmcgan_core.features.figures import draw_spectrograms
from cmcgan_core.features.representations import synthesise
from cmcgan_core.features.scaling import scale_spectrograms
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import (
    draw_latents,
    make_rngs,
    require_translator,
    to_levels,
    to_pictures,
    translate_maps,
)
from cmcgan_core.media.level import set_level
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.utils.batches import spread_evenly
from cmcgan_core.utils.device import choose_device

#: Largest number of classes on a page.
CLASSES = 8
#: Number of latents of a run's own output; other numbers of hops get one.
SAMPLES = 3


@dataclass(frozen=True)
class Tile:
    """A picture, or a sound with its spectrogram.

    Attributes:
        caption: text below it.
        picture: the picture or the spectrogram, as a data URI.
        sound: the sound as a data URI; "" for a picture.
    """

    caption: str
    picture: str
    sound: str = ""


@dataclass(frozen=True)
class Example:
    """A pair, and the samples that were generated from it.

    Attributes:
        pair: row of the index.
        picture: the real picture.
        sound: the real sound, as it is reconstructed from its spectrogram.
        generated: samples by direction, then by name of the run.
    """

    pair: Pair
    picture: Tile
    sound: Tile
    generated: dict[Direction, dict[str, list[Tile]]]


def make_examples(
    entries: Sequence[Entry], dataset: PreparedDataset, *, seed: int = 0, device: str = "auto"
) -> list[Example]:
    """Return a pair of each class of the evaluated split, with the samples of every run that translates.

    Args:
        entries: the runs.
        dataset: the dataset that they were evaluated on.
        seed: seed of the first latents, as in `cmcgan generate --seed`.
        device: see `choose_device`.
    """
    split = dataset.split(entries[0].evaluation.split)
    items = typical_items(split)
    stored = split.read(items)
    real_pictures = [Tile("real picture", picture_uri(picture)) for picture in stored.pictures.numpy()]
    real_sounds = sound_tiles("real sound", stored.spectrograms.float(), dataset.settings, SamplingOptions(seed=seed))
    generated: dict[Direction, dict[str, list[list[Tile]]]] = {}
    for entry in entries:
        trained = load_checkpoint(entry.path, choose_device(device))
        for direction, by_hops in entry.evaluation.table1.items():
            tiles = generated_tiles(trained, direction, [int(hops) for hops in by_hops], stored, seed)
            generated.setdefault(direction, {})[entry.name] = tiles
    return [
        Example(
            pair=split.pairs[item],
            picture=real_pictures[place],
            sound=real_sounds[place],
            generated={
                direction: {name: tiles[place] for name, tiles in by_run.items()}
                for direction, by_run in generated.items()
            },
        )
        for place, item in enumerate(items)
    ]


def typical_items(split: PairDataset) -> list[int]:
    """Return the position of the middle pair of the first recording of each class, of `CLASSES` classes at most."""
    recordings: dict[str, dict[str, list[int]]] = {}
    for item, pair in enumerate(split.pairs):
        recordings.setdefault(pair.label, {}).setdefault(pair.recording, []).append(item)
    firsts = [next(iter(recordings[label].values())) for label in split.classes if label in recordings]
    return [firsts[place][len(firsts[place]) // 2] for place in spread_evenly(len(firsts), CLASSES)]


def generated_tiles(
    trained: Trained, direction: Direction, possible_hops: Sequence[int], stored: StoredPairs, seed: int
) -> list[list[Tile]]:
    """Return the tiles of each pair: several latents by the run's own number of hops, then one by each other number."""
    batch = to_batch(stored, trained.about.config.network, trained.about.settings, trained.device)
    source = batch.maps()[direction.source]
    own = require_translator(trained).hops
    tiles: list[list[Tile]] = [[] for _ in source]
    for hops in sorted(possible_hops, key=lambda hops: hops != own):
        sampling = SamplingOptions(samples=SAMPLES if hops == own else 1, seed=seed, hops=hops)
        for number, z in enumerate(draw_latents(trained, direction, sampling)):
            caption = f"{kind_label(str(hops))}, z\N{NO-BREAK SPACE}{seed + number}"
            maps = translate_maps(trained, direction, source, z)
            for place, tile in enumerate(_tiles(trained, direction.target, caption, maps, seed + number)):
                tiles[place].append(tile)
    return tiles


def sound_tiles(caption: str, levels: Tensor, settings: FeatureSettings, sampling: SamplingOptions) -> list[Tile]:
    """Return spectrograms (N, M, T), in the unit of the representation, with the sounds reconstructed from them.

    All sounds get one level, the default of `cmcgan generate`.
    """
    (rng,) = make_rngs(sampling)
    waveforms = synthesise(levels, settings, rng).cpu().numpy()
    pictures = draw_spectrograms(scale_spectrograms(levels, settings)[:, None])
    return [
        Tile(caption, picture_uri(picture), sound_uri(set_level(waveform, settings.sample_rate), settings.sample_rate))
        for picture, waveform in zip(pictures, waveforms, strict=True)
    ]


def picture_uri(picture: NDArray[np.uint8]) -> str:
    """Return a picture (H, W, 3) as the data URI of a PNG."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG")
    return data_uri("image/png", content.getvalue())


def sound_uri(waveform: NDArray[np.float32], sample_rate: int) -> str:
    """Return a waveform (L,) as the data URI of a FLAC: half the size of a WAV, and every browser plays it.

    A waveform that exceeds [-1, 1] is scaled down to fit.
    """
    import soundfile

    content = io.BytesIO()
    peak = max(1.0, float(np.abs(waveform).max(initial=0.0)))
    soundfile.write(content, waveform / peak, sample_rate, "PCM_16", format="FLAC")
    return data_uri("audio/flac", content.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """Return content as a data URI, so that a page needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _tiles(trained: Trained, modality: Modality, caption: str, maps: Tensor, seed: int) -> list[Tile]:
    if modality is Modality.AUDIO:
        return sound_tiles(caption, to_levels(trained, maps).cpu(), trained.about.settings, SamplingOptions(seed=seed))
    return [Tile(caption, picture_uri(picture)) for picture in to_pictures(maps)]
