"""."""

import torch.nn.functional as F
from torch import Tensor

from cmcgan_core.features.settings import FeatureSettings


def scale_spectrograms(levels: Tensor, settings: FeatureSettings) -> Tensor:
    """Decibels to [-1, 1], clipped at `min_level` and `max_level`."""
    return ((levels - settings.min_level) / (settings.max_level - settings.min_level) * 2 - 1).clamp(-1, 1)


def unscale_spectrograms(scaled: Tensor, settings: FeatureSettings) -> Tensor:
    """[-1, 1] to decibels; the inverse of `scale_spectrograms` but for what it clipped."""
    return (scaled + 1) / 2 * (settings.max_level - settings.min_level) + settings.min_level


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, antialiased resize of (B, C, H, W) to `size`; the same tensor where it has that size already.

    The papers resize 44 frames to 32 so that seven strides of two fit (CMCGAN, "Audio-to-Visual subnetwork").
    """
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", antialias=True, align_corners=False)


def scale_pictures(pictures: Tensor) -> Tensor:
    """Pictures uint8 (B, S, S, 3) to float (B, 3, S, S) in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def unscale_pictures(scaled: Tensor) -> Tensor:
    """Float (B, 3, S, S) in [-1, 1] to pictures uint8 (B, S, S, 3)."""
    return ((scaled + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
