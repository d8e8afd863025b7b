"""Translate half a second of sound to pictures, and a picture to half seconds of sound.

All other code that generates is built from these functions.

Shapes: N items, K samples of each, H subnetworks in a row, Z size of a latent, L samples of half a second, (M, T) bins
and frames of a spectrogram, S side of a picture; T' and S' are the sizes that the network is built for.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.checkpoint import Trained, require_finite
from cmcgan_core.errors import CheckpointError, MediaError
from cmcgan_core.features.representations import analyse, synthesise
from cmcgan_core.features.scaling import (
    resize,
    scale_pictures,
    scale_spectrograms,
    unscale_pictures,
    unscale_spectrograms,
)
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.windows import open_windows
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.capabilities import Translator


def sound_to_pictures(trained: Trained, waveform: Tensor, sampling: SamplingOptions) -> NDArray[np.uint8]:
    """Translate half a second of sound (L,) in [-1, 1] to pictures (K, S', S', 3)."""
    audio = waveforms_to_input(trained, waveform[None])
    zs = draw_latents(trained, Direction.A2V, sampling)
    return np.concatenate([to_pictures(translate_maps(trained, Direction.A2V, audio, z)) for z in zs])


def picture_to_sounds(trained: Trained, picture: NDArray[np.uint8], sampling: SamplingOptions) -> tuple[Tensor, Tensor]:
    """Translate a picture (H, W, 3) to sounds.

    Returns:
        Waveforms (K, L), and their spectrograms (K, M, T) in the unit of the representation, usually decibels.
    """
    visual = pictures_to_input(trained, picture[None])
    zs = draw_latents(trained, Direction.V2A, sampling)
    levels = to_levels(trained, torch.cat([translate_maps(trained, Direction.V2A, visual, z) for z in zs]))
    return synthesise(levels, trained.about.settings, make_rngs(sampling)).cpu(), levels.cpu()


def require_translator(trained: Trained, *directions: Direction, hops: int | None = None) -> Translator:
    """Return the network of a checkpoint as a translator.

    Args:
        trained: the checkpoint.
        *directions: the directions that it must support.
        hops: number of subnetworks in a row that it must support; None requires none.

    Raises:
        CheckpointError: the network does not translate, or does not support a direction or the number of hops.
    """
    network = trained.network
    if not isinstance(network, Translator):
        raise CheckpointError(
            f"{trained.path} holds a {trained.about.config.method}, which generates nothing; "
            "name a generating run with --checkpoint"
        )
    if missing := set(directions) - set(network.directions):
        raise CheckpointError(
            f"{trained.path} does {' and '.join(network.directions)}, not {' and '.join(missing)}; "
            "name another run with --checkpoint"
        )
    if hops not in (None, *network.possible_hops):
        raise CheckpointError(f"{trained.path} does not support {hops} hops; leave out --hops")
    return network


def make_rngs(sampling: SamplingOptions) -> list[torch.Generator]:
    """Return one rng for each sample. Rng i of seed s equals the first rng of seed s + i."""
    return [torch.Generator().manual_seed(sampling.seed + i) for i in range(sampling.samples)]


def draw_latents(trained: Trained, direction: Direction, sampling: SamplingOptions) -> list[Tensor]:
    """Draw latents (H, 1, Z) for each sample.

    All items of a batch share the latents of a sample, so each item gets the output that it would get alone.

    Raises:
        CheckpointError: the model does not support the direction or the number of hops.
    """
    network = require_translator(trained, direction, hops=sampling.hops)
    return [network.draw(1, rng, sampling.hops) for rng in make_rngs(sampling)]


def translate_maps(trained: Trained, direction: Direction, source: Tensor, z: Tensor) -> Tensor:
    """Translate maps at the size of the network.

    Args:
        trained: the model.
        direction: direction of the translation.
        source: maps (N, C, H, W) in [-1, 1] of the source modality, on the model's device.
        z: latents (H, N, Z), or (H, 1, Z) for all items.

    Returns:
        Maps (N, C', H', W') in [-1, 1] of the target modality.

    Raises:
        CheckpointError: the checkpoint does not support the direction, or is damaged.
    """
    network = require_translator(trained, direction)
    with torch.inference_mode():
        return require_finite(trained, network.translate(direction, source, z.expand(-1, len(source), -1)))


def translate(trained: Trained, direction: Direction, source: Tensor, sampling: SamplingOptions) -> Tensor:
    """Translate maps (N, C, H, W) of one modality to (K N, C', H', W') of the other, with latents for each item.

    The first N outputs are the first sample of each item.

    Raises:
        CheckpointError: the model does not support the direction or the number of hops.
    """
    network = require_translator(trained, direction, hops=sampling.hops)
    zs = (network.draw(len(source), rng, sampling.hops) for rng in make_rngs(sampling))
    return torch.cat([translate_maps(trained, direction, source, z) for z in zs])


def waveforms_to_input(trained: Trained, waveforms: Tensor) -> Tensor:
    """Convert waveforms (N, L) to inputs of the network (N, 1, M, T')."""
    return to_network(trained, to_audio(waveforms, trained.about.settings))


def pictures_to_input(trained: Trained, pictures: NDArray[np.uint8]) -> Tensor:
    """Convert pictures (N, H, W, 3) to inputs of the network (N, 3, S', S')."""
    return to_network(trained, to_visual(pictures))


def to_audio(waveforms: Tensor, settings: FeatureSettings) -> Tensor:
    """Convert waveforms (N, L) to spectrograms (N, 1, M, T) in [-1, 1]."""
    return scale_spectrograms(analyse(waveforms, settings), settings)[:, None]


def to_visual(pictures: NDArray[np.uint8]) -> Tensor:
    """Convert pictures (N, H, W, 3) to maps (N, 3, H, W) in [-1, 1]."""
    return scale_pictures(torch.from_numpy(pictures.copy()))


def to_pictures(visual: Tensor) -> NDArray[np.uint8]:
    """Convert maps (N, 3, S, S) in [-1, 1] to pictures (N, S, S, 3)."""
    return unscale_pictures(visual.cpu()).numpy()


def to_levels(trained: Trained, audio: Tensor) -> Tensor:
    """Convert maps (N, 1, M, T') in [-1, 1] to spectrograms (N, M, T) in their unit, usually decibels."""
    settings = trained.about.settings
    return unscale_spectrograms(resize(audio, (settings.bins, settings.frames))[:, 0], settings)


def to_network(trained: Trained, maps: Tensor) -> Tensor:
    """Resize maps (N, C, H, W) in [-1, 1] to the size that a network is built for, and move them to its device."""
    modality = Modality.AUDIO if maps.shape[1] == 1 else Modality.VISUAL
    return resize(maps, trained.about.config.network.size(modality)).to(trained.device)


def read_half_second(path: Path, settings: FeatureSettings, at: float | None) -> Tensor:
    """Read half a second of a sound file (L,); a sound that is shorter is padded with silence.

    Args:
        path: a sound file or a video.
        settings: the sample rate of the result, and the length of a half second.
        at: its start in seconds; None is the loudest half second.

    Raises:
        MediaError: the file cannot be read, or ends before `at`.
    """
    if at is not None and not at >= 0:
        raise MediaError(f"{path} begins at 0 s, so it has no sound at {at:g} s; choose another --at")
    windows = open_windows(path, settings)
    waveform = windows.loudest() if at is None else windows.at(at)
    if waveform is None:
        raise MediaError(f"{path} lasts {windows.seconds:.2f} s, so it has no sound at {at:g} s; choose another --at")
    return torch.from_numpy(waveform)
