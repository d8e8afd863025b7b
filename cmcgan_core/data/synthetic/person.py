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
    trim: Colour  #: the colour of the stripes of the shirt
    stripes: bool  #: whether the shirt has stripes
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
        trim=CLOTHES[rng.integers(len(CLOTHES))],
        stripes=rng.random() < 0.2,
        haircut=HAIRCUTS[rng.choice(4, p=(0.45, 0.3, 0.15, 0.1))],
        glasses=rng.random() < 0.25,
        sleeves=rng.random() < 0.55,
        standing=label in STANDING or (prefers_standing and label not in SITTING),
        build=rng.uniform(0.85, 1.2),
        height=rng.uniform(0.92, 1.06),
    )


def draw_legs(canvas: Canvas, person: Person, chair: Colour) -> None:
    """Draw the legs, and the chair of a player who sits."""
    width = 9.5 * person.build
    if person.standing:
        canvas.pipe([HIPS - 3.5, 42 + 110j], width, shade(person.trousers, 0.8), matt=True)
        canvas.pipe([HIPS + 3.5, 52 + 110j], width, person.trousers, matt=True)
        return
    canvas.polygon((33 + 43j, 36.5 + 43j, 37 + 72j, 33.5 + 72j), chair)
    canvas.polygon((33 + 70j, 54 + 71j, 54 + 74j, 33 + 73j), chair)
    for leg in (35.5 + 100j, 52 + 98j):
        canvas.line([complex(leg.real, 72), leg], 1.5, chair)
    for hip, knee, foot, light in ((47 + 67j, 65 + 70j, 64 + 98j, 0.75), (44 + 69j, 59 + 74j, 57 + 100j, 1.0)):
        canvas.pipe([hip, knee, foot], width, shade(person.trousers, light), matt=True)


def draw_trunk(canvas: Canvas, person: Person) -> None:
    """Draw trunk, neck and head."""
    half, shirt = 9.5 * person.build, person.shirt
    for share, tone in ((1.0, 0.74), (0.8, 0.95), (0.45, 1.08)):
        middle, bottom = 46 - 2 * (1 - share), 46 - 3 * (1 - share) + 72j
        canvas.ellipse(middle + 38.5j, half * share + 4.5j, shade(shirt, tone))
        corners = (middle + 38j - half * share, middle + 38j + half * share)
        canvas.polygon((*corners, bottom + half * share * 0.85, bottom - half * share * 0.85), shade(shirt, tone))
    if person.stripes:
        for height in range(42, 72, 5):
            canvas.line([46 - half * 0.92 + height * 1j, 46 + half * 0.9 + height * 1j], 1.3, person.trim)
    canvas.polygon((43 + 34.5j, 49.5 + 34.5j, 47 + 39j), shade(person.skin, 0.9))
    canvas.line([NECK - 2j, 46.3 + 35j], 5, shade(person.skin, 0.8))
    _draw_head(canvas, person)


def _draw_head(canvas: Canvas, person: Person) -> None:
    """Draw the head, turned to the right, with hair, face and glasses."""
    hair, dark = person.hair, shade(person.hair, 0.7)
    if person.haircut == "long":
        canvas.polygon((38.4 + 20j, 44 + 12.5j, 51 + 17j, 46.5 + 42j, 36.5 + 43j), dark)
        canvas.polygon((39.4 + 20j, 44 + 13.5j, 46 + 18j, 41.5 + 41j, 37.5 + 41j), hair)
    if person.haircut == "bun":
        canvas.dome(38 + 16j, 3.6 + 3.6j, hair)
    canvas.dome(HEAD, 6.6 + 8.4j, person.skin)
    canvas.polygon((52 + 20.5j, 54.6 + 24.4j, 52 + 25.4j), shade(person.skin, 0.88))
    if person.haircut != "bald":
        outline = (39.2 + 26j, 38.4 + 19j, 40.5 + 14j, 46 + 11.8j, 51 + 13.6j, 52.8 + 17.5j, 46.5 + 17.4j, 43.4 + 21.5j)
        canvas.polygon(outline, dark)
        canvas.line([40.5 + 18j, 43 + 14.5j, 47 + 13.6j], 1.6, hair)
    canvas.ellipse(43.6 + 23.5j, 1.2 + 1.9j, shade(person.skin, 0.78))
    for eye in (47.6 + 20.8j, 51 + 20.8j):
        canvas.ellipse(eye, 1.1 + 0.8j, (244, 242, 238))
        canvas.disc(eye + 0.3, 0.75, (34, 26, 24))
        canvas.line([eye - 1.2 - 2.5j, eye + 1.1 - 2.5j], 0.5, dark if person.haircut != "bald" else (90, 70, 60))
    canvas.line([MOUTH - 2.4, MOUTH], 1, (160, 76, 72))
    if person.glasses:
        for eye in (47.6 + 20.8j, 51.2 + 20.8j):
            canvas.ring(eye, 1.8 + 1.6j, 0.5, (30, 30, 34))
        canvas.line([45.8 + 20.6j, 42 + 20.6j], 0.5, (30, 30, 34))


def draw_arm(canvas: Canvas, person: Person, shoulder: complex, hand: complex) -> None:
    """Draw an arm from the shoulder to the hand, with the elbow below the straight line between them."""
    elbow = _elbow(shoulder, hand)
    width = 5.2 * person.build
    canvas.pipe([elbow, hand], width * 0.75, shade(person.shirt, 0.9) if person.sleeves else person.skin, matt=True)
    canvas.pipe([shoulder, elbow], width, shade(person.shirt, 0.9), matt=True)
    canvas.dome(hand, 2.4 + 2.1j, person.skin)
    canvas.line([hand - 0.4j, hand + 1.8 - 0.6j], 0.5, shade(person.skin, 0.6))


def _elbow(shoulder: complex, hand: complex, length: float = 15) -> complex:
    """Return the position of the elbow: the lower corner of a triangle with two equal sides, upper arm and forearm."""
    way = hand - shoulder
    height = sqrt(max(length**2 - abs(way) ** 2 / 4, 0))
    down = 1j * way / abs(way) * (1 if way.real >= 0 else -1)
    return shoulder + way / 2 + down * height
