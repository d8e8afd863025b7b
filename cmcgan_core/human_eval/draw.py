"""Real pairs for a study, and the models that generate samples from them.

Real pairs come from a prepared dataset or a folder; generated samples come from a checkpoint or a folder.

A folder of samples holds `NAME.wav` and `NAME.png`, or other sound and picture formats. In a folder of real pairs, the
two files belong together. In a folder of generated samples, `NAME.png` was generated from the sound of pair NAME, and
`NAME.wav` from its picture. NAME is the path below the folder, without the suffix. Its first folder, if any, is the
class.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.data.dataset import PairDataset, open_dataset
from cmcgan_core.errors import CheckpointError, DataError
from cmcgan_core.features.representations import synthesise
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.human_eval.designs import RATED_MODALITIES, RatedModality
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import picture_to_sounds, require_translator, sound_to_pictures
from cmcgan_core.media.files import read_picture, read_sound, require_media, write_picture, write_sound
from cmcgan_core.media.folders import find_media
from cmcgan_core.run_folder import find_checkpoint, find_named
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import error_reason, is_folder
from cmcgan_core.utils.names import MAX_NAME_BYTES, path_below, shorten, to_text

#: Sample rate of all sounds in a study, Hz.
SAMPLE_RATE = FeatureSettings().sample_rate
#: The direction in which a checkpoint generates each modality.
DIRECTIONS: dict[RatedModality, str] = {"picture": "a2v", "sound": "v2a"}

#: A waveform (L,) at `SAMPLE_RATE`.
SoundArray = NDArray[np.float32]
#: An RGB picture (H, W, 3).
PictureArray = NDArray[np.uint8]


@dataclass(frozen=True)
class RealPair:
    """A real sound and the real picture that belongs to it.

    Attributes:
        name: path of the pair without suffix, as "violin/a".
        label: class of the pair, "" if unknown.
        sound: waveform (L,) at `SAMPLE_RATE`.
        picture: RGB picture (H, W, 3).
    """

    name: str
    label: str
    sound: SoundArray
    picture: PictureArray


class RatedModel(Protocol):
    """A model that takes part in a study: it generates pictures from sounds, sounds from pictures, or both."""

    @property
    def origin(self) -> str:
        """Where its samples come from; written to `study.toml`."""

    def available(self, pair_name: str) -> tuple[RatedModality, ...]:
        """Return the modalities that it can generate for a pair."""

    def make_picture(self, pair: RealPair) -> PictureArray:
        """Return a picture (H, W, 3) generated from the pair's sound."""

    def make_sound(self, pair: RealPair) -> SoundArray:
        """Return a waveform (L,) generated from the pair's picture."""


@dataclass(frozen=True)
class RatedCheckpoint:
    """A trained model. Its inputs are exactly the sounds and pictures that raters get.

    Attributes:
        trained: the loaded checkpoint.
        seed: seed of every generated sample.
    """

    trained: Trained
    seed: int

    @property
    def origin(self) -> str:
        """Path of the checkpoint and its training step."""
        return f"{self.trained.path}, step {self.trained.about.step}"

    def available(self, pair_name: str) -> tuple[RatedModality, ...]:
        """Return the modalities that the checkpoint was trained to generate; the same for every pair."""
        trained_directions = require_translator(self.trained).directions
        return tuple(modality for modality in RATED_MODALITIES if DIRECTIONS[modality] in trained_directions)

    def make_picture(self, pair: RealPair) -> PictureArray:
        """Return one picture for the pair's sound.

        Raises:
            DataError: the sound's length differs by more than a tenth from the length that the model was trained on.
        """
        length = self.trained.about.settings.samples
        if abs(len(pair.sound) - length) > length // 10:
            raise DataError(
                f"the sound of {pair.name} lasts {len(pair.sound) / SAMPLE_RATE:.2f} s, but {self.trained.path} takes "
                f"{length / SAMPLE_RATE:g} s; cut the sounds, or write pairs of the right length with: "
                "cmcgan human-eval inputs DATA"
            )
        waveform = np.zeros(length, dtype=np.float32)
        waveform[: len(pair.sound)] = pair.sound[:length]
        picture: PictureArray = sound_to_pictures(
            self.trained, torch.from_numpy(waveform), SamplingOptions(seed=self.seed)
        )[0]
        return picture

    def make_sound(self, pair: RealPair) -> SoundArray:
        """Return one waveform for the pair's picture."""
        waveforms, _ = picture_to_sounds(self.trained, pair.picture, SamplingOptions(seed=self.seed))
        waveform: SoundArray = waveforms[0].numpy().astype(np.float32)
        return waveform


@dataclass(frozen=True)
class RatedFolder:
    """A folder of samples that another program generated.

    Attributes:
        root: the folder.
        files: files of the generated sound and picture of each pair, by pair name.
    """

    root: Path
    files: dict[str, dict[str, Path]]

    @property
    def origin(self) -> str:
        """Path of the folder."""
        return str(self.root)

    def available(self, pair_name: str) -> tuple[RatedModality, ...]:
        """Return the modalities for which the folder holds a file of this pair."""
        return tuple(modality for modality in RATED_MODALITIES if modality in self.files.get(pair_name, {}))

    def make_picture(self, pair: RealPair) -> PictureArray:
        """Read the picture of the pair, unchanged."""
        return read_picture(self.files[pair.name]["picture"])

    def make_sound(self, pair: RealPair) -> SoundArray:
        """Read the sound of the pair, as mono at `SAMPLE_RATE`."""
        return read_sound(self.files[pair.name]["sound"], SAMPLE_RATE)


