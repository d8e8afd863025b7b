"""A picture as blocks of colour, for a terminal."""

from pathlib import Path

import numpy as np

from cmcgan_core.data.media import read_picture

Colour = tuple[int, int, int]


def picture_blocks(path: Path, columns: int) -> list[list[tuple[Colour, Colour]]]:
    """Rows of cells, each with the colours of its upper and its lower half.

    A terminal's cell is about twice as high as it is wide, so a square picture has `columns` by `columns` / 2 cells.
    """
    side = columns - columns % 2
    picture: list[list[list[int]]] = np.asarray(read_picture(path, side)).tolist()
    return [
        [(_colour(upper), _colour(lower)) for upper, lower in zip(picture[row], picture[row + 1], strict=True)]
        for row in range(0, side, 2)
    ]


def _colour(pixel: list[int]) -> Colour:
    red, green, blue = pixel
    return red, green, blue
