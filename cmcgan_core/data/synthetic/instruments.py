"""Draw the thirteen instruments, and return where the player's hands are for the note that sounds."""

from cmath import rect
from collections.abc import Callable
from math import radians
from typing import NamedTuple

from cmcgan_core.data.synthetic.canvas import LIGHT, Canvas, Colour, curve, shade
from cmcgan_core.data.synthetic.person import CHIN, MOUTH
from cmcgan_core.data.synthetic.score import closed_holes, stopped_string, tube_position

BLACK: Colour = (26, 24, 26)
SILVER: Colour = (206, 210, 216)
IVORY: Colour = (238, 232, 214)

#: The main colour of each instrument: varnish, wood or metal.
FINISHES = {
    "bassoon": (112, 30, 20),
    "cello": (188, 92, 34),
    "clarinet": (30, 28, 32),
    "double_bass": (132, 60, 24),
    "flute": (216, 220, 226),
    "horn": (190, 178, 142),
    "oboe": (92, 44, 26),
    "sax": (222, 168, 52),
    "trombone": (220, 180, 78),
    "trumpet": (232, 196, 96),
    "tuba": (214, 178, 84),
    "viola": (120, 50, 24),
    "violin": (190, 84, 30),
}


class Pose(NamedTuple):
    """The properties of the music at one moment that the picture shows."""

    label: str  #: the instrument
    pitch: int  #: MIDI number of the note
    height: float  #: position of the pitch in the instrument's register, 0 lowest to 1 highest
    loudness: float  #: 0 to 1
    bow: float  #: the point of the bow that touches the string, 0 frog to 1 tip
    plucked: bool  #: whether the string is plucked, not bowed
    sway: float  #: how far the player leans to the side, -1 to 1


class Hands(NamedTuple):
    """The positions of the player's hands."""

    right: complex
    left: complex


