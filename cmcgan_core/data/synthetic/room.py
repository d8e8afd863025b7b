"""Paint the rooms, once for each recording: walls, curtains, windows, lamps and light."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from PIL import Image

from cmcgan_core.data.synthetic.canvas import Canvas, Colour, shade

WALLS = (
    (214, 206, 190),
    (236, 232, 226),
    (176, 190, 198),
    (120, 128, 136),
    (198, 170, 140),
    (160, 176, 150),
    (88, 84, 92),
    (226, 214, 170),
)
CURTAINS = ((24, 50, 190), (130, 24, 30), (40, 90, 60), (60, 60, 66), (150, 120, 80), (90, 50, 110))
FLOORS = ((150, 110, 70), (98, 70, 48), (120, 120, 122), (60, 60, 64), (190, 160, 120), (90, 40, 40))


class Room(NamedTuple):
    """A painted room.

    Attributes:
        backdrop: the picture of the empty room.
        chair: the colour of its chairs.
        light: factors of red, green and blue that apply to everything in the room.
    """

    backdrop: Image.Image
    chair: Colour
    light: tuple[float, float, float]


def paint_room(look: np.random.Generator, take: np.random.Generator, size: int) -> Room:
    """Paint a random room.

    Args:
        look: draws the look of the room.
        take: draws the position of the camera.
        size: side of the picture, pixels.
    """
    image = Image.new("RGB", (size, size), _pick(look, WALLS))
    canvas = Canvas(image, 50 + 50j, complex(take.uniform(-5, 5), take.uniform(-2, 2)), take.uniform(1, 1.12))
    furniture = look.permutation(["curtain", "window", "panels", "picture"])[: int(look.integers(1, 3))]
    for piece in sorted(furniture):
        _PAINT[piece](canvas, look)
    horizon = look.uniform(74, 88)
    canvas.polygon((-20 + horizon * 1j, 120 + horizon * 1j, 120 + 120j, -20 + 120j), _pick(look, FLOORS))
    if look.random() < 0.4:
        _paint_lamp(canvas, look.uniform(8, 20))
    if look.random() < 0.6:
        _paint_stand(canvas, look.uniform(82, 92))
    warmth, brightness = look.uniform(-0.12, 0.12), look.uniform(0.72, 1.15)
    light = (brightness * (1 + warmth), brightness, brightness * (1 - warmth))
    return Room(_add_falloff(image, look), _pick(look, ((50, 50, 54), (120, 80, 50), (160, 160, 164))), light)


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """Return a random one of the colours, slightly changed."""
    red, green, blue = np.clip(np.array(colours[rng.integers(len(colours))]) + rng.normal(0, 10, 3), 0, 255)
    return int(red), int(green), int(blue)


def _paint_curtain(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a curtain with folds across most of the room."""
    colour = _pick(rng, CURTAINS)
    left, right = rng.uniform(-10, 20), rng.uniform(70, 120)
    folds = np.linspace(left, right, 24)
    for x, following in pairwise(folds):
        box = (complex(x, -10), complex(following + 0.5, -10), complex(following + 0.5, 90), complex(x, 90))
        canvas.polygon(box, shade(colour, rng.uniform(0.65, 1)))


def _paint_window(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a window with a frame and a bar in the middle."""
    x, y, width, height = rng.uniform(4, 66), rng.uniform(2, 18), rng.uniform(18, 32), rng.uniform(24, 40)
    sky = (180 + int(rng.integers(60)), 210, 235)
    for margin, colour in ((1.5, (240, 238, 232)), (0, sky)):
        corners = (
            (-margin, -margin),
            (width + margin, -margin),
            (width + margin, height + margin),
            (-margin, height + margin),
        )
        canvas.polygon([complex(x + dx, y + dy) for dx, dy in corners], colour)
    canvas.line([complex(x + width / 2, y), complex(x + width / 2, y + height)], 1.2, (240, 238, 232))


def _paint_panels(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a wall of square panels in two shades."""
    colour, side = _pick(rng, FLOORS), rng.uniform(8, 16)
    for row in range(8):
        for column in range(10):
            corner = complex(column, row) * side - 8
            tone = shade(colour, 0.9 if (row + column) % 2 else 1)
            canvas.polygon((corner, corner + side, corner + side * (1 + 1j), corner + side * 1j), tone)


def _paint_picture(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint three framed pictures on the wall."""
    for _ in range(3):
        x, y, side = rng.uniform(0, 90), rng.uniform(4, 40), rng.uniform(8, 16)
        for margin, colour in ((1.2, (60, 44, 30)), (0, _pick(rng, CURTAINS + WALLS))):
            low, high = complex(x, y) - margin * (1 + 1j), complex(x + side, y + side) + margin * (1 + 1j)
            canvas.polygon((low, complex(high.real, low.imag), high, complex(low.real, high.imag)), colour)


def _paint_lamp(canvas: Canvas, x: float) -> None:
    """Paint a floor lamp."""
    canvas.line([complex(x, 34), complex(x, 90)], 1, (40, 40, 42))
    canvas.polygon((complex(x - 3, 24), complex(x + 3, 24), complex(x + 6, 35), complex(x - 6, 35)), (255, 236, 180))


def _paint_stand(canvas: Canvas, x: float) -> None:
    """Paint a music stand."""
    canvas.line([complex(x, 62), complex(x, 98)], 1, (30, 30, 32))
    canvas.polygon((complex(x - 6, 50), complex(x + 6, 46), complex(x + 7, 60), complex(x - 5, 64)), (240, 240, 236))


def _add_falloff(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the image with light that gets weaker in one direction."""
    size = image.width
    across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    falloff = 1 + rng.uniform(-0.2, 0.2) * across + rng.uniform(-0.2, 0.2) * down
    pixels = np.asarray(image, np.float32) * falloff[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


_PAINT = {"curtain": _paint_curtain, "window": _paint_window, "panels": _paint_panels, "picture": _paint_picture}
