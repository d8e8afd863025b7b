"""Play notes with a General MIDI soundfont, using one of two optional packages."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.synthetic.score import Note
from cmcgan_core.errors import ConfigError

#: General MIDI program of each instrument, counted from 0.
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


def require_playable(path: Path) -> None:
    """Check that a soundfont exists and that a package that plays it is installed.

    Raises:
        ConfigError: the file does not exist, or neither package is installed.
    """
    if not path.is_file():
        raise ConfigError(f"there is no soundfont {path}")
    _import_player()


def play(path: Path, label: str, notes: list[Note], samples: int, rate: int) -> NDArray[np.float32]:
    """Return the sound of notes, mono and without reverberation, (samples,).

    Args:
        path: the soundfont, an SF2 or SF3 file.
        label: the instrument.
        notes: the notes.
        samples: length of the sound.
        rate: sample rate, Hz.

    Raises:
        ConfigError: neither package is installed, or the file is not a soundfont.
    """
    synth = _open_synth(rate)
    try:
        font = synth.sfload(str(path))
        if font == -1:
            raise ConfigError(f"{path} is not a soundfont")
        synth.program_select(0, font, 0, PROGRAMS[label])
        return _play_events(synth, _events(notes), samples, rate)
    finally:
        # FluidSynth keeps a font, of up to hundreds of megabytes, until it is told to forget it.
        if hasattr(synth, "delete"):
            synth.delete()


def _open_synth(rate: int) -> Any:
    """Return a new synthesizer, so that a sound does not depend on the sounds before it; `rate` is in Hz."""
    package = _import_player()
    if package.__name__ == "tinysoundfont":
        return package.Synth(samplerate=rate)
    # Samples of other instruments stay on disk. The recording adds reverberation; a chorus would blur the harmonics.
    settings = {"synth.dynamic-sample-loading": 1, "synth.reverb.active": 0, "synth.chorus.active": 0}
    return package.Synth(samplerate=rate, channels=16, **settings)


def _play_events(synth: Any, events: list[tuple[float, int, int]], samples: int, rate: int) -> NDArray[np.float32]:
    """Return the sound (samples,) of the events of `_events`."""
    sound, done = [], 0
    for time, pitch, velocity in events:
        until = min(round(time * rate), samples)
        sound.append(_next_samples(synth, until - done))
        done = until
        if velocity:
            synth.noteon(0, pitch, velocity)
        else:
            synth.noteoff(0, pitch)
    sound.append(_next_samples(synth, samples - done))
    return np.concatenate(sound)


def _import_player() -> ModuleType:
    """Import tinysoundfont or pyfluidsynth; both have the same interface for what is used here."""
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
    """Return (seconds, pitch, velocity) of the MIDI events in time order; a velocity of 0 ends a note."""
    starts = [(note.start, note.pitch, 30 + round(97 * note.loudness)) for note in notes]
    ends = [(note.start + note.seconds * note.sounding * 0.98, note.pitch, 0) for note in notes]
    return sorted(starts + ends)


def _next_samples(synth: Any, samples: int) -> NDArray[np.float32]:
    """Return the next samples, mono. tinysoundfont returns interleaved float32, pyfluidsynth interleaved int16."""
    if samples <= 0:
        return np.zeros(0, np.float32)
    if hasattr(synth, "generate"):
        stereo = np.frombuffer(synth.generate(samples), np.float32)
    else:
        stereo = np.asarray(synth.get_samples(samples), np.float32) / np.float32(32768)
    return np.asarray(stereo.reshape(-1, 2).mean(1), np.float32)
