"""Draw the thirteen instruments, and return where the player's hands are for the note that sounds."""

from cmath import rect
from collections.abc import Callable
from math import radians
from typing import NamedTuple

from cmcgan_core.data.synthetic.canvas import Canvas, Colour, curve, shade
from cmcgan_core.data.synthetic.person import CHIN, MOUTH
from cmcgan_core.data.synthetic.score import closed_holes, stopped_string, tube_position

BLACK: Colour = (26, 24, 26)
SILVER: Colour = (206, 210, 216)
IVORY: Colour = (238, 232, 214)

#: The main colour of each instrument: varnish, wood or metal.
FINISHES = {
    "bassoon": (96, 26, 18),
    "cello": (188, 92, 34),
    "clarinet": (30, 28, 32),
    "double_bass": (132, 60, 24),
    "flute": (216, 220, 226),
    "horn": (206, 172, 84),
    "oboe": (74, 38, 26),
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
    size = 1.22 if pose.label == "viola" else 0.95
    axis = rect(size, radians(14 + 5 * pose.sway - 4 * pose.height))
    string, stop = stopped_string(pose.label, pose.pitch)
    canvas.line([CHIN + axis * 10, CHIN + axis * 26], 1.6, shade(finish, 0.6))
    _bouts(canvas, CHIN, axis, (4.4, 11.2), (4.6 + 4.6j, 3.7 + 3.8j), finish=finish)
    canvas.line([CHIN + axis * 2, CHIN + axis * 24], 1.1, BLACK)
    canvas.disc(CHIN + axis * 26.5, 1.4, shade(finish, 0.6))
    right = _bow(canvas, pose, CHIN + axis * 9, rect(1, radians(-66 + 9 * string)), 33)
    return Hands(right, CHIN + axis * (23.5 - 19 * stop) + 1.5j)


def _upright(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a cello between the knees, or a double bass next to the standing player."""
    if pose.label == "cello":
        bottom, scroll, bouts, length = 59 + 92j, 56 + 19j, (9.5 + 13j, 8.5 + 10j), 38
    else:
        bottom, scroll, bouts, length = 65 + 98j, 58.5 + 9j, (13 + 17j, 11 + 12j), 36
    way = scroll - bottom
    axis = way / abs(way)
    string, stop = stopped_string(pose.label, pose.pitch)
    canvas.line([bottom, bottom - axis * 8], 0.8, SILVER)
    _bouts(canvas, bottom, axis, (bouts[0].real * 1.1, bouts[0].real * 2.6 + bouts[1].real * 0.5), bouts, finish=finish)
    canvas.line([bottom + way * 0.42, scroll], 2.4, shade(finish, 0.55))
    canvas.line([bottom + way * 0.3, bottom + way * 0.93], 1.9, BLACK)
    canvas.line([bottom + way * 0.05, bottom + way * 0.18], 2, BLACK)
    canvas.disc(scroll, 2, shade(finish, 0.6))
    bridge, nut = bottom + way * 0.2, bottom + way * 0.9
    right = _bow(canvas, pose, bottom + way * 0.26, rect(1, radians(-14 + 8 * string)), length)
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
    for centre, radius in ((lower, radii[0]), (upper, radii[1])):
        canvas.ellipse(centre, radius * size, shade(finish, 0.55), axis)
        canvas.ellipse(centre, radius * size * 0.9, finish, axis)
    waist = (lower + upper) / 2
    canvas.cone(lower, upper, (radii[0].imag * size * 1.2, radii[1].imag * size * 1.2), finish)
    for side in (-1, 1):
        hole = waist + side * across * radii[1].imag * size * 0.42
        canvas.line([hole - axis * places[0] * 0.3, hole + axis * places[0] * 0.3], radii[1].imag * 0.1, BLACK)
    half = across * radii[1].imag * size * 0.35
    canvas.line([waist - half, waist + half], 0.6, IVORY)


def _bow(canvas: Canvas, pose: Pose, contact: complex, direction: complex, length: float) -> complex:
    """Draw a bow that touches the string at `contact`, and return the position of the right hand."""
    if pose.plucked:
        return contact - 2 * direction
    frog = contact - direction * (2 + pose.bow * (length - 5))
    canvas.line([frog, frog + direction * length], 0.9, IVORY)
    canvas.line([frog + 1.2j, frog + direction * length], 1, (90, 44, 22))
    return frog


def _clarinet(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a clarinet: a wide black tube with a wide bell, held low."""
    axis = rect(1, radians(64 - 10 * pose.height + 4 * pose.sway))
    canvas.cone(MOUTH + axis * 4, MOUTH + axis * 34, (2.4, 2.8), finish)
    canvas.cone(MOUTH, MOUTH + axis * 4, (0.8, 2.4), BLACK)
    canvas.cone(MOUTH + axis * 33, MOUTH + axis * 39, (2.8, 7), finish)
    for ring in (13, 21.5, 33, 39):
        canvas.cone(MOUTH + axis * ring, MOUTH + axis * (ring + 0.8), (3 if ring < 39 else 7,) * 2, SILVER)
    _holes(canvas, pose, MOUTH + axis * 10, axis * 20, SILVER)
    return Hands(MOUTH + axis * 26 - 1, MOUTH + axis * 14 + 1)


def _oboe(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw an oboe: a thin reddish tube with a pale reed and a small round bell, held higher than a clarinet."""
    axis = rect(1, radians(44 - 9 * pose.height + 4 * pose.sway))
    canvas.line([MOUTH, MOUTH + axis * 5], 1.1, (226, 190, 110))
    canvas.cone(MOUTH + axis * 4.5, MOUTH + axis * 29, (1.8, 2.8), finish)
    canvas.ellipse(MOUTH + axis * 30, 3.2 + 2.6j, shade(finish, 1.2), axis)
    _holes(canvas, pose, MOUTH + axis * 8, axis * 18, (226, 206, 150))
    return Hands(MOUTH + axis * 20.5 - 1, MOUTH + axis * 11 + 1)


def _flute(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a flute: a silver tube held sideways, to the player's right."""
    axis = rect(1, radians(164 - 10 * pose.height + 4 * pose.sway))
    canvas.cone(MOUTH - axis * 5, MOUTH + axis * 34, (2.6, 2.6), shade(finish, 0.75))
    canvas.line([MOUTH - axis * 4 - 0.5j, MOUTH + axis * 33.5 - 0.5j], 1.4, finish)
    _holes(canvas, pose, MOUTH + axis * 11, axis * 18, (120, 124, 130))
    return Hands(MOUTH + axis * 26 + 1.5j, MOUTH + axis * 13 + 1.5j)


def _bassoon(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a bassoon: a long diagonal tube with a crook from its middle to the mouth and a white ring at the top."""
    low, high = 39 + 90j, 66 + (7 - 3 * pose.height + 2 * pose.sway) * 1j
    way = high - low
    canvas.line(curve(MOUTH, MOUTH + 3 - 1.5j, low + way * 0.74, low + way * 0.66), 0.9, SILVER)
    canvas.cone(low, low + way * 0.75, (5.2, 4.2), finish)
    canvas.cone(low + way * 0.7, high, (3, 2.6), shade(finish, 1.15))
    canvas.cone(low + way * 0.965, high, (3.8, 4.2), IVORY)
    for ring in (0.02, 0.3, 0.68):
        canvas.cone(low + way * ring, low + way * (ring + 0.015), (5.2, 5.2), SILVER)
    _holes(canvas, pose, low + way * 0.62, -way * 0.34, SILVER)
    return Hands(low + way * 0.33 - 1, low + way * 0.56 + 1)


def _sax(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a saxophone: a golden cone, bent at the mouth and at the bottom, with a bell that points up and forward."""
    swing = rect(1, radians(6 * pose.sway - 6 * pose.height))

    def place(point: complex) -> complex:
        return MOUTH + point * swing

    canvas.line([place(p) for p in curve(0j, 5 - 2j, 8 + 1j)], 1.6, finish)
    canvas.cone(place(8 + 0j), place(6 + 36j), (2, 5.2), finish)
    canvas.line([place(p) for p in curve(6 + 35j, 8.5 + 40j, 13 + 40j, 15.5 + 35j)], 5.4, finish)
    canvas.cone(place(15.2 + 36j), place(19 + 21j), (5.2, 11), finish)
    canvas.ellipse(place(19 + 21j), 5.8 + 2.2j, shade(finish, 0.55), swing * rect(1, radians(14)))
    canvas.line([place(9 + 3j), place(8.4 + 34j)], 0.6, shade(finish, 0.6))
    _holes(canvas, pose, place(7.4 + 8j), place(6 + 33j) - place(7.4 + 8j), IVORY)
    return Hands(place(6.5 + 25j), place(7.5 + 12j) + 1)


def _holes(canvas: Canvas, pose: Pose, first: complex, way: complex, keys: Colour) -> None:
    """Draw six finger holes along a tube: fingers on the covered ones, raised keys on the others."""
    closed = closed_holes(pose.label, pose.pitch)
    across = 1j * way / abs(way)
    for hole in range(6):
        place = first + way * (hole + 0.5) / 6
        if hole < closed:
            canvas.disc(place, 1.1, (228, 176, 144))
        else:
            canvas.disc(place - across * 1.3, 0.9, keys)


def _trumpet(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a trumpet: a short loop with three valves and a bell straight ahead of the player."""
    axis = rect(1, radians(12 - 14 * pose.height + 3 * pose.sway))
    across = axis * 1j
    canvas.line([MOUTH, MOUTH + axis * 20], 1.4, finish)
    loop = [9 + 0j, 20 + 0j, 22 + 2j, 20 + 4.5j, 9 + 4.5j, 7 + 2j, 9 + 0j]
    canvas.line([MOUTH + axis * p for p in loop], 1.5, shade(finish, 0.8))
    canvas.cone(MOUTH + axis * 18, MOUTH + axis * 26, (1.5, 4), finish)
    canvas.cone(MOUTH + axis * 26, MOUTH + axis * 30, (4, 12), finish)
    canvas.ellipse(MOUTH + axis * 30, 1.2 + 6j, shade(finish, 0.6), axis)
    _valves(canvas, pose, MOUTH + axis * 11.5, axis * 2.1, down=across, finish=finish)
    return Hands(MOUTH + axis * 13 - across * 2.5, MOUTH + axis * 12 + across * 4)


def _trombone(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a trombone: a slide that the right hand extends for each semitone, and a bell next to the head."""
    axis = rect(1, radians(24 - 6 * pose.height + 3 * pose.sway))
    across = axis * 1j
    reach = 11 + 3 * tube_position(pose.label, pose.pitch)
    end = MOUTH + axis * (reach + 15)
    for side in (0, 2.6):
        canvas.line([MOUTH + across * side, MOUTH + axis * 26 + across * side], 0.8, SILVER)
        canvas.line([MOUTH + axis * reach + across * side, end + across * side], 1.4, finish)
    canvas.line(curve(end, end + axis * 1.6 + across * 1.3, end + across * 2.6), 1.4, finish)
    for brace in (5, reach):
        canvas.line([MOUTH + axis * brace - across * 0.5, MOUTH + axis * brace + across * 3.1], 1.1, shade(finish, 0.8))
    flare = MOUTH + rect(22, radians(-24 - 6 * pose.height))
    canvas.line(curve(MOUTH + axis * 5, 36 + 33j, 34 + 28j, 38 + 25j), 1.2, shade(finish, 0.8))
    canvas.line([53 + 25j, flare], 1.4, finish)
    ahead = (flare - 53 - 25j) / abs(flare - 53 - 25j)
    canvas.cone(flare - ahead * 7, flare, (1.6, 5), finish)
    canvas.cone(flare, flare + ahead * 3.5, (5, 13), finish)
    canvas.ellipse(flare + ahead * 3.5, 1.6 + 6.5j, shade(finish, 0.6), ahead)
    return Hands(MOUTH + axis * reach + across, MOUTH + axis * 5 + across * 1.5)


def _horn(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a horn: a round coil with a wide bell low on the player's right; the right hand is inside the bell."""
    lift = 1 + 1j * (2 * pose.sway - 5 * pose.height)
    coil, bell = 59 + 48j + lift.imag * 1j, 44 + 61j + lift.imag * 0.6j
    canvas.line(curve(MOUTH, MOUTH + 5 + 4j, coil - 2 - 10j), 1.1, finish)
    canvas.cone(coil - 1 + 8j, bell, (3, 8), shade(finish, 0.85))
    for radius in (10.5, 8, 5.4):
        canvas.ring(coil, complex(radius, radius * 0.95), 1.5, shade(finish, 1 if radius > 6 else 0.8))
    canvas.line([coil - 6 - 5j, coil + 6 + 5j], 1.2, finish)
    canvas.line([coil - 6 + 5j, coil + 5 - 6j], 1.2, shade(finish, 0.8))
    canvas.ellipse(bell, 10.5 + 8j, finish, rect(1, radians(70)))
    canvas.ellipse(bell, 8 + 6j, shade(finish, 0.5), rect(1, radians(70)))
    _valves(canvas, pose, coil + 3 - 3j, 2.2j, down=1, finish=finish)
    return Hands(bell + 1, coil + 6 + 1j)


def _tuba(canvas: Canvas, pose: Pose, finish: Colour) -> Hands:
    """Draw a tuba: a large oval on the lap with a wide bell that opens upwards above the player's head."""
    tilt = 2.5 * pose.sway
    top = 68 + tilt + (10 - 3 * pose.height) * 1j
    dark, light = shade(finish, 0.65), shade(finish, 1.3)
    canvas.ellipse(62 + 68j, 11 + 15j, dark)
    canvas.ellipse(62 + 68j, 9 + 13j, finish)
    canvas.cone(66 + 66j, top + 14j, (10, 12), finish)
    canvas.cone(top + 14.5j, top, (12, 25), finish)
    canvas.ellipse(top, 12.7 + 3.6j, dark)
    canvas.line([66 + 60j, top + 5j], 1, light)
    canvas.ring(60 + 67j, 5 + 9j, 1.2, dark)
    canvas.ring(60 + 67j, 3 + 6j, 1, light)
    canvas.line(curve(MOUTH, MOUTH + 5 + 2j, 60 + 38j, 61 + 50j), 1.3, light)
    _valves(canvas, pose, 54 + 52j, 2.4 + 0.4j, down=1j, finish=finish)
    return Hands(56 + 51j, 70 + 62j)


def _valves(canvas: Canvas, pose: Pose, first: complex, step: complex, *, down: complex, finish: Colour) -> None:
    """Draw three valves in a row, with those of the note's fingering pressed."""
    down /= abs(down)
    for valve, pressed in enumerate(_FINGERINGS[tube_position(pose.label, pose.pitch)]):
        place = first + step * valve
        canvas.line([place - down * 0.5, place + down * 5], 1.5, shade(finish, 0.7))
        canvas.line([place, place - down * (0.8 if pressed else 3.4)], 0.8, SILVER)
        canvas.disc(place - down * (0.8 if pressed else 3.4), 0.9, IVORY)


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
