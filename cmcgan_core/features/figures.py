"""Draw spectrograms in colour and grids of samples."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.features.scaling import resize, unscale_pictures

#: Colours (RGB) from quiet to loud: the magma palette at equal steps.
_PALETTE = np.array(
    [
        (0, 0, 4),
        (28, 16, 68),
        (79, 18, 123),
        (129, 37, 129),
        (181, 54, 122),
        (229, 80, 100),
        (251, 135, 97),
        (254, 194, 135),
        (252, 253, 191),
    ],
    dtype=np.float32,
)


def draw_spectrograms(scaled: Tensor, enlarge: int = 1) -> NDArray[np.uint8]:
    """Return spectrograms as coloured pictures with low frequencies at the bottom.

    Args:
        scaled: spectrograms (B, 1, M, T) in [-1, 1], as from `scale_spectrograms`.
        enlarge: the width and height of a cell, in pixels.

    Returns:
        Pictures (B, M * enlarge, T * enlarge, 3).
    """
    values = ((scaled[:, 0].float().cpu().numpy() + 1) / 2).clip(0, 1)[:, ::-1] * (len(_PALETTE) - 1)
    lower = np.minimum(values.astype(np.int64), len(_PALETTE) - 2)
    share = (values - lower)[..., None]
    colours = _PALETTE[lower] * (1 - share) + _PALETTE[lower + 1] * share
    pictures: NDArray[np.uint8] = colours.round().astype(np.uint8).repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    return pictures


def draw_maps(maps: Tensor, side: int) -> NDArray[np.uint8]:
    """Return pictures or spectrograms (B, C, H, W) in [-1, 1] as square pictures (B, side, side, 3) for a grid."""
    if maps.shape[1] == 1:
        coloured = torch.from_numpy(draw_spectrograms(maps)).permute(0, 3, 1, 2).float()
        return resize(coloured, (side, side)).round().byte().permute(0, 2, 3, 1).numpy()
    return unscale_pictures(resize(maps.float().cpu(), (side, side)).clamp(-1, 1)).numpy()


def draw_grid(rows: Iterable[Tensor], side: int = 96, gap: int = 4) -> NDArray[np.uint8]:
    """Return rows of maps as one picture (height, width, 3) with white gaps.

    Args:
        rows: the maps (B, C, H, W) of each row, in [-1, 1]. Rows may have different lengths.
        side: width and height of each map, in pixels.
        gap: width of the gaps, in pixels.
    """
    tiles = [draw_maps(maps, side) for maps in rows]
    columns = max(len(row) for row in tiles)
    height, width = (n * (side + gap) + gap for n in (len(tiles), columns))
    sheet = np.full((height, width, 3), 255, dtype=np.uint8)
    for i, row in enumerate(tiles):
        for j, tile in enumerate(row):
            top, left = gap + i * (side + gap), gap + j * (side + gap)
            sheet[top : top + side, left : left + side] = tile
    return sheet


def draw_labelled_grid(rows: Sequence[tuple[str, Tensor]], side: int = 96, gap: int = 4) -> NDArray[np.uint8]:
    """Return the picture of `draw_grid` with a label to the left of each row; needs Pillow.

    Args:
        rows: the label and the maps (B, C, H, W) of each row.
        side: width and height of each map, in pixels.
        gap: width of the gaps, in pixels.
    """
    from PIL import Image, ImageDraw, ImageFont

    sheet = draw_grid((maps for _, maps in rows), side, gap)
    font = ImageFont.load_default(size=side / 6)
    width = 4 * gap + max(math.ceil(font.getlength(name)) for name, _ in rows)
    margin = Image.new("RGB", (width, len(sheet)), "white")
    draw = ImageDraw.Draw(margin)
    for number, (name, _) in enumerate(rows):
        draw.text((width - 2 * gap, gap + number * (side + gap) + side / 2), name, "black", font, anchor="rm")
    return np.concatenate([np.asarray(margin), sheet], axis=1)
