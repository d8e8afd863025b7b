"""Draw shapes in the coordinates of a figure that is scaled and tilted as a whole.

Points are complex numbers: x to the right, y downwards, in hundredths of the frame. So a step of length r in the
direction of an angle is `rect(r, radians(angle))`, and a shape is rotated by one multiplication.
"""

from cmath import rect
from collections.abc import Iterable, Sequence
from math import radians

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

#: The direction to the light: from above, to the left of the camera.
LIGHT = rect(1, radians(-125))

#: The layers of a round tube of metal or lacquer: share of its width, and factor of `shade`.
_METAL = ((1.0, 0.62), (0.7, 1.0), (0.22, 1.7))
#: The same of an arm or leg.
_MATT = ((1.0, 0.74), (0.74, 0.95), (0.4, 1.08))

_CIRCLE = [rect(1, radians(angle)) for angle in range(0, 360, 18)]


class Canvas:
    """A picture to draw a figure on, and the position, size and tilt of that figure.

    Args:
        image: the picture, square.
        pivot: the point that does not move when the figure is scaled and tilted.
        shift: added to every point afterwards.
        scale: size of the figure; 1 is the size that its points are given in.
        tilt: rotation of the figure, degrees clockwise.
        unit: pixels of a hundredth of the frame, if the picture is larger than the frame.
    """

    def __init__(
        self,
        image: Image.Image,
        pivot: complex = 0,
        shift: complex = 0,
        scale: float = 1,
        tilt: float = 0,
        *,
        unit: float | None = None,
    ) -> None:
        self._draw = ImageDraw.Draw(image)
        self._unit = unit or image.width / 100
        self._turn = rect(scale, radians(tilt)) * self._unit
        self._origin = (pivot + shift) * self._unit - pivot * self._turn
        self._width = scale * self._unit

    def polygon(self, points: Iterable[complex], fill: Colour) -> None:
        """Draw a filled polygon."""
        self._draw.polygon(self._place(points), fill)

    def line(self, points: Sequence[complex], width: float, fill: Colour) -> None:
        """Draw a line through the points, with round ends."""
        placed, thick = self._place(points), max(1, round(width * self._width))
        self._draw.line(placed, fill, thick, "curve" if len(points) > 2 and thick > 2 else None)
        if thick > 3:
            for x, y in (placed[0], placed[-1]):
                self._draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill)

    def cone(self, start: complex, end: complex, widths: tuple[float, float], fill: Colour) -> None:
        """Draw a straight tube whose width changes from the first to the second value."""
        across = (end - start) / abs(end - start) * 0.5j
        first, last = across * widths[0], across * widths[1]
        self.polygon((start + first, end + last, end - last, start - first), fill)

    def pipe(self, points: Sequence[complex], width: float, fill: Colour, *, matt: bool = False) -> None:
        """Draw a round tube along the points: a dark edge, the colour, and a highlight, which is weak if `matt`."""
        for share, tone in _MATT if matt else _METAL:
            offset = LIGHT * (1 - share) * width / 2
            self.line([point + offset for point in points], width * share, shade(fill, tone))

    def tube(self, start: complex, end: complex, widths: tuple[float, float], fill: Colour) -> None:
        """Draw a round straight tube whose width changes; see `pipe` for the shading and `cone` for the widths."""
        across = 1j * (end - start) / abs(end - start)
        towards = across if (across * LIGHT.conjugate()).real > 0 else -across
        for share, tone in _METAL:
            first, last = (towards * width * (1 - share) / 2 * 0.7 for width in widths)
            self.cone(start + first, end + last, (widths[0] * share, widths[1] * share), shade(fill, tone))

    def dome(self, centre: complex, radii: complex, fill: Colour, axis: complex = 1) -> None:
        """Draw a rounded ellipse, darker at the edge and lighter towards the light; see `ellipse` for the radii."""
        reach = min(radii.real, radii.imag)
        for share, tone in ((1, 0.72), (0.86, 1), (0.45, 1.25)):
            self.ellipse(centre + LIGHT * (1 - share) * reach * 0.6, radii * share, shade(fill, tone), axis)

    def ellipse(self, centre: complex, radii: complex, fill: Colour, axis: complex = 1) -> None:
        """Draw a filled ellipse with one radius along the direction `axis` (real) and one across it (imaginary)."""
        self.polygon(_ellipse(centre, radii, axis), fill)

    def ring(self, centre: complex, radii: complex, width: float, fill: Colour, axis: complex = 1) -> None:
        """Draw the outline of an ellipse; see `ellipse` for the radii."""
        points = _ellipse(centre, radii, axis)
        self.line([*points, points[0]], width, fill)

    def disc(self, centre: complex, radius: float, fill: Colour) -> None:
        """Draw a filled circle."""
        [(x, y)], r = self._place([centre]), radius * self._width
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill)

    def _place(self, points: Iterable[complex]) -> list[tuple[float, float]]:
        """Return the pixel coordinates of points of the figure."""
        placed = (self._origin + point * self._turn for point in points)
        return [(point.real, point.imag) for point in placed]


def _ellipse(centre: complex, radii: complex, axis: complex) -> list[complex]:
    """Return points on the outline of an ellipse."""
    axis /= abs(axis)
    return [centre + axis * complex(radii.real * p.real, radii.imag * p.imag) for p in _CIRCLE]


def curve(*points: complex, steps: int = 4) -> list[complex]:
    """Return a smooth line (Catmull-Rom spline) through the points, with `steps` steps from one to the next."""
    padded = [2 * points[0] - points[1], *points, 2 * points[-1] - points[-2]]
    line = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for step in range(steps):
            t = step / steps
            line.append(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))
    return [*line, points[-1]]


def shade(colour: Colour, factor: float) -> Colour:
    """Return a darker colour (factor below 1) or a lighter one (factor above 1, towards white)."""
    if factor <= 1:
        red, green, blue = (round(c * factor) for c in colour)
    else:
        red, green, blue = (round(255 - (255 - c) / factor) for c in colour)
    return red, green, blue
