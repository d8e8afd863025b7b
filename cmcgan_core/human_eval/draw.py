"""Real pairs, drawn from a prepared dataset or read from a folder, and what each model makes of them.

A folder of samples holds `NAME.wav` and `NAME.png` (or other sound and picture formats). Of real pairs, the two belong
together; of a model, the picture was made from NAME's sound and the sound from NAME's picture. NAME is the path below
the folder without its suffix; a folder in it is taken for the class.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from cmcgan_core.checkpoint import Trained, find_checkpoint, load_checkpoint
from cmcgan_core.data.dataset import PairDataset, open_dataset
from cmcgan_core.errors import CheckpointError, DataError
from cmcgan_core.features.representations import synthesise
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.human_eval.designs import MODALITIES, Modality
from cmcgan_core.inference.translate import SamplingOptions, picture_to_sounds, require_translator, sound_to_pictures
from cmcgan_core.media.files import media_kind, read_picture, read_sound, write_picture, write_sound
from cmcgan_core.utils.device import choose_device

#: Hz, of all sounds in a study.
SAMPLE_RATE = FeatureSettings().sample_rate

Sound = NDArray[np.float32]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """A real sound (L,) at `SAMPLE_RATE` and the picture (H, W, 3) that belongs to it."""

    name: str
    label: str
    sound: Sound
    picture: Picture


class Maker(Protocol):
    """Who takes part: makes a picture from a pair's sound, or a sound from its picture."""

    @property
    def origin(self) -> str:
        """Where its samples come from, for `study.toml`."""

    def makes(self, pair: str) -> tuple[Modality, ...]:
        """What it can make of a pair."""

    def picture(self, pair: Pair) -> Picture:
        """A picture (H, W, 3) from the pair's sound."""

    def sound(self, pair: Pair) -> Sound:
        """A waveform (L,) from the pair's picture."""


@dataclass(frozen=True)
class CheckpointMaker:
    """A trained model; it is given what the raters hear and see."""

    trained: Trained
    seed: int

    @property
    def origin(self) -> str:
        """The checkpoint, and how far it was trained."""
        return f"{self.trained.path}, step {self.trained.about.step}"

    def makes(self, pair: str) -> tuple[Modality, ...]:
        """As its directions say."""
        directions = require_translator(self.trained).directions
        return tuple(m for m in MODALITIES if {"picture": "a2v", "sound": "v2a"}[m] in directions)

    def picture(self, pair: Pair) -> Picture:
        """One sample, with the study's seed."""
        wanted = self.trained.about.settings.samples
        if abs(len(pair.sound) - wanted) > wanted // 10:
            raise DataError(
                f"{pair.name} lasts {len(pair.sound) / SAMPLE_RATE:.2f} s, but {self.trained.path} listens "
                f"to {wanted / SAMPLE_RATE:g} s; cut the sounds, or draw pairs with: "
                "cmcgan human-eval inputs DATA"
            )
        waveform = np.zeros(wanted, dtype=np.float32)
        waveform[: len(pair.sound)] = pair.sound[:wanted]
        made: Picture = sound_to_pictures(self.trained, torch.from_numpy(waveform), SamplingOptions(seed=self.seed))[0]
        return made

    def sound(self, pair: Pair) -> Sound:
        """One sample, with the study's seed."""
        waveforms, _ = picture_to_sounds(self.trained, pair.picture, SamplingOptions(seed=self.seed))
        made: Sound = waveforms[0].numpy().astype(np.float32)
        return made


@dataclass(frozen=True)
class FolderMaker:
    """Samples that were made elsewhere."""

    root: Path
    files: dict[str, dict[str, Path]]

    @property
    def origin(self) -> str:
        """The folder."""
        return str(self.root)

    def makes(self, pair: str) -> tuple[Modality, ...]:
        """What lies there for it."""
        return tuple(m for m in MODALITIES if m in self.files.get(pair, {}))

    def picture(self, pair: Pair) -> Picture:
        """As it is in its file."""
        return read_picture(self.files[pair.name]["picture"])

    def sound(self, pair: Pair) -> Sound:
        """As it is in its file, mono and resampled."""
        return read_sound(self.files[pair.name]["sound"], SAMPLE_RATE)


