"""A sound to pictures, a picture to sounds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core import figures
from cmcgan_core.checkpoint import Trained
from cmcgan_core.data import features, media
from cmcgan_core.errors import CheckpointError, ConfigError, MediaError
from cmcgan_core.methods import Translator


@dataclass(frozen=True)
class Choices:
    """What a user may choose of a generation.

    Attributes:
        samples: how many to make of one input, each with latents of its own.
        seed: of latents and of Griffin-Lim's first phases; sample i has seed + i.
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
    waveforms = [
        features.synthesise(one[None], settings, generator)
        for one, generator in zip(levels, _generators(choices), strict=True)
    ]
    return torch.cat(waveforms), levels


def translate(trained: Trained, direction: str, source: Tensor, choices: Choices) -> Tensor:
    """Maps (B, C, H, W) of one modality to `samples` times as many (samples * B, C', H', W') of the other.

    First all of the first sample.

    Raises:
        CheckpointError: the model does not go in that direction.
    """
    network = translator(trained, direction)
    if choices.hops not in (None, *network.possible_hops):
        raise CheckpointError(f"{trained.path} cannot take {choices.hops} hops; leave the number to the model")
    latents = (network.draw(len(source), generator, choices.hops) for generator in _generators(choices))
    with torch.inference_mode():
        made = [network.translate(direction, source, z) for z in latents]
    return torch.cat(made)


def _generators(choices: Choices) -> list[torch.Generator]:
    """One for each sample: the i-th of seed s equals the first of seed s + i, however many are made."""
    return [torch.Generator().manual_seed(choices.seed + i) for i in range(choices.samples)]


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
    network = trained.about.config.network
    size = network.lms_size if maps.shape[1] == 1 else (network.picture_size,) * 2
    return features.resize(maps, size).to(next(trained.inference.parameters()).device)


def read_chunk(path: Path, settings: features.FeatureSettings, at: float | None) -> Tensor:
    """Half a second of a sound file (L,), at a time or where it is loudest; silence fills what is missing.

    Raises:
        MediaError: it cannot be read, or ends before `at`.
    """
    waveform = torch.from_numpy(media.read_sound(path, settings.sample_rate))
    if at is not None:
        seconds = len(waveform) / settings.sample_rate
        if not 0 <= at < seconds:
            raise MediaError(
                f"{path} lasts {seconds:.2f} s, so there is nothing to hear at {at:g} s; choose another --at"
            )
        start = int(at * settings.sample_rate)
    else:
        hop = settings.samples // 5
        energy = waveform.double().square().unfold(0, min(len(waveform), settings.samples), hop).sum(dim=1)
        start = int(energy.argmax()) * hop
    chunk = waveform[start : start + settings.samples]
    return torch.nn.functional.pad(chunk, (0, settings.samples - len(chunk)))


def plan_outputs(source: Path, out: Path, samples: int) -> tuple[str, list[tuple[Path, ...]]]:
    """The direction that a file asks for, and the files that each sample becomes.

    Args:
        source: what `media.media_kind` calls a sound or a picture.
        out: a folder, or the name of the one file to make (numbered if there are several samples).
        samples: how many.

    Raises:
        MediaError: the source is neither, or the name does not fit what is made of it, or is the source's own.
    """
    kind = media.media_kind(source)
    if kind not in ("sound", "picture"):
        raise MediaError(f"{source} is neither a sound nor a picture that is known; give a wav, flac, mp3, png or jpg")
    direction, suffixes = ("a2v", (".png",)) if kind == "sound" else ("v2a", (".wav", ".lms.png"))
    if out.suffix in (".png", ".wav") and out.suffix != suffixes[0] and not out.is_dir():
        raise MediaError(f"{source} becomes a {suffixes[0]} file, so it cannot become {out}")
    first = out if out.suffix == suffixes[0] and not out.is_dir() else out / f"{source.stem}{suffixes[0]}"
    numbered = [first if samples == 1 else first.with_stem(f"{first.stem}-{i + 1}") for i in range(samples)]
    outputs = [tuple(name.with_suffix(suffix) for suffix in suffixes) for name in numbered]
    if source.resolve() in (path.resolve() for paths in outputs for path in paths):
        raise MediaError(f"{source} would be replaced by what is made of it; choose another --out")
    return direction, outputs


def refuse_collisions(sources: Sequence[Path], out: Path, samples: int) -> None:
    """Make sure that no result takes the place of another, or of an input.

    Raises:
        ConfigError: two inputs would become the same file, or one would become another.
    """
    inputs = {source.resolve(): source for source in sources}
    taken: dict[Path, Path] = {}
    for source in sources:
        try:
            _, outputs = plan_outputs(source, out, samples)
        except MediaError:
            continue  # it makes nothing; `generate_file` says so
        for path in (path.resolve() for paths in outputs for path in paths):
            if path in inputs:
                raise ConfigError(f"{source} would become {path.name}, which is an input too; choose another --out")
            if taken.setdefault(path, source) != source:
                raise ConfigError(f"{taken[path]} and {source} would both become {path.name}; make them one by "
                                  "one, each with an --out of its own")  # fmt: skip


def generate_file(trained: Trained, source: Path, out: Path, choices: Choices) -> Generated:
    """Turn one sound file into PNGs, or one picture file into WAVs with their spectrograms as PNGs.

    Outputs that exist are left as they are, unless `choices.overwrite`.

    Raises:
        MediaError: the source cannot be read, or see `plan_outputs`.
    """
    started = time.monotonic()
    direction, outputs = plan_outputs(source, out, choices.samples)
    paths = tuple(path for paths in outputs for path in paths)
    if not source.exists():
        raise MediaError(f"{source} does not exist")
    if not choices.overwrite and all(path.exists() for path in paths):
        return Generated(source, paths, direction, choices.seed, 0.0, skipped=True)
    made = _pictures(trained, source, choices) if direction == "a2v" else _sounds(trained, source, choices)
    for targets, writers in zip(outputs, made, strict=True):
        for target, write in zip(targets, writers, strict=True):
            if choices.overwrite or not target.exists():
                write(target)
    return Generated(source, paths, direction, choices.seed, round(time.monotonic() - started, 3))


#: Writes one output under a name.
Writer = Callable[[Path], None]


def _pictures(trained: Trained, source: Path, choices: Choices) -> list[tuple[Writer, ...]]:
    chunk = read_chunk(source, trained.about.settings, choices.at)
    pictures = sound_to_pictures(trained, chunk, choices)
    return [(partial(media.write_picture, picture=picture),) for picture in pictures]


def _sounds(trained: Trained, source: Path, choices: Choices) -> list[tuple[Writer, ...]]:
    settings = trained.about.settings
    waveforms, levels = picture_to_sounds(trained, media.read_picture(source, settings.picture_size), choices)
    drawn = figures.spectrogram_pictures(features.scale_levels(levels, settings)[:, None], enlarge=3)
    return [
        (
            partial(media.write_sound, waveform=waveform.numpy(), sample_rate=settings.sample_rate),
            partial(media.write_picture, picture=spectrogram),
        )
        for waveform, spectrogram in zip(waveforms, drawn, strict=True)
    ]
