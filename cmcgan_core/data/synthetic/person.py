"""Sample the looks of players, and draw them from head to foot, seen from the front and turned to the right."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from cmcgan_core.data.synthetic.canvas import Canvas, Colour, shade

SKINS = ((246, 214, 188), (232, 190, 158), (206, 158, 122), (164, 112, 78), (116, 76, 52), (84, 56, 40))
HAIRS = ((28, 22, 20), (62, 40, 26), (104, 66, 34), (176, 130, 70), (222, 196, 140), (150, 60, 30), (170, 170, 172))
CLOTHES = (
    (30, 32, 40),
    (236, 236, 232),
    (178, 34, 40),
    (30, 110, 70),
    (40, 70, 160),
    (120, 60, 130),
    (222, 160, 50),
    (120, 124, 130),
    (90, 130, 170),
    (200, 120, 140),
    (70, 60, 50),
    (150, 190, 190),
)
HAIRCUTS = ("short", "long", "bun", "bald")

#: Positions of the joints of a figure of average size, in hundredths of the frame.
HEAD, NECK, HIPS = 46 + 22j, 46 + 31j, 46 + 67j
RIGHT_SHOULDER, LEFT_SHOULDER = 38.5 + 39j, 53.5 + 39j
MOUTH, CHIN = 51.8 + 27.5j, 50 + 31j

#: Instruments that are always played standing, and those always played sitting. For the others, players differ.
STANDING, SITTING = {"double_bass"}, {"bassoon", "cello", "horn", "tuba"}


@dataclass(frozen=True)
class Person:
    """The looks of a player."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    haircut: str
    glasses: bool
    sleeves: bool  #: whether the sleeves are long
    standing: bool
    build: float  #: relative width of the trunk and the limbs, about 1
    height: float  #: relative size of the figure, about 1


def sample_person(label: str, rng: np.random.Generator) -> Person:
    """Return random looks for a player of the instrument `label`."""
    prefers_standing = rng.random() < 0.3
    return Person(
        skin=SKINS[rng.integers(len(SKINS))],
        hair=HAIRS[rng.integers(len(HAIRS))],
        shirt=CLOTHES[rng.integers(len(CLOTHES))],
        trousers=shade(CLOTHES[rng.integers(len(CLOTHES))], rng.uniform(0.5, 1)),
        haircut=HAIRCUTS[rng.choice(4, p=(0.45, 0.3, 0.15, 0.1))],
        glasses=rng.random() < 0.25,
        sleeves=rng.random() < 0.55,
        standing=label in STANDING or (prefers_standing and label not in SITTING),
        build=rng.uniform(0.85, 1.2),
        height=rng.uniform(0.92, 1.06),
    )


def draw_legs(canvas: Canvas, person: Person, chair: Colour) -> None:
    """Draw the legs, and the chair of a player who sits."""
    width = 8.5 * person.build
    if person.standing:
        canvas.line([HIPS - 3, 42 + 106j], width, shade(person.trousers, 0.8))
        canvas.line([HIPS + 3, 52 + 106j], width, person.trousers)
        return
    canvas.polygon((34 + 44j, 37 + 44j, 37 + 72j, 34 + 72j), chair)
    canvas.polygon((34 + 70j, 54 + 70j, 54 + 73j, 34 + 73j), chair)
    for leg in (35.5 + 98j, 52 + 96j):
        canvas.line([complex(leg.real, 72), leg], 1.5, chair)
    for hip, knee, foot, light in ((47 + 67j, 64 + 69j, 63 + 94j, 0.75), (44 + 69j, 58 + 73j, 56 + 96j, 1.0)):
        canvas.line([hip, knee, foot], width, shade(person.trousers, light))
        canvas.line([foot, foot + 4], 3.5, (24, 22, 22))


def draw_trunk(canvas: Canvas, person: Person) -> None:
    """Draw trunk, neck and head."""
    half = 9.5 * person.build
    bottom = complex(HIPS.real, 71)
    canvas.polygon((46 - half + 36j, 46 + half + 36j, bottom + half * 0.85, bottom - half * 0.85), person.shirt)
    canvas.ellipse(46 + 37j, half + 4j, person.shirt)
    canvas.line([NECK, 46 + 36j], 5, shade(person.skin, 0.85))
    _draw_head(canvas, person)


def _draw_head(canvas: Canvas, person: Person) -> None:
    """Draw the head with hair, face and glasses."""
    if person.haircut == "long":
        canvas.polygon((39 + 20j, 46 + 13j, 51 + 19j, 46 + 41j, 37 + 42j), person.hair)
    if person.haircut == "bun":
        canvas.disc(38.5 + 16j, 3.4, person.hair)
    canvas.ellipse(HEAD, 6.8 + 8.6j, person.skin)
    if person.haircut != "bald":
        canvas.polygon(
            (39 + 25j, 38.6 + 18j, 42 + 13.5j, 47 + 12.5j, 51.5 + 15j, 52.5 + 18.5j, 46.5 + 18j, 43 + 22j), person.hair
        )
    canvas.disc(50.6 + 21.5j, 0.8, (30, 26, 26))
    canvas.polygon((52 + 21j, 54 + 24.6j, 51.6 + 25j), shade(person.skin, 0.9))
    canvas.line([MOUTH - 1.8, MOUTH], 0.8, (150, 70, 66))
    if person.glasses:
        canvas.ring(50.3 + 21.4j, 1.9 + 1.7j, 0.5, (30, 30, 34))
        canvas.line([48.4 + 21j, 42 + 21j], 0.5, (30, 30, 34))


def draw_arm(canvas: Canvas, person: Person, shoulder: complex, hand: complex) -> None:
    """Draw an arm from the shoulder to the hand, with the elbow below the straight line between them."""
    elbow = _elbow(shoulder, hand)
    width = 5 * person.build
    canvas.line([elbow, hand], width * 0.8, shade(person.shirt, 0.9) if person.sleeves else person.skin)
    canvas.line([shoulder, elbow], width, shade(person.shirt, 0.9))
    canvas.disc(hand, 2.1, person.skin)


def _elbow(shoulder: complex, hand: complex, length: float = 15) -> complex:
    """Return the position of the elbow: the lower corner of a triangle with two equal sides, upper arm and forearm."""
    way = hand - shoulder
    height = sqrt(max(length**2 - abs(way) ** 2 / 4, 0))
    down = 1j * way / abs(way) * (1 if way.real >= 0 else -1)
    return shoulder + way / 2 + down * height
