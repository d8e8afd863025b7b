"""Half a second of sound to pictures, a picture to half seconds of sound: what everything that generates is made of.

Shapes: N items, K samples of each, H subnetworks in a row, Z size of a latent, L samples of half a second, (M, T) mel
bands and frames.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.errors import CheckpointError, ConfigError, MediaError
from cmcgan_core.features.representations import analyse, synthesise
from cmcgan_core.features.scaling import (
    resize,
    scale_pictures,
    scale_spectrograms,
    unscale_pictures,
    unscale_spectrograms,
)
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.windows import open_windows
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.capabilities import Translator


@dataclass(frozen=True)
class SamplingOptions:
    """What a user may choose of what is generated.

    Attributes:
        samples: how many to make of one input, each with latents of its own.
        seed: of latents and of Griffin-Lim's first phases; sample i has seed + i.
        hops: see `methods.cmcgan.Options.hops`; None is the checkpoint's own.
        at: where in a sound to listen, seconds; None is its loudest half second.

    Raises:
        ConfigError: a number that nothing can be made of.
    """

    samples: int = 1
    seed: int = 0
    hops: int | None = None
    at: float | None = None

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ConfigError(f"samples cannot be {self.samples}; take 1 or more")
        if self.hops not in (None, 1, 2):
            raise ConfigError(f"hops cannot be {self.hops}; take 1 or 2")


def sound_to_pictures(trained: Trained, waveform: Tensor, sampling: SamplingOptions) -> NDArray[np.uint8]:
    """Half a second of sound (L,) in [-1, 1] to pictures (K, S, S, 3)."""
    heard = waveforms_to_input(trained, waveform[None])
    return np.concatenate(
        [
            to_pictures(translate_maps(trained, Direction.A2V, heard, z))
            for z in latents(trained, Direction.A2V, sampling)
        ]
    )


def picture_to_sounds(trained: Trained, picture: NDArray[np.uint8], sampling: SamplingOptions) -> tuple[Tensor, Tensor]:
    """A picture (H, W, 3) to half-second waveforms (K, L) and their levels (K, M, T) in decibels."""
    seen = pictures_to_input(trained, picture[None])
    made = [translate_maps(trained, Direction.V2A, seen, z) for z in latents(trained, Direction.V2A, sampling)]
    levels = to_levels(trained, torch.cat(made))
    return synthesise(levels, trained.about.settings, make_rngs(sampling)).cpu(), levels.cpu()


def require_translator(trained: Trained, *directions: Direction, hops: int | None = None) -> Translator:
    """The network of a checkpoint as one that goes in these directions, and by this number of hops if one is given.

    Raises:
        CheckpointError: it does not.
    """
    network = trained.network
    if not isinstance(network, Translator):
        raise CheckpointError(
            f"{trained.path} holds a {trained.about.config.method}, which generates nothing; "
            "name a generating run with --checkpoint"
        )
    if lacking := set(directions) - set(network.directions):
        raise CheckpointError(
            f"{trained.path} does {' and '.join(network.directions)}, not {' and '.join(lacking)}; "
            "name another run with --checkpoint"
        )
    if hops not in (None, *network.possible_hops):
        raise CheckpointError(f"{trained.path} cannot take {hops} hops; leave the number to the model")
    return network


def make_rngs(sampling: SamplingOptions) -> list[torch.Generator]:
    """One for each sample: the i-th of seed s equals the first of seed s + i, however many are made."""
    return [torch.Generator().manual_seed(sampling.seed + i) for i in range(sampling.samples)]


def latents(trained: Trained, direction: Direction, sampling: SamplingOptions) -> list[Tensor]:
    """For each sample latents (H, 1, Z), which all items of a batch share: each gets what it would get alone.

    Raises:
        CheckpointError: the model does not go in that direction, or not by so many hops.
    """
    network = require_translator(trained, direction, hops=sampling.hops)
    return [network.draw(1, rng, sampling.hops) for rng in make_rngs(sampling)]


def translate_maps(trained: Trained, direction: Direction, source: Tensor, z: Tensor) -> Tensor:
    """Maps (N, C, H, W) as the network sees them, and latents (H, 1 or N, Z), to maps of the other modality."""
    network = require_translator(trained, direction)
    with torch.inference_mode():
        return network.translate(direction, source, z.expand(-1, len(source), -1))


def translate(trained: Trained, direction: Direction, source: Tensor, sampling: SamplingOptions) -> Tensor:
    """Maps (N, C, H, W) of one modality to (K N, C', H', W') of the other; every item has latents of its own.

    First all of the first sample.

    Raises:
        CheckpointError: the model does not go in that direction, or not by so many hops.
    """
    network = require_translator(trained, direction, hops=sampling.hops)
    drawn = (network.draw(len(source), rng, sampling.hops) for rng in make_rngs(sampling))
    return torch.cat([translate_maps(trained, direction, source, z) for z in drawn])


def waveforms_to_input(trained: Trained, waveforms: Tensor) -> Tensor:
    """Waveforms (N, L) as the network sees them, (N, 1, M, T')."""
    return to_network(trained, to_audio(waveforms, trained.about.settings))


def pictures_to_input(trained: Trained, pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures (N, H, W, 3) as the network sees them, (N, 3, S, S)."""
    return to_network(trained, to_visual(pictures))


def to_audio(waveforms: Tensor, settings: FeatureSettings) -> Tensor:
    """Waveforms (N, L) as spectrograms (N, 1, M, T) in [-1, 1]."""
    return scale_spectrograms(analyse(waveforms, settings), settings)[:, None]


def to_visual(pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures (N, H, W, 3) as (N, 3, H, W) in [-1, 1]."""
    return scale_pictures(torch.from_numpy(pictures.copy()))


def to_pictures(visual: Tensor) -> NDArray[np.uint8]:
    """Maps (N, 3, S, S) in [-1, 1] as pictures (N, S, S, 3)."""
    return unscale_pictures(visual.cpu()).numpy()


def to_levels(trained: Trained, audio: Tensor) -> Tensor:
    """Maps (N, 1, M, T') in [-1, 1] as levels (N, M, T) in decibels."""
    settings = trained.about.settings
    return unscale_spectrograms(resize(audio, (settings.bins, settings.frames))[:, 0], settings)


def to_network(trained: Trained, maps: Tensor) -> Tensor:
    """Maps in [-1, 1] (N, C, H, W) of any size, at the size that the network sees, on its device."""
    modality = Modality.AUDIO if maps.shape[1] == 1 else Modality.VISUAL
    return resize(maps, trained.about.config.network.size(modality)).to(trained.device)


def read_chunk(path: Path, settings: FeatureSettings, at: float | None) -> Tensor:
    """Half a second of a sound file (L,), at a time or where it is loudest; silence fills what is missing.

    Raises:
        MediaError: it cannot be read, or ends before `at`.
    """
    if at is not None and not at >= 0:
        raise MediaError(f"{path} begins at 0 s, so there is nothing to hear at {at:g} s; choose another --at")
    windows = open_windows(path, settings)
    chunk = windows.loudest() if at is None else windows.at(at)
    if chunk is None:
        raise MediaError(
            f"{path} lasts {windows.seconds:.2f} s, so there is nothing to hear at {at:g} s; choose another --at"
        )
    return torch.from_numpy(chunk)
