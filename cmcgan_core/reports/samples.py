"""Held-out pairs, and what runs make of them, for a page: pictures, spectrograms and sounds as data URIs.

Nobody chose the pairs: they are the middle ones of the first recording of each class in the split.
"""

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.data.dataset import Pair, PairDataset, StoredPairs
from cmcgan_core.data.loader import to_batch
from cmcgan_core.evaluation.compare import Entry
from cmcgan_core.evaluation.outputs import TABLE_NAMES
from cmcgan_core.features.figures import draw_spectrograms
from cmcgan_core.features.representations import synthesise
from cmcgan_core.features.scaling import scale_spectrograms
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.translate import (
    SamplingOptions,
    draw_latents,
    make_rngs,
    require_translator,
    to_levels,
    to_pictures,
    translate_maps,
)
from cmcgan_core.media.files import write_picture, write_sound
from cmcgan_core.utils.device import choose_device

#: Classes that are shown, at most.
MOST = 8
#: Latents of a run's own output; of other numbers of hops there is one.
SAMPLES = 3
#: Numbers of hops in words.
HOPS = {"1": "direct", "2": "two hops"}


@dataclass(frozen=True)
class Tile:
    """A picture, or a sound and its spectrogram, as data URIs; `sound` is "" of a picture."""

    caption: str
    picture: str
    sound: str = ""


@dataclass(frozen=True)
class Example:
    """A pair, and what was made of it.

    Attributes:
        pair: of the index.
        picture: the real one.
        sound: the real one, as it is heard through its spectrogram.
        made: by direction ("a2v", "v2a"), then by the run's name.
    """

    pair: Pair
    picture: Tile
    sound: Tile
    made: dict[str, dict[str, list[Tile]]]


def make_examples(entries: Sequence[Entry], data: Path, *, seed: int = 0, device: str = "auto") -> list[Example]:
    """Pairs of the split that runs were evaluated on, a class each, and what every run makes of them.

    Args:
        entries: the runs.
        data: prepared dataset.
        seed: of the first latents, as in `cmcgan generate --seed`.
        device: see `choose_device`.
    """
    dataset = PairDataset(data, entries[0].evaluation.split)
    items = typical(dataset)
    stored = dataset.read(items)
    real_pictures = [Tile("real picture", picture_uri(picture)) for picture in stored.pictures.numpy()]
    real_sounds = sound_tiles("real sound", stored.levels.float(), dataset.settings, SamplingOptions(seed=seed))
    made: dict[str, dict[str, list[list[Tile]]]] = {}
    for entry in entries:
        trained, table = load_checkpoint(entry.path, choose_device(device)), entry.evaluation.table1
        for direction in (direction for direction, name in TABLE_NAMES.items() if name in table):
            hops = [int(number) for number in table[TABLE_NAMES[direction]]]
            tiles = translated(trained, direction, hops, stored, dataset.settings, seed)
            made.setdefault(direction, {})[entry.name] = tiles
    return [
        Example(
            dataset.pairs[item],
            real_pictures[place],
            real_sounds[place],
            {direction: {name: of[place] for name, of in by_run.items()} for direction, by_run in made.items()},
        )
        for place, item in enumerate(items)
    ]


def typical(dataset: PairDataset) -> list[int]:
    """Position of the middle pair of the first recording of each class, of `MOST` classes spread evenly."""
    recordings: dict[str, dict[str, list[int]]] = {}
    for item, pair in enumerate(dataset.pairs):
        recordings.setdefault(pair.label, {}).setdefault(pair.recording, []).append(item)
    firsts = [next(iter(recordings[label].values())) for label in dataset.classes if label in recordings]
    shown = np.linspace(0, len(firsts) - 1, min(MOST, len(firsts))).round().astype(int)
    return [firsts[place][len(firsts[place]) // 2] for place in shown.tolist()]


def translated(
    trained: Trained, direction: str, possible: Sequence[int], stored: StoredPairs, settings: FeatureSettings, seed: int
) -> list[list[Tile]]:
    """Tiles of each pair: several latents of the run's own number of hops, then one of each other possible one."""
    batch = to_batch(stored, trained.about.config.network, settings, next(trained.network.parameters()).device)
    source = batch.audio if direction == "a2v" else batch.visual
    own = require_translator(trained).hops
    tiles: list[list[Tile]] = [[] for _ in source]
    for hops in sorted(possible, key=lambda hops: hops != own):
        sampling = SamplingOptions(samples=SAMPLES if hops == own else 1, seed=seed, hops=hops)
        for number, z in enumerate(draw_latents(trained, direction, sampling)):
            caption = f"{HOPS[str(hops)]}, z\N{NO-BREAK SPACE}{seed + number}"
            of_each = _tiles(trained, caption, translate_maps(trained, direction, source, z), seed + number)
            for place, tile in enumerate(of_each):
                tiles[place].append(tile)
    return tiles


def sound_tiles(caption: str, levels: Tensor, settings: FeatureSettings, sampling: SamplingOptions) -> list[Tile]:
    """Levels (N, M, T) in decibels as spectrograms with the sound that is made from them."""
    (rng,) = make_rngs(sampling)
    waveforms = synthesise(levels, settings, rng).cpu().numpy()
    drawn = draw_spectrograms(scale_spectrograms(levels, settings)[:, None])
    return [
        Tile(caption, picture_uri(picture), sound_uri(waveform, settings.sample_rate))
        for picture, waveform in zip(drawn, waveforms, strict=True)
    ]


def picture_uri(picture: NDArray[np.uint8]) -> str:
    """A picture (H, W, 3) as a PNG inside its address."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.png"
        write_picture(file, picture)
        return data_uri("image/png", file.read_bytes())


def sound_uri(waveform: NDArray[np.float32], sample_rate: int) -> str:
    """A waveform (L,) as FLAC inside its address: half as large as WAV, and every browser plays it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sound.flac"
        write_sound(file, waveform, sample_rate)
        return data_uri("audio/flac", file.read_bytes())


def data_uri(kind: str, content: bytes) -> str:
    """Content inside its own address, so that a page needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _tiles(trained: Trained, caption: str, made: Tensor, seed: int) -> list[Tile]:
    if made.shape[1] == 1:
        return sound_tiles(caption, to_levels(trained, made).cpu(), trained.about.settings, SamplingOptions(seed=seed))
    return [Tile(caption, picture_uri(picture)) for picture in to_pictures(made)]
