"""Scale spectrograms and pictures to [-1, 1] and back, and resize them."""

import torch.nn.functional as F
from torch import Tensor

from cmcgan_core.features.settings import FeatureSettings


def scale_spectrograms(spectrograms: Tensor, settings: FeatureSettings) -> Tensor:
    """Scale spectrograms linearly from [`min_level`, `max_level`] to [-1, 1]; values outside are clipped."""
    return ((spectrograms - settings.min_level) / (settings.max_level - settings.min_level) * 2 - 1).clamp(-1, 1)


def unscale_spectrograms(scaled: Tensor, settings: FeatureSettings) -> Tensor:
    """Undo `scale_spectrograms`, except that clipped values stay clipped."""
    return (scaled + 1) / 2 * (settings.max_level - settings.min_level) + settings.min_level


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (B, C, H, W) to `size`, bilinear and antialiased; return them unchanged if they have that size.

    The papers resize 44 frames to 32 so that seven strides of two fit (CMCGAN, "Audio-to-Visual subnetwork").
    """
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", antialias=True, align_corners=False)


def scale_pictures(pictures: Tensor) -> Tensor:
    """Scale pictures, uint8 (B, S, S, 3), to floats (B, 3, S, S) in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def unscale_pictures(scaled: Tensor) -> Tensor:
    """Convert floats (B, 3, S, S) in [-1, 1] to pictures, uint8 (B, S, S, 3)."""
    return ((scaled + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
