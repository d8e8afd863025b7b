"""Render pictures of performances: a player with an instrument in a booth or another room."""

from math import pi, sin
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmcgan_core.data.prepare.sources import Recording
from cmcgan_core.data.synthetic.booth import booth_seen_from
from cmcgan_core.data.synthetic.canvas import Canvas, Colour
from cmcgan_core.data.synthetic.instruments import FINISHES, Pose, draw_instrument
from cmcgan_core.data.synthetic.person import (
    HIPS,
    LEFT_SHOULDER,
    RIGHT_SHOULDER,
    draw_arm,
    draw_legs,
    draw_trunk,
    sample_person,
)
from cmcgan_core.data.synthetic.room import Room, paint_room
from cmcgan_core.data.synthetic.score import REGISTERS, Note, note_at
from cmcgan_core.data.synthetic.seeds import make_rng

#: Pictures are drawn this many times larger and then reduced, which makes edges smooth.
OVERSAMPLING = 2


#: The colour of the chairs of the booth.
CHAIR = (62, 64, 72)

#: The number of the booth among the rooms of a recording.
BOOTH = 0


class Framing(NamedTuple):
    """The ranges from which position and size of a player in the frame are drawn, once for each recording.

    Attributes:
        across, down: how far the player is moved to the right and down, hundredths of the frame.
        scale: size of the player; 1 is the size of the figure in `person.py`.
    """

    across: tuple[float, float]
    down: tuple[float, float]
    scale: tuple[float, float]


#: The camera of the studio moves a little between takes, as in Sub-URMP.
STEADY = Framing((-6.5, -4.5), (7, 9), (1.19, 1.23))
#: Each take of the rooms scene has another camera position.
MOVING = Framing((-9, 3), (3, 7), (1.08, 1.22))


class Scene:
    """The pictures of one recording: one player in one room, seen by a camera that does not move.

    Args:
        seed: seed of the whole set.
        recording: the recording. Its player decides the player's looks and the colour of the instrument, its room the
            room, and its id the positions of camera and player.
        size: side of the pictures, pixels.
        framing: the camera.
    """

    def __init__(self, seed: int, recording: Recording, size: int, framing: Framing) -> None:
        rng = make_rng(seed, recording.id, "picture")
        looks = make_rng(seed, recording.player, "looks")
        self.label = recording.label
        self.person = sample_person(recording.label, looks)
        self.finish = _vary_colour(FINISHES[recording.label], looks)
        self.room = _paint_place(seed, recording, rng, OVERSAMPLING * size)
        self.shift = complex(rng.uniform(*framing.across), rng.uniform(*framing.down))
        self.scale = self.person.height * rng.uniform(*framing.scale)
        self.sway_seconds = rng.uniform(2, 5)
        self.backdrop = self.room.backdrop
        draw_legs(self._canvas(self.backdrop, 0), self.person, self.room.chair)
        exposure = rng.uniform(0.9, 1.1)
        self.lookup = [min(round(value * light * exposure), 255) for light in self.room.light for value in range(256)]

    def frame(self, notes: list[Note], time: float) -> NDArray[np.uint8]:
        """Return the picture (size, size, 3), RGB, at `time` seconds, while the notes are played."""
        pose = self._pose(notes, time)
        image = self.backdrop.copy()
        canvas = self._canvas(image, 1.5 * pose.sway)
        draw_trunk(canvas, self.person)
        hands = draw_instrument(canvas, pose, self.finish)
        draw_arm(canvas, self.person, LEFT_SHOULDER, hands.left)
        draw_arm(canvas, self.person, RIGHT_SHOULDER, hands.right)
        return np.array(image.reduce(OVERSAMPLING).point(self.lookup))

    def _canvas(self, image: Image.Image, tilt: float) -> Canvas:
        """Return a canvas with the player's position and size, tilted around the hips."""
        return Canvas(image, HIPS, self.shift, self.scale, tilt)

    def _pose(self, notes: list[Note], time: float) -> Pose:
        """Return the player's pose at `time` seconds."""
        note = note_at(notes, time)
        low, high = REGISTERS[self.label]
        progress = min((time - note.start) / note.seconds, 1)
        return Pose(
            label=self.label,
            pitch=note.pitch,
            height=(note.pitch - low) / (high - low),
            loudness=note.loudness,
            bow=note.bow[0] + (note.bow[1] - note.bow[0]) * progress,
            plucked=note.plucked,
            sway=sin(2 * pi * time / self.sway_seconds),
        )


def _paint_place(seed: int, recording: Recording, take: np.random.Generator, size: int) -> Room:
    """Return the painted booth or room of a recording; `take` draws the position of the camera."""
    number = recording.extra["room"]
    if number == BOOTH:
        return Room(booth_seen_from(take, size), CHAIR, (1, 1, 1))
    return paint_room(make_rng(seed, "room", number, "looks"), take, size)


def _vary_colour(colour: Colour, rng: np.random.Generator) -> Colour:
    """Return a random variation of an instrument's colour, because varnish and metal differ between makers."""
    factor, drift = rng.uniform(0.85, 1.12), rng.normal(0, 6, 3)
    red, green, blue = (int(np.clip(c * factor + d, 0, 255)) for c, d in zip(colour, drift, strict=True))
    return red, green, blue