def open_maker(path: Path, seed: int, device: str = "auto") -> Maker:
    """A model by its run folder, its checkpoint, "box" for the one that ships with cmcgan, or a folder of its samples.

    Raises:
        CheckpointError, DataError: it is none of those, or cannot be read.
    """
    in_the_box = path == Path("box") and not path.exists()
    if in_the_box or path.is_file() or (path / "last.safetensors").exists():
        trained = load_checkpoint(find_checkpoint(path), choose_device(device))
        require_translator(trained)
        if trained.about.settings.sample_rate != SAMPLE_RATE:
            raise CheckpointError(
                f"{trained.path} was trained on sound at {trained.about.settings.sample_rate} Hz; "
                f"a study needs {SAMPLE_RATE} Hz; give a folder of its samples instead"
            )
        return CheckpointMaker(trained, seed)
    return FolderMaker(path, _samples(path))


def draw_pairs(source: Path, count: int, seed: int, split: str = "test") -> list[Pair]:
    """Real pairs, drawn by the seed, evenly over the classes.

    Args:
        source: a prepared dataset, or a folder of real pairs.
        count: how many; all, where there are fewer.
        seed: of the draw.
        split: of the prepared dataset.

    Raises:
        DataError: there are none, or the source cannot be read.
    """
    if (source / "dataset.toml").exists():
        return list(_draw_from_dataset(open_dataset(source).nonempty_split(split), count, seed))
    found = {name: files for name, files in _samples(source).items() if len(files) == len(MODALITIES)}
    if not found:
        raise DataError(
            f"{source} holds no pairs: a sound and a picture of one name, as violin/a.wav and "
            "violin/a.png; or give a prepared dataset (made by: cmcgan prepare)"
        )
    names = sorted(found)
    labels = [_label(name) for name in names]
    return [
        Pair(
            names[i],
            labels[i],
            read_sound(found[names[i]]["sound"], SAMPLE_RATE),
            read_picture(found[names[i]]["picture"]),
        )
        for i in draw_evenly(labels, count, seed)
    ]


def draw_evenly(labels: list[str], count: int, seed: int) -> list[int]:
    """Positions drawn class by class in turn, each class in random order."""
    rng = np.random.default_rng(seed)
    classes: dict[str, list[int]] = defaultdict(list)
    for place in rng.permutation(len(labels)):
        classes[labels[place]].append(int(place))
    turns = [(turn, label, place) for label, places in classes.items() for turn, place in enumerate(places)]
    return [place for _, _, place in sorted(turns)[:count]]


def write_pairs(pairs: list[Pair], out: Path) -> None:
    """Write pairs as a folder of real pairs, by class."""
    for pair in pairs:
        stem = out / pair.label / pair.name.rpartition("/")[2]
        write_sound(stem.with_name(f"{stem.name}.wav"), pair.sound, SAMPLE_RATE)
        write_picture(stem.with_name(f"{stem.name}.png"), pair.picture)


def _draw_from_dataset(dataset: PairDataset, count: int, seed: int) -> Iterator[Pair]:
    if dataset.settings.sample_rate != SAMPLE_RATE:
        raise DataError(
            f"{dataset.root} holds sound at {dataset.settings.sample_rate} Hz; a study needs {SAMPLE_RATE} "
            "Hz; give a folder of pairs instead"
        )
    for place in draw_evenly([pair.label for pair in dataset.pairs], count, seed):
        stored = dataset.read([place])
        rng = torch.Generator().manual_seed(seed)
        sound = synthesise(stored.spectrograms.float(), dataset.settings, rng)[0].numpy()
        about = dataset.pairs[place]
        yield Pair(f"{about.label}/{about.id}", about.label, sound.astype(np.float32), stored.pictures[0].numpy())


def _samples(root: Path) -> dict[str, dict[str, Path]]:
    """The sound and the picture of each name below a folder."""
    if not root.is_dir():
        raise DataError(f"{root} does not exist; give a run, a checkpoint (.safetensors) or a folder of samples")
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for file in sorted(root.rglob("*")):
        kind = media_kind(file)
        if kind in MODALITIES and not file.name.endswith(".lms.png"):
            name = file.relative_to(root).with_suffix("").as_posix()
            if kind in found[name]:
                raise DataError(f"{found[name][kind]} and {file} have one name; keep one of them")
            found[name][kind] = file
    if not found:
        raise DataError(f"{root} holds neither a run (last.safetensors) nor samples (NAME.wav, NAME.png)")
    return dict(found)


def _label(name: str) -> str:
    return name.partition("/")[0] if "/" in name else ""
