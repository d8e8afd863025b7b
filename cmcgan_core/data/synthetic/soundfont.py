"""Notes played by a General-MIDI soundfont, by whichever of two optional packages is installed."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.synthetic.score import Note
from cmcgan_core.errors import ConfigError

#: General-MIDI programs, counted from 0.
PROGRAMS = {
    "bassoon": 70,
    "cello": 42,
    "clarinet": 71,
    "double_bass": 43,
    "flute": 73,
    "horn": 60,
    "oboe": 68,
    "sax": 65,
    "trombone": 57,
    "trumpet": 56,
    "tuba": 58,
    "viola": 41,
    "violin": 40,
}


def check(path: Path) -> None:
    """Make sure that the soundfont can be played.

    Raises:
        ConfigError: there is no such file, or neither package is installed.
    """
    if not path.is_file():
        raise ConfigError(f"there is no soundfont {path}")
    _package()


def play(path: Path, label: str, notes: list[Note], samples: int, rate: int) -> NDArray[np.float32]:
    """The notes, dry and mono, (samples,).

    Raises:
        ConfigError: neither package is installed, or the file is not a soundfont.
    """
    package = _package()
    synth = package.Synth(samplerate=rate)
    font = synth.sfload(str(path))
    if font == -1:
        raise ConfigError(f"{path} is not a soundfont")
    synth.program_select(0, font, 0, PROGRAMS[label])
    sound, done = [], 0
    for time, pitch, velocity in _events(notes):
        until = min(round(time * rate), samples)
        sound.append(_samples(synth, until - done))
        done = until
        if velocity:
            synth.noteon(0, pitch, velocity)
        else:
            synth.noteoff(0, pitch)
    sound.append(_samples(synth, samples - done))
    return np.concatenate(sound)


def _package() -> ModuleType:
    for name in ("tinysoundfont", "fluidsynth"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ConfigError(
        "a soundfont needs pyfluidsynth (and FluidSynth itself) or tinysoundfont; install one with: "
        "pip install pyfluidsynth"
    )


def _events(notes: list[Note]) -> list[tuple[float, int, int]]:
    """(seconds, pitch, velocity) in time order; velocity 0 ends a note."""
    starts = [(note.start, note.pitch, 30 + round(97 * note.loudness)) for note in notes]
    ends = [(note.start + note.seconds * note.sounding * 0.98, note.pitch, 0) for note in notes]
    return sorted(starts + ends)


def _samples(synth: Any, samples: int) -> NDArray[np.float32]:
    """The next samples, mono: tinysoundfont generates interleaved float32, FluidSynth interleaved int16."""
    if samples <= 0:
        return np.zeros(0, np.float32)
    if hasattr(synth, "generate"):
        stereo = np.frombuffer(synth.generate(samples), np.float32)
    else:
        stereo = np.asarray(synth.get_samples(samples), np.float32) / np.float32(32768)
    return np.asarray(stereo.reshape(-1, 2).mean(1), np.float32)
