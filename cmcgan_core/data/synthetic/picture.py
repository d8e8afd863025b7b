"""Performances as pictures: one player with an instrument in a room, drawn at twice the size and reduced."""

from math import pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmcgan_core.data.prepare.sources import Recording
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
from cmcgan_core.data.synthetic.room import paint_room
from cmcgan_core.data.synthetic.score import REGISTERS, Note, note_at
from cmcgan_core.data.synthetic.seeds import make_rng

#: Side of the drawing in units of the picture's: reduced by this, edges are smooth.
OVERSAMPLING = 2


class Scene:
    """A camera before one player in one room; `frame` draws what it sees at one moment.

    Args:
        seed: of the whole set.
        recording: its player gives looks and the instrument's finish, its id where camera and player are.
        size: side of the pictures, pixels.
    """

    def __init__(self, seed: int, recording: Recording, size: int) -> None:
        rng = make_rng(seed, recording.id, "picture")
        looks = make_rng(seed, recording.player, "looks")
        self.label = recording.label
        self.person = sample_person(recording.label, looks)
        self.finish = _varied(FINISHES[recording.label], looks)
        self.room = paint_room(make_rng(seed, "room", recording.extra["room"], "looks"), rng, OVERSAMPLING * size)
        self.shift = complex(rng.uniform(-9, 3), rng.uniform(3, 7))
        self.scale = self.person.height * rng.uniform(1.08, 1.22)
        self.sway_seconds = rng.uniform(2, 5)
        self.backdrop = self.room.backdrop
        draw_legs(self._canvas(self.backdrop, 0), self.person, self.room.chair)
        exposure = rng.uniform(0.9, 1.1)
        self.lookup = [min(round(value * light * exposure), 255) for light in self.room.light for value in range(256)]

    def frame(self, notes: list[Note], time: float) -> NDArray[np.uint8]:
        """What the camera sees at that time, (size, size, 3) RGB."""
        pose = self._pose(notes, time)
        image = self.backdrop.copy()
        canvas = self._canvas(image, 1.5 * pose.sway)
        draw_trunk(canvas, self.person)
        hands = draw_instrument(canvas, pose, self.finish)
        draw_arm(canvas, self.person, LEFT_SHOULDER, hands.left)
        draw_arm(canvas, self.person, RIGHT_SHOULDER, hands.right)
        return np.array(image.reduce(OVERSAMPLING).point(self.lookup))

    def _canvas(self, image: Image.Image, tilt: float) -> Canvas:
        return Canvas(image, HIPS, self.shift, self.scale, tilt)

    def _pose(self, notes: list[Note], time: float) -> Pose:
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


def _varied(colour: Colour, rng: np.random.Generator) -> Colour:
    """An instrument's colour, as varnish and metal differ from maker to maker."""
    factor, drift = rng.uniform(0.85, 1.12), rng.normal(0, 6, 3)
    red, green, blue = (int(np.clip(c * factor + d, 0, 255)) for c, d in zip(colour, drift, strict=True))
    return red, green, blue
