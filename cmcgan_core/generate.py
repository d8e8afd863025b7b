"""A sound to pictures, a picture to sounds."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core import figures
from cmcgan_core.checkpoint import Trained
from cmcgan_core.data import features, media
from cmcgan_core.errors import CheckpointError, MediaError
from cmcgan_core.methods import Translator

#: What `--to` calls each direction.
DIRECTIONS = {"visual": "a2v", "audio": "v2a"}


@dataclass(frozen=True)
class Choices:
    """What a user may choose of a generation.

    Attributes:
        samples: how many to make of one input, each with latents of its own.
        seed: of latents and of Griffin-Lim's first phases.
        hops: see `methods.cmcgan.Options.hops`; None is the checkpoint's own.
        at: where in a sound to listen, seconds; None is its loudest half second.
        overwrite: replace outputs that exist.
    """

    samples: int = 1
    seed: int = 0
    hops: int | None = None
    at: float | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Generated:
    """What became of one input; `skipped` where all its outputs existed already."""

    input: Path
    outputs: tuple[Path, ...]
    direction: str
    seed: int
    seconds: float
    skipped: bool = False


def sound_to_pictures(trained: Trained, waveform: Tensor, choices: Choices) -> NDArray[np.uint8]:
    """Half a second of sound (L,) in [-1, 1] to pictures (samples, S, S, 3)."""
    levels = features.analyse(waveform, trained.about.settings)
    scaled = features.scale_levels(levels, trained.about.settings)[None, None]
    visual = translate(trained, "a2v", to_network(trained, scaled), choices)
    return features.unscale_pictures(visual.cpu()).numpy()


def picture_to_sounds(trained: Trained, picture: NDArray[np.uint8], choices: Choices) -> tuple[Tensor, Tensor]:
    """A picture (H, W, 3) to half-second waveforms (samples, L) and their levels (samples, M, T) in decibels."""
    settings = trained.about.settings
    visual = features.scale_pictures(torch.from_numpy(picture.copy())[None])
    scaled = translate(trained, "v2a", to_network(trained, visual), choices).cpu()
    scaled = features.resize(scaled, (settings.n_mels, settings.frames))
    levels = features.unscale_levels(scaled[:, 0], settings)
    return features.synthesise(levels, settings, torch.Generator().manual_seed(choices.seed)), levels


def translate(trained: Trained, direction: str, source: Tensor, choices: Choices) -> Tensor:
    """Maps (1, C, H, W) of one modality to `samples` maps (samples, C', H', W') of the other.

    Raises:
        CheckpointError: the model does not go in that direction.
    """
    network = translator(trained, direction)
    generator = torch.Generator().manual_seed(choices.seed)
    with torch.inference_mode():
        many = source.expand(choices.samples, -1, -1, -1)
        return network.translate(direction, many, generator, choices.hops)


def translator(trained: Trained, *directions: str) -> Translator:
    """The network of a checkpoint as one that goes in these directions.

    Raises:
        CheckpointError: it does not.
    """
    network = trained.inference
    if not isinstance(network, Translator):
        raise CheckpointError(f"{trained.path} holds a {trained.about.config.method}, which generates nothing; "
                              "name a generating run with --checkpoint")  # fmt: skip
    if lacking := set(directions) - set(network.directions):
        raise CheckpointError(f"{trained.path} does {' and '.join(network.directions)}, not {' and '.join(lacking)}; "
                              "name another run with --checkpoint")  # fmt: skip
    return network


def to_network(trained: Trained, maps: Tensor) -> Tensor:
    """Maps in [-1, 1] (B, C, H, W) of any size, at the size that the network sees, on its device."""
    network, settings = trained.about.config.network, trained.about.settings
    size = (settings.n_mels, network.lms_frames) if maps.shape[1] == 1 else (network.picture_size,) * 2
    return features.resize(maps, size).to(next(trained.inference.parameters()).device)


def read_chunk(path: Path, settings: features.FeatureSettings, at: float | None) -> Tensor:
    """Half a second of a sound file (L,), at a time or where it is loudest; silence fills what is missing.

    Raises:
        MediaError: it cannot be read, or ends before `at`.
    """
    waveform = torch.from_numpy(media.read_sound(path, settings.sample_rate))
    if at is not None:
        start = round(at * settings.sample_rate)
        if not 0 <= start < len(waveform):
            seconds = len(waveform) / settings.sample_rate
            raise MediaError(
                f"{path} lasts {seconds:.2f} s, so there is nothing to hear at {at:g} s; choose another --at"
            )
    else:
        hop = settings.samples // 5
        energy = waveform.double().square().unfold(0, min(len(waveform), settings.samples), hop).sum(dim=1)
        start = int(energy.argmax()) * hop
    chunk = waveform[start : start + settings.samples]
    return torch.nn.functional.pad(chunk, (0, settings.samples - len(chunk)))


def generate_file(trained: Trained, source: Path, out: Path, choices: Choices) -> Generated:
    """Turn one sound file into PNGs, or one picture file into WAVs with their spectrograms as PNGs.

    Args:
        trained: a generating model.
        source: what `media.media_kind` calls a sound or a picture.
        out: a folder, or the name of the one file to make.
        choices: how.

    Raises:
        MediaError: the source cannot be read, or is neither.
    """
    started = time.monotonic()
    kind = media.media_kind(source)
    if kind not in ("sound", "picture"):
        raise MediaError(
            f"{source} is neither a sound nor a picture that cmcgan knows; give a wav, flac, mp3, png or jpg"
        )
    if not source.exists():
        raise MediaError(f"{source} does not exist")
    direction, suffix = ("a2v", ".png") if kind == "sound" else ("v2a", ".wav")
    targets = _targets(source, out, suffix, choices.samples)
    if not choices.overwrite and all(target.exists() for target in targets):
        return Generated(source, tuple(targets), direction, choices.seed, 0.0, skipped=True)
    if kind == "sound":
        outputs = list(_write_pictures(trained, source, targets, choices))
    else:
        outputs = list(_write_sounds(trained, source, targets, choices))
    return Generated(source, tuple(outputs), direction, choices.seed, round(time.monotonic() - started, 3))


def _write_pictures(trained: Trained, source: Path, targets: list[Path], choices: Choices) -> Iterator[Path]:
    chunk = read_chunk(source, trained.about.settings, choices.at)
    for target, picture in zip(targets, sound_to_pictures(trained, chunk, choices), strict=True):
        media.write_picture(target, picture)
        yield target


def _write_sounds(trained: Trained, source: Path, targets: list[Path], choices: Choices) -> Iterator[Path]:
    settings = trained.about.settings
    waveforms, levels = picture_to_sounds(trained, media.read_picture(source), choices)
    spectrograms = figures.spectrogram_pictures(features.scale_levels(levels, settings)[:, None], enlarge=3)
    for target, waveform, spectrogram in zip(targets, waveforms, spectrograms, strict=True):
        media.write_sound(target, waveform.numpy(), settings.sample_rate)
        drawn = target.with_suffix(".lms.png")
        media.write_picture(drawn, spectrogram)
        yield from (target, drawn)


def _targets(source: Path, out: Path, suffix: str, samples: int) -> list[Path]:
    """Names of the outputs: `out` itself or `out/<name of the source>`, numbered if there are several."""
    first = out if out.suffix == suffix else out / f"{source.stem}{suffix}"
    if samples == 1:
        return [first]
    return [first.with_stem(f"{first.stem}-{i + 1}") for i in range(samples)]