def open_rated_model(path: Path, seed: int, device: str = "auto") -> RatedModel:
    """Open a model for a study.

    Args:
        path: a run folder or its name in `runs/`, a checkpoint, a folder of generated samples, or "box" for the model
            that ships with cmcgan.
        seed: seed of the samples that a checkpoint generates.
        device: name of the device that a checkpoint runs on.

    Raises:
        CheckpointError, DataError: the path is none of these, or it cannot be read.
    """
    is_shipped_model = path == Path("box")
    path = find_named(path)
    if is_shipped_model or path.is_file() or (path / "last.safetensors").exists():
        trained = load_checkpoint(find_checkpoint(path), choose_device(device))
        require_translator(trained)
        if trained.about.settings.sample_rate != SAMPLE_RATE:
            raise CheckpointError(
                f"{trained.path} was trained on sound at {trained.about.settings.sample_rate} Hz, but a study needs "
                f"{SAMPLE_RATE} Hz; give a folder of its samples instead: --model NAME=FOLDER"
            )
        return RatedCheckpoint(trained, seed)
    return RatedFolder(path, _find_samples(path))


def draw_pairs(source: Path, count: int, seed: int, split: str = "test") -> list[RealPair]:
    """Draw real pairs at random, evenly over the classes.

    Args:
        source: a prepared dataset, or a folder of real pairs.
        count: number of pairs. If the source holds fewer, all of them are returned.
        seed: seed of the draw.
        split: the split of a prepared dataset; ignored for a folder.

    Raises:
        DataError: the source holds no pairs, or it cannot be read.
    """
    if (source / "dataset.toml").exists():
        return list(_draw_from_dataset(open_dataset(source).nonempty_split(split), count, seed))
    complete = {name: files for name, files in _find_samples(source).items() if len(files) == len(RATED_MODALITIES)}
    if not complete:
        raise DataError(
            f"{source} holds no pairs. A pair is a sound and a picture with the same name, such as violin/a.wav and "
            "violin/a.png. Add pairs, or give a prepared dataset (made by: cmcgan prepare)"
        )
    names = sorted(complete)
    labels = [_label(name) for name in names]
    return [
        RealPair(
            names[i],
            labels[i],
            read_sound(complete[names[i]]["sound"], SAMPLE_RATE),
            read_picture(complete[names[i]]["picture"]),
        )
        for i in draw_evenly(labels, count, seed)
    ]


def draw_evenly(labels: list[str], count: int, seed: int) -> list[int]:
    """Draw positions round-robin over the classes, in random order within each class.

    Args:
        labels: class of each position.
        count: number of positions. If there are fewer labels, all positions are returned.
        seed: seed of the draw.
    """
    rng = np.random.default_rng(seed)
    classes: dict[str, list[int]] = defaultdict(list)
    for position in rng.permutation(len(labels)):
        classes[labels[position]].append(int(position))
    turns = [(turn, label, position) for label, positions in classes.items() for turn, position in enumerate(positions)]
    return [position for _, _, position in sorted(turns)[:count]]


def write_pairs(pairs: list[RealPair], out: Path) -> None:
    """Write pairs as a folder of real pairs, under their own names. A name that is too long is shortened.

    Raises:
        DataError: the name of a pair has a part that no folder can have, such as "..".
        MediaError: a file cannot be written.
    """
    for pair in pairs:
        *parts, name = pair.name.split("/")
        folder = out
        for part in parts:
            folder = path_below(folder, part)
        files = (shorten(folder / f"{name}{suffix}").name for suffix in (".wav", ".png"))
        sound, picture = (path_below(folder, file, MAX_NAME_BYTES) for file in files)
        write_sound(sound, pair.sound, SAMPLE_RATE)
        write_picture(picture, pair.picture)


def _draw_from_dataset(dataset: PairDataset, count: int, seed: int) -> Iterator[RealPair]:
    """Draw pairs from a prepared dataset. It stores spectrograms, so waveforms are synthesised from them."""
    if dataset.settings.sample_rate != SAMPLE_RATE:
        raise DataError(
            f"{dataset.root} holds sound at {dataset.settings.sample_rate} Hz, but a study needs {SAMPLE_RATE} Hz; "
            "give a folder of real pairs instead"
        )
    for position in draw_evenly([pair.label for pair in dataset.pairs], count, seed):
        stored = dataset.read([position])
        rng = torch.Generator().manual_seed(seed)
        sound = synthesise(stored.spectrograms.float(), dataset.settings, rng)[0].numpy()
        about = dataset.pairs[position]
        yield RealPair(f"{about.label}/{about.id}", about.label, sound.astype(np.float32), stored.pictures[0].numpy())


def _find_samples(root: Path) -> dict[str, dict[str, Path]]:
    """Return the sound and picture files below a folder, by sample name and modality."""
    if not is_folder(root):
        raise DataError(
            f"{root} is not a folder; give a run, a checkpoint (.safetensors), a prepared dataset, or a folder of "
            "samples"
        )
    samples: dict[str, dict[str, Path]] = defaultdict(dict)
    for file in find_media(root, _refuse_folder):
        kind = require_media(file)
        if kind in RATED_MODALITIES:
            # Names are stored in a database, which takes text only.
            name = to_text(file.relative_to(root).with_suffix("").as_posix())
            if kind in samples[name]:
                raise DataError(f"{samples[name][kind]} and {file} have the same name; remove or rename one of them")
            samples[name][kind] = file
    if not samples:
        raise DataError(f"{root} holds neither a run (last.safetensors) nor samples (NAME.wav, NAME.png)")
    return dict(samples)


def _refuse_folder(error: OSError) -> None:
    """Raise a `DataError` for a folder that cannot be read."""
    raise DataError(f"{error.filename}: the folder cannot be read ({error_reason(error)})") from error


def _label(name: str) -> str:
    """Return the class in a pair's name: its first folder, or "" without one."""
    return name.partition("/")[0] if "/" in name else ""