def draw_instrument(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw the instrument of a pose in the colour `finish`, and return the positions of the hands that hold it."""
    return _DRAW[pose.label](canvas, pose, finish)


def _violin(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a violin or viola: on the left shoulder, under the chin."""
    size = 1.3 if pose.label == "viola" else 1.05
    axis = rect(size, radians(10 + 5 * pose.sway - 5 * pose.height))
    string, stop = stopped_string(pose.label, pose.pitch)
    canvas.pipe([CHIN + axis * 12, CHIN + axis * 26], 2, shade(finish, 0.6))
    _bouts(canvas, CHIN, axis, (4.4, 11.4), (4.8 + 5j, 3.8 + 4.1j), finish=finish)
    canvas.line([CHIN + axis * 2, CHIN + axis * 5], 2.2, BLACK)
    canvas.line([CHIN + axis * 11, CHIN + axis * 24], 1.3, BLACK)
    canvas.line([CHIN + axis * 5, CHIN + axis * 24], 0.5, IVORY)
    canvas.dome(CHIN + axis * 26.8, 1.8 + 1.5j, shade(finish, 0.6))
    right = _bow(canvas, pose, CHIN + axis * 9.5, rect(1, radians(-64 + 10 * string)), 34)
    return Hands(right, CHIN + axis * (23.5 - 19 * stop) + 1.5j)


def _upright(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a cello between the knees, or a double bass next to the standing player."""
    if pose.label == "cello":
        bottom, scroll, bouts, length = 60 + 94j, 56 + 20j, (9.8 + 13.5j, 8.5 + 10.4j), 40
    else:
        bottom, scroll, bouts, length = 66 + 101j, 58.5 + 7j, (14 + 19j, 11.5 + 13j), 38
    way = scroll - bottom
    axis = way / abs(way)
    string, stop = stopped_string(pose.label, pose.pitch)
    canvas.line([bottom, bottom - axis * 8], 0.8, SILVER)
    _bouts(canvas, bottom, axis, (bouts[0].real * 1.1, bouts[0].real * 2.6 + bouts[1].real * 0.5), bouts, finish=finish)
    canvas.pipe([bottom + way * 0.42, scroll], 2.8, shade(finish, 0.55))
    canvas.line([bottom + way * 0.34, bottom + way * 0.93], 2.1, BLACK)
    canvas.line([bottom + way * 0.05, bottom + way * 0.18], 2.4, BLACK)
    canvas.line([bottom + way * 0.18, bottom + way * 0.93], 0.6, IVORY)
    canvas.dome(scroll, 2.6 + 2.2j, shade(finish, 0.6))
    bridge, nut = bottom + way * 0.2, bottom + way * 0.9
    right = _bow(canvas, pose, bottom + way * 0.27, rect(1, radians(-14 + 8 * string)), length)
    return Hands(right, nut + (bridge - nut) * stop)


def _bouts(
    canvas: Canvas,
    bottom: complex,
    axis: complex,
    places: tuple[float, float],
    radii: tuple[complex, complex],
    *,
    finish: Colour,
) -> None:
    """Draw the body of a string instrument: lower and upper bout, waist, sound holes and bridge.

    Args:
        canvas: the canvas to draw on.
        bottom: the lower end of the body.
        axis: the direction of the neck; its length scales the body.
        places: distances of the centres of the lower and the upper bout from the bottom.
        radii: radii of the lower and the upper bout, along (real) and across (imaginary) the axis.
        finish: colour of the body.
    """
    size = abs(axis)
    across = 1j * axis / size
    lower, upper = bottom + axis * places[0], bottom + axis * places[1]
    widths = radii[0].imag * size * 1.2, radii[1].imag * size * 1.2
    for share, tone in ((1.0, 0.5), (0.88, 0.9), (0.7, 1.05), (0.4, 1.3)):
        colour, offset = shade(finish, tone), LIGHT * (1 - share) * radii[1].imag * size * 0.4
        canvas.cone(lower + offset, upper + offset, (widths[0] * share, widths[1] * share), colour)
        for centre, radius in ((lower, radii[0]), (upper, radii[1])):
            canvas.ellipse(centre + offset, radius * size * share, colour, axis)
    waist = (lower + upper) / 2
    for side in (-1, 1):
        hole = waist + side * across * radii[1].imag * size * 0.45
        canvas.line([hole - axis * places[0] * 0.3, hole + axis * places[0] * 0.3], radii[1].imag * 0.12, BLACK)
    half = across * radii[1].imag * size * 0.38
    canvas.line([waist - half, waist + half], 0.8, IVORY)


def _bow(canvas: Canvas, pose: Pose, contact: complex, direction: complex, length: float) -> complex:
    """Draw a bow that touches the string at `contact`, and return the position of the right hand."""
    if pose.plucked:
        return contact - 2 * direction
    frog = contact - direction * (2 + pose.bow * (length - 5))
    canvas.line([frog, frog + direction * length], 1.1, IVORY)
    canvas.line([frog + 1.4j, frog + direction * length], 1.2, (90, 44, 22))
    return frog


def _clarinet(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a clarinet: a wide black tube with a wide bell, held low."""
    axis = rect(1.08, radians(62 - 12 * pose.height + 4 * pose.sway))
    canvas.tube(MOUTH + axis * 4, MOUTH + axis * 34, (3.2, 3.6), finish)
    canvas.cone(MOUTH, MOUTH + axis * 4, (1, 3), BLACK)
    canvas.tube(MOUTH + axis * 33, MOUTH + axis * 39, (3.6, 8.5), finish)
    for ring in (8, 13, 21.5, 33, 38.6):
        width = 3.9 if ring < 38 else 8.6
        canvas.cone(MOUTH + axis * ring, MOUTH + axis * (ring + 0.9), (width, width), SILVER)
    _holes(canvas, pose, MOUTH + axis * 10, axis * 22, SILVER)
    return Hands(MOUTH + axis * 27 - 1, MOUTH + axis * 14 + 1)


def _oboe(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw an oboe: a thin reddish tube with a pale reed and a small round bell, held higher than a clarinet."""
    axis = rect(1.08, radians(40 - 10 * pose.height + 4 * pose.sway))
    canvas.line([MOUTH, MOUTH + axis * 6], 1.4, (236, 204, 120))
    canvas.tube(MOUTH + axis * 5.5, MOUTH + axis * 30, (2.2, 3.4), finish)
    canvas.dome(MOUTH + axis * 31, 3.6 + 3j, shade(finish, 1.15), axis)
    _holes(canvas, pose, MOUTH + axis * 8, axis * 19, (240, 214, 150))
    return Hands(MOUTH + axis * 21.5 - 1, MOUTH + axis * 11 + 1)


def _flute(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a flute: a silver tube held sideways, to the player's right."""
    axis = rect(1, radians(162 - 12 * pose.height + 4 * pose.sway))
    canvas.tube(MOUTH - axis * 7, MOUTH + axis * 34, (3.2, 3.2), finish)
    for ring in (-2, 4, 26):
        canvas.cone(MOUTH + axis * ring, MOUTH + axis * (ring + 1), (3.8, 3.8), (150, 154, 162))
    _holes(canvas, pose, MOUTH + axis * 9, axis * 19, (126, 130, 138))
    return Hands(MOUTH + axis * 26 + 1.8j, MOUTH + axis * 13 + 1.8j)


def _bassoon(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a bassoon: a long diagonal tube with a crook from its middle to the mouth and a white ring at the top."""
    low, high = 40 + 92j, 70 + (9 - 5 * pose.height + 3 * pose.sway) * 1j
    way = high - low
    canvas.line(curve(MOUTH, MOUTH + 3 - 1.5j, low + way * 0.74, low + way * 0.66), 1.1, SILVER)
    canvas.tube(low, low + way * 0.75, (6.4, 5.2), finish)
    canvas.tube(low + way * 0.7, high, (3.8, 3.4), shade(finish, 1.1))
    canvas.cone(low + way * 0.955, high, (4.8, 5.2), IVORY)
    for ring in (0.02, 0.3, 0.68):
        canvas.cone(low + way * ring, low + way * (ring + 0.018), (6.4, 6.4), SILVER)
    _holes(canvas, pose, low + way * 0.62, -way * 0.34, SILVER)
    return Hands(low + way * 0.33 - 1, low + way * 0.56 + 1)


def _sax(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a saxophone: a golden cone, bent at the mouth and at the bottom, with a bell that points up and forward."""
    swing = rect(1.05, radians(6 * pose.sway - 8 * pose.height))

    def place(point: complex) -> complex:
        return MOUTH + point * swing

    canvas.line([MOUTH, place(2.5 - 1j)], 2, BLACK)
    canvas.pipe([place(p) for p in curve(2 - 1j, 5 - 2j, 8 + 1j)], 2, finish)
    canvas.tube(place(8 + 0j), place(6 + 36j), (2.6, 6), finish)
    canvas.pipe([place(p) for p in curve(6 + 35j, 8.5 + 40j, 13 + 40j, 15.5 + 35j)], 6, finish)
    canvas.tube(place(15.2 + 36j), place(19.4 + 20j), (6, 13), finish)
    canvas.ellipse(place(19.4 + 20j), 6.8 + 2.6j, shade(finish, 0.45), swing * rect(1, radians(14)))
    canvas.line([place(9.4 + 3j), place(8.8 + 34j)], 0.7, shade(finish, 0.55))
    _holes(canvas, pose, place(7.4 + 8j), place(6 + 33j) - place(7.4 + 8j), IVORY)
    return Hands(place(6.5 + 25j), place(7.5 + 12j) + 1)


def _holes(canvas: Canvas, pose: Pose, first: complex, way: complex, keys: Colour) -> None:
    """Draw six finger holes along a tube: fingers on the covered ones, raised keys on the others."""
    closed = closed_holes(pose.label, pose.pitch)
    across = 1j * way / abs(way)
    for hole in range(6):
        place = first + way * (hole + 0.5) / 6
        if hole < closed:
            canvas.disc(place, 1.4, (236, 184, 150))
        else:
            canvas.disc(place - across * 1.7, 1.1, keys)


def _trumpet(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a trumpet: a short loop with three valves and a bell straight ahead of the player."""
    axis = rect(1.08, radians(14 - 18 * pose.height + 3 * pose.sway))
    across = axis * 1j
    canvas.pipe([MOUTH, MOUTH + axis * 20], 1.8, finish)
    loop = [9 + 0j, 20 + 0j, 22 + 2.4j, 20 + 5j, 9 + 5j, 7 + 2.4j, 9 + 0j]
    canvas.pipe([MOUTH + axis * p for p in loop], 1.9, shade(finish, 0.85))
    canvas.tube(MOUTH + axis * 18, MOUTH + axis * 26, (1.9, 4.6), finish)
    canvas.tube(MOUTH + axis * 26, MOUTH + axis * 30.5, (4.6, 14), finish)
    canvas.ellipse(MOUTH + axis * 30.5, 1.6 + 7j, shade(finish, 0.5), axis)
    _valves(canvas, pose, MOUTH + axis * 11.5, axis * 2.4, down=across, finish=finish)
    return Hands(MOUTH + axis * 13 - across * 2.5, MOUTH + axis * 12 + across * 4.5)


def _trombone(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a trombone: a slide that the right hand extends for each semitone, and a bell next to the head."""
    axis = rect(1, radians(44 - 6 * pose.height + 3 * pose.sway))
    across = axis * 1j
    reach = 10 + 4 * tube_position(pose.label, pose.pitch)
    end = MOUTH + axis * (reach + 17)
    for side in (0, 3):
        canvas.line([MOUTH + across * side, MOUTH + axis * 26 + across * side], 1.2, SILVER)
        canvas.pipe([MOUTH + axis * reach + across * side, end + across * side], 1.8, finish)
    canvas.pipe(curve(end, end + axis * 1.8 + across * 1.5, end + across * 3), 1.8, finish)
    for brace in (5, reach):
        canvas.line([MOUTH + axis * brace - across * 0.5, MOUTH + axis * brace + across * 3.5], 1.3, shade(finish, 0.8))
    flare = MOUTH + rect(22, radians(-24 - 6 * pose.height))
    canvas.line(curve(MOUTH + axis * 5, 36 + 33j, 34 + 28j, 38 + 25j), 1.4, shade(finish, 0.8))
    canvas.pipe([53 + 25j, flare], 1.8, finish)
    ahead = (flare - 53 - 25j) / abs(flare - 53 - 25j)
    canvas.tube(flare - ahead * 7, flare, (2, 6), finish)
    canvas.tube(flare, flare + ahead * 4, (6, 16), finish)
    canvas.ellipse(flare + ahead * 4, 2.2 + 8j, shade(finish, 0.5), ahead)
    return Hands(MOUTH + axis * reach + across, MOUTH + axis * 5 + across * 1.5)


def _horn(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a horn: a round coil with a wide bell low on the player's right; the right hand is inside the bell."""
    lift = 1 + 1j * (2 * pose.sway - 7 * pose.height)
    coil, bell = 60 + 49j + lift.imag * 1j, 43 + 64j + lift.imag * 0.6j
    canvas.pipe(curve(MOUTH, MOUTH + 5 + 4j, coil - 2 - 11j), 1.5, finish)
    canvas.tube(coil - 1 + 9j, bell, (3.5, 10), finish)
    for radius in (12, 9, 6):
        canvas.ring(coil, complex(radius, radius * 0.95), 2, shade(finish, 0.65))
        canvas.ring(coil + LIGHT * 0.4, complex(radius, radius * 0.95), 1.1, shade(finish, 1.3))
    canvas.pipe([coil - 7 - 6j, coil + 7 + 6j], 1.6, finish)
    canvas.pipe([coil - 7 + 6j, coil + 6 - 7j], 1.6, shade(finish, 0.85))
    canvas.dome(bell, 12 + 9.5j, finish, rect(1, radians(70)))
    canvas.ellipse(bell, 8.6 + 6.6j, shade(finish, 0.42), rect(1, radians(70)))
    _valves(canvas, pose, coil + 3 - 3j, 2.6j, down=1, finish=finish)
    return Hands(bell + 1, coil + 7 + 1j)


def _tuba(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a tuba: a large oval on the lap with a wide bell that opens upwards above the player's head."""
    tilt = 3 * pose.sway
    top = 68 + tilt + (10 - 4 * pose.height) * 1j
    dark, light = shade(finish, 0.55), shade(finish, 1.4)
    canvas.dome(62 + 68j, 12 + 16j, finish)
    canvas.tube(66 + 66j, top + 14j, (11, 12), finish)
    canvas.tube(top + 14.5j, top, (12, 26), finish)
    canvas.ellipse(top, 13.2 + 4j, shade(finish, 0.42))
    for radii in (7 + 11j, 5 + 8.5j, 3 + 6j):
        canvas.ring(60 + 68j, radii, 1.9, dark)
        canvas.ring(60 + 68j + LIGHT * 0.4, radii, 0.9, light)
    canvas.pipe(curve(MOUTH, MOUTH + 5 + 2j, 60 + 38j, 61 + 50j), 1.7, finish)
    _valves(canvas, pose, 54 + 52j, 2.7 + 0.4j, down=1j, finish=finish)
    return Hands(56 + 51j, 71 + 62j)


def _valves(canvas: Canvas, pose: Pose, first: complex, step: complex, *, down: complex, finish: Colour) -> None:
    """Draw three valves in a row, with those of the note's fingering pressed."""
    down /= abs(down)
    for valve, pressed in enumerate(_FINGERINGS[tube_position(pose.label, pose.pitch)]):
        place = first + step * valve
        canvas.line([place - down * 0.5, place + down * 5.5], 1.9, shade(finish, 0.65))
        canvas.line([place, place - down * (0.8 if pressed else 4)], 0.9, SILVER)
        canvas.disc(place - down * (0.8 if pressed else 4), 1.1, IVORY)


#: Whether valves 1 to 3 are pressed to lower the pitch of a brass tube by 0 to 6 semitones.
_FINGERINGS = ((0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 1, 1))

_DRAW: dict[str, Callable[[Canvas, Pose, Colour], Hands]] = {
    "bassoon": _bassoon,
    "cello": _upright,
    "clarinet": _clarinet,
    "double_bass": _upright,
    "flute": _flute,
    "horn": _horn,
    "oboe": _oboe,
    "sax": _sax,
    "trombone": _trombone,
    "trumpet": _trumpet,
    "tuba": _tuba,
    "viola": _violin,
    "violin": _violin,
}
