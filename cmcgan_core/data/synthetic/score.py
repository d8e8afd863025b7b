"""Registers, tunings and fingerings of the instruments, and the composition of short pieces for them."""

from typing import NamedTuple

import numpy as np

#: Lowest and highest MIDI pitch of the pieces. Source: the ranges in Adler, "The Study of Orchestration", with the top
#: lowered to what chamber music needs. The sax spans tenor to soprano, as in URMP.
REGISTERS = {
    "bassoon": (34, 70),
    "cello": (36, 72),
    "clarinet": (50, 84),
    "double_bass": (28, 55),
    "flute": (60, 94),
    "horn": (41, 77),
    "oboe": (58, 86),
    "sax": (46, 82),
    "trombone": (40, 70),
    "trumpet": (54, 82),
    "tuba": (29, 58),
    "viola": (48, 80),
    "violin": (55, 92),
}

#: Open strings as MIDI pitches, lowest first.
OPEN_STRINGS = {
    "violin": (55, 62, 69, 76),
    "viola": (48, 55, 62, 69),
    "cello": (36, 43, 50, 57),
    "double_bass": (28, 33, 38, 43),
}

#: MIDI pitch of the fundamental of the open tube; all four instruments are in B flat.
TUBE_FUNDAMENTALS = {"trumpet": 46, "horn": 34, "trombone": 34, "tuba": 22}

#: Semitones of the harmonics 2 to 12 above the fundamental of a brass tube.
PARTIALS = (12, 19, 24, 28, 31, 34, 36, 38, 40, 42, 43)

#: Probability that a whole piece is plucked.
PIZZICATO = {"violin": 0.05, "viola": 0.05, "cello": 0.1, "double_bass": 0.35}

SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 11))

#: Note values in beats.
NOTE_VALUES = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
#: The probability of each note value.
NOTE_SHARES = (0.3, 0.08, 0.34, 0.1, 0.13, 0.05)

#: Duration of a bow stroke from frog to tip, in seconds.
BOW_SECONDS = 1.6


class Note(NamedTuple):
    """One note of a performed piece."""

    start: float  #: when it starts, seconds
    seconds: float  #: seconds until the next note or rest
    sounding: float  #: share of `seconds` for which the note is held; 1 is legato
    pitch: int  #: MIDI number
    loudness: float  #: 0 pianissimo to 1 fortissimo
    bow: tuple[float, float]  #: points of the bow at which the note starts and ends, 0 frog to 1 tip
    plucked: bool  #: whether the string is plucked, not bowed


def compose(label: str, seconds: float, rng: np.random.Generator) -> list[Note]:
    """Compose a melody: a random walk on a scale, in phrases that get louder and softer.

    Args:
        label: the instrument.
        seconds: the shortest length of the melody.
        rng: draws everything that is random.
    """
    pitches = _scale(label, rng)
    beat = 60 / rng.uniform(60, 132)
    touch = rng.uniform(0.6, 1.0)
    level = rng.uniform(0.1, 0.9)
    plucked = rng.random() < PIZZICATO.get(label, 0)
    place = int(rng.integers(len(pitches) // 4, 1 + 3 * len(pitches) // 4))
    start, bow, direction = 0.0, 0.1, 1
    notes: list[Note] = []
    while start < seconds:
        length = beat * float(rng.choice(NOTE_VALUES, p=NOTE_SHARES))
        arch = level + 0.25 * np.sin(start / (8 * beat) * 2 * np.pi) + rng.normal(0, 0.05)
        end = float(np.clip(bow + direction * length / BOW_SECONDS, 0.05, 0.95))
        held = float(np.clip(touch + rng.normal(0, 0.08), 0.45, 1))
        notes.append(Note(start, length, held, pitches[place], float(np.clip(arch, 0.05, 1)), (bow, end), plucked))
        bow, direction = end, -direction if rng.random() < 0.7 or not 0.1 < end < 0.9 else direction
        start += length + (beat / 2 if rng.random() < 0.05 else 0)
        place = _step(place, len(pitches), rng)
    return notes


def _scale(label: str, rng: np.random.Generator) -> list[int]:
    """Return the MIDI pitches of a random key, within at most an octave and a half of the register."""
    low, high = REGISTERS[label]
    width = min(19, high - low)
    # Most pieces stay near the middle of the register, as in real music.
    low += round(rng.triangular(0, 0.5, 1) * (high - low - width))
    key, degrees = int(rng.integers(12)), SCALES[int(rng.integers(len(SCALES)))]
    return [pitch for pitch in range(low, low + width + 1) if (pitch - key) % 12 in degrees]


def _step(place: int, places: int, rng: np.random.Generator) -> int:
    """Return the next place on a scale with `places` pitches.

    It is mostly one or two steps away, sometimes a leap. It is reflected at the ends of the scale.
    """
    leap = rng.random() < 0.4
    place += int(rng.choice((-1, 1))) * int(rng.integers(2, 8) if leap else rng.integers(1, 3))
    place = abs(place)
    return place if place < places else 2 * (places - 1) - place


def note_at(notes: list[Note], time: float) -> Note:
    """Return the note that sounds at `time` seconds; during a rest, the note before it."""
    return next((note for note in reversed(notes) if note.start <= time), notes[0])


def stopped_string(label: str, pitch: int) -> tuple[int, float]:
    """Return the string for a pitch (0 is the lowest), and the share of it that the left hand cuts off (0 is open)."""
    strings = OPEN_STRINGS[label]
    string = max((s for s, open_pitch in enumerate(strings) if open_pitch <= pitch), default=0)
    return string, 1 - 2 ** -((pitch - strings[string]) / 12)


def tube_position(label: str, pitch: int) -> int:
    """Return by how many semitones, 0 to 6, slide or valves lower the nearest harmonic at or above the pitch."""
    above = [TUBE_FUNDAMENTALS[label] + partial - pitch for partial in PARTIALS]
    return min(min((gap for gap in above if gap >= 0), default=0), 6)


def closed_holes(label: str, pitch: int, holes: int = 6) -> int:
    """Return how many finger holes are covered: all for the lowest note of each octave, fewer for higher notes."""
    semitones = (pitch - REGISTERS[label][0]) % 12
    return holes - round(semitones * holes / 12)
