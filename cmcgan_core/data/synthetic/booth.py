"""Paint the booth of the studio: a blue curtain between dark foam, a music stand and a carpet, as in Sub-URMP."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmcgan_core.data.synthetic.canvas import Canvas

#: The booth is painted with this much on every side of the frame, in hundredths of it, because the camera moves.
MARGIN = 6

#: The colours of curtain and carpet in full light.
CURTAIN, CARPET = np.array((34, 58, 226)), np.array((26, 26, 34))


def booth_seen_from(take: np.random.Generator, size: int) -> Image.Image:
    """Return the picture (size x size pixels) of the booth from a camera that `take` moves a little."""
    booth = _paint_booth(size)
    unit = size / 100
    zoom = take.uniform(1, 1.02)
    left, top = MARGIN + take.uniform(-1, 1), MARGIN + take.uniform(-1, 1)
    box = (left * unit, top * unit, (left + 100 / zoom) * unit, (top + 100 / zoom) * unit)
    return booth.resize((size, size), Image.Resampling.BILINEAR, box)


@lru_cache(maxsize=2)
def _paint_booth(size: int) -> Image.Image:
    """Return the whole booth, margins included; `size` is the side of the frame in pixels."""
    side = round(size * (100 + 2 * MARGIN) / 100)
    points = np.linspace(-MARGIN, 100 + MARGIN, side, dtype=np.float32)
    x, y = np.meshgrid(points, points)
    pixels = _curtain(x, y)
    foam = _foam(x, y)
    for part in (x < 4 + 0.02 * y, x > 84 + 0.06 * y):
        pixels[part] = foam[part]
    pixels[y > 93] = CARPET
    pixels *= (1.04 - 0.00008 * ((x - 42) ** 2 + (y - 30) ** 2))[..., None]
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    _paint_stand(Canvas(image, shift=MARGIN * (1 + 1j), unit=size / 100))
    return image


def _curtain(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the colours of the curtain at the points, with folds that hang down and get wider."""
    place = (x - 45) / (1 + 0.0012 * y)
    folds = 0.8 + 0.14 * np.sin(0.62 * place) + 0.09 * np.sin(1.37 * place + 1) + 0.05 * np.sin(2.9 * place + 0.01 * y)
    return np.asarray(CURTAIN * folds[..., None], np.float32)


def _foam(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the colours of acoustic foam at the points: slanted ridges in square blocks that alternate."""
    turned = (np.floor(x / 11) + np.floor(y / 14)) % 2
    ridge = np.where(turned == 1, x + 0.3 * y, y - 0.5 * x) / 3.4
    return np.asarray((22 + 34 * (ridge % 1) ** 2)[..., None] * np.ones(3), np.float32)


def _paint_stand(canvas: Canvas) -> None:
    """Paint a music stand with a white sheet at the right."""
    canvas.line([90 + 62j, 88 + 108j], 1.2, (34, 34, 38))
    canvas.polygon((83 + 63j, 93 + 47j, 99 + 49j, 89 + 66j), (52, 52, 56))
    canvas.polygon((84 + 61j, 92.5 + 46j, 98 + 48j, 89.5 + 63.5j), (226, 230, 236))
    for row in (0.25, 0.45, 0.65):
        start, end = (84 + 61j) + row * (8.5 - 15j), (89.5 + 63.5j) + row * (8.5 - 15.5j)
        canvas.line([start + 0.15 * (end - start), start + 0.85 * (end - start)], 0.5, (150, 154, 164))
