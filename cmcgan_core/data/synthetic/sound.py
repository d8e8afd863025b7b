"""Performances as sound: wavetables played by the notes, then the filters of body, room and microphone.

Shapes: L samples of a performance, N samples of a note, F frequencies of its spectrum.
"""

from dataclasses import dataclass
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.synthetic.score import Note
from cmcgan_core.data.synthetic.timbre import Timbre, body_levels, harmonic_levels, of_player

Samples = NDArray[np.float32]
Spectrum = NDArray[np.complexfloating]

#: Samples of one period of a wavetable: reading the nearest is as good as 75 dB.
TABLE_SIZE = 16_384

#: Harmonics of a wavetable; those above 18 kHz are left out.
HARMONICS = 64

#: Frequencies at which responses are designed before they are spread over a spectrum, Hz.
GRID = np.geomspace(20, 24_000, 400)


@dataclass(frozen=True)
class Voice:
    """One player's sound.

    Attributes:
        timbre: spectrum and articulation.
        resonances: the player's own ripple on the body's response, dB at `GRID`.
        concert_pitch: the A that the player tunes to, Hz.
        vibrato_hz: rate of the vibrato.
    """

    timbre: Timbre
    resonances: NDArray[np.float64]
    concert_pitch: float
    vibrato_hz: float


class Acoustics(NamedTuple):
    """Where a performance is recorded and with what.

    Attributes:
        reverberation: seconds in which the room's sound falls by 60 dB.
        wet: energy of the room's sound beside the direct sound, dB.
        response: of microphone and room, dB at `GRID`.
        level: peak of the performance, dB below full scale.
        noise: background noise beside the performance, dB.
    """

    reverberation: float
    wet: float
    response: NDArray[np.float64]
    level: float
    noise: float


def sample_voice(label: str, rng: np.random.Generator) -> Voice:
    """A player of the instrument."""
    timbre = of_player(label, rng)
    return Voice(timbre, _ripple(rng, timbre.ripple, 1 / 8), rng.uniform(436, 446), rng.uniform(4.6, 6.6))


def sample_acoustics(room: np.random.Generator, take: np.random.Generator) -> Acoustics:
    """A room, and a microphone and its distance that differ from take to take."""
    response = _ripple(room, 1, 1 / 2) + _ripple(take, 0.8, 1) + take.normal(0, 0.5) * np.log2(GRID / 1000)
    response -= 6 * np.log2(1 + (take.uniform(30, 90) / GRID) ** 2)
    response -= 9 * np.log2(1 + (GRID / take.uniform(8_000, 22_000)) ** 4)
    wet = room.uniform(-20, -8) + take.uniform(-6, 2)
    return Acoustics(room.uniform(0.25, 1.8), wet, response, take.uniform(-18, -1), -take.uniform(42, 68))


def render(
    notes: list[Note], voice: Voice, acoustics: Acoustics, *, samples: int, rate: int, rng: np.random.Generator
) -> Samples:
    """A performance, mono, (samples,) within [-1, 1]."""
    tone, noise = _excitation(notes, voice, samples, rate, rng)
    body = voice.resonances + body_levels(voice.timbre, GRID)
    spectrum = _filtered(tone, body, rate) + _filtered(noise, _band(voice.timbre.noise_band), rate)
    return _recorded(spectrum, acoustics, samples, rate, rng)


def record(sound: Samples, acoustics: Acoustics, rate: int, rng: np.random.Generator) -> Samples:
    """A dry sound (L,) as a microphone in the room takes it, (L,) within [-1, 1]."""
    spectrum = np.fft.rfft(sound, spectrum_length(len(sound), rate))
    return _recorded(spectrum, acoustics, len(sound), rate, rng)


def _recorded(spectrum: Spectrum, acoustics: Acoustics, samples: int, rate: int, rng: np.random.Generator) -> Samples:
    length = 2 * (len(spectrum) - 1)
    spectrum = spectrum * _gains(acoustics.response, length, rate)
    spectrum = spectrum * np.fft.rfft(_impulse_response(acoustics, rate, rng), length)
    sound = np.fft.irfft(spectrum, length)[:samples]
    sound /= np.abs(sound).max() + 1e-9
    sound += _background(samples, rate, rng) * 10 ** (acoustics.noise / 20)
    sound *= np.float32(10 ** (acoustics.level / 20) / np.abs(sound).max())
    return np.asarray(sound, np.float32)


def spectrum_length(samples: int, rate: int) -> int:
    """Length of the transforms: a power of two that leaves a second for the room's sound to die away."""
    return 1 << (samples + rate - 1).bit_length()


def _excitation(
    notes: list[Note], voice: Voice, samples: int, rate: int, rng: np.random.Generator
) -> tuple[Samples, Samples]:
    """Tone and noise (L,) before body and room, L as `spectrum_length` says."""
    length = spectrum_length(samples, rate)
    tone, envelope = np.zeros(length, np.float32), np.zeros(samples, np.float32)
    for note in notes:
        first = round(note.start * rate)
        played, hiss = _play(note, voice, rate, rng)
        end = min(first + len(played), samples)
        tone[first:end] += played[: end - first]
        envelope[first:end] += hiss[: end - first]
    noise = np.zeros(length, np.float32)
    noise[:samples] = envelope * rng.standard_normal(samples, np.float32)
    return tone, noise


def _play(note: Note, voice: Voice, rate: int, rng: np.random.Generator) -> tuple[Samples, Samples]:
    """Tone and envelope of the noise of one note, (N,) each."""
    timbre = voice.timbre
    hz = voice.concert_pitch * 2 ** ((note.pitch - 69) / 12)
    envelope = _plucked(note, hz, rate) if note.plucked else _held(note, timbre, rate, rng)
    time = _seconds(len(envelope), rate)
    swing = np.sin(2 * np.pi * voice.vibrato_hz * time + rng.uniform(0, 6)) * np.minimum(time / 0.4, 1)
    swing *= 0 if note.plucked else rng.uniform(0.5, 1)
    depth = timbre.vibrato / 1200 * log(2) / (2 * np.pi * voice.vibrato_hz)
    cycles = _cycles(hz, time, depth * swing, rng)
    level = np.float32(10 ** (note.loudness - 1))
    tone = _read_tables(_wavetables(hz, note.loudness, voice, rng), cycles, envelope)
    tone *= level * (1 + np.float32(timbre.tremolo) * swing)
    burst = np.float32(10 ** (timbre.onset / 20)) * np.exp(-time / np.float32(0.04))
    hiss = level * np.float32(10 ** (timbre.noise / 20)) * envelope * (1 + burst)
    return tone * envelope, hiss


def _held(note: Note, timbre: Timbre, rate: int, rng: np.random.Generator) -> Samples:
    """Envelope of a blown or bowed note, 0 to 1."""
    held = note.seconds * note.sounding
    time = _seconds(int((held + 1.5 * timbre.release) * rate), rate)
    attack = min(timbre.attack * 2 ** rng.normal(0, 0.3), held / 2)
    shape = 1 - np.exp(-3 / attack * time)
    shape *= 1 + np.float32(rng.uniform(-0.25, 0.25)) * np.sin(np.pi / held * time)
    return np.asarray(shape * np.exp(-4 / timbre.release * np.maximum(time - held, 0)), np.float32)


def _plucked(note: Note, hz: float, rate: int) -> Samples:
    """Envelope of a plucked string: low ones ring longer, and it is damped when the next note is due."""
    time = _seconds(int((note.seconds + 0.1) * rate), rate)
    ringing = 0.5 * (110 / hz) ** 0.5
    shape = (1 - np.exp(-time / np.float32(0.003))) * np.exp(-time / ringing)
    return np.asarray(shape * np.exp(-np.maximum(time - note.seconds, 0) / 0.03), np.float32)


def _seconds(samples: int, rate: int) -> Samples:
    return np.arange(samples, dtype=np.float32) / np.float32(rate)


def _cycles(hz: float, time: Samples, swing: Samples, rng: np.random.Generator) -> NDArray[np.float64]:
    """Periods that have passed at each time, with the vibrato's swing (seconds) and an unsteadiness of two cents."""
    grid = np.arange(0, time[-1] + 0.06, 0.05)
    wander = np.cumsum(rng.normal(0, 0.0012 * 0.05, len(grid)))
    return np.asarray(hz * (time + swing + np.interp(time, grid, wander)))


def _wavetables(hz: float, loudness: float, voice: Voice, rng: np.random.Generator) -> tuple[Samples, Samples]:
    """One period (TABLE_SIZE,) as at a note's edge and as at its height; the latter has unit RMS behind the body."""
    harmonics = int(min(HARMONICS, 18_000 // hz))
    body = np.interp(np.arange(1, harmonics + 1) * hz, GRID, voice.resonances + body_levels(voice.timbre, GRID))
    phases = np.exp(1j * rng.uniform(0, 2 * np.pi, harmonics))
    height = harmonic_levels(voice.timbre, hz, loudness, harmonics) + rng.normal(0, 1.2, harmonics)
    edge = harmonic_levels(voice.timbre, hz, loudness / 3, harmonics)
    scale = 1 / np.sqrt((10 ** ((height + body) / 10)).sum() / 2)
    return _table(height, scale * phases), _table(edge + height[0] - edge[0], scale * phases)


def _table(levels: NDArray[np.float64], phases: NDArray[np.complex128]) -> Samples:
    spectrum = np.zeros(TABLE_SIZE // 2 + 1, np.complex64)
    spectrum[1 : len(levels) + 1] = 10 ** (levels / 20) * phases
    return np.fft.irfft(spectrum, TABLE_SIZE).astype(np.float32) * (TABLE_SIZE / 2)


def _read_tables(tables: tuple[Samples, Samples], cycles: NDArray[np.float64], envelope: Samples) -> Samples:
    """The period repeated; high harmonics come later than low ones and go earlier, as with every blown instrument."""
    place = (cycles * TABLE_SIZE).astype(np.int64) & (TABLE_SIZE - 1)
    height, edge = tables
    low = edge[place]
    return np.asarray(low + np.minimum(envelope, 1) * (height[place] - low))


def _filtered(sound: Samples, levels: NDArray[np.float64], rate: int) -> Spectrum:
    """Spectrum (F,) of the sound (L,) behind a response in dB at `GRID`."""
    return np.asarray(np.fft.rfft(sound) * _gains(levels, len(sound), rate))


def _gains(levels: NDArray[np.float64], length: int, rate: int) -> Samples:
    """A response in dB at `GRID` as factors of the frequencies (F,) of a transform of that length."""
    hz = np.linspace(0, rate / 2, length // 2 + 1)
    return np.interp(hz, GRID, 10 ** (levels / 20)).astype(np.float32)


def _band(band: tuple[float, float]) -> NDArray[np.float64]:
    """Response in dB of a band of noise that falls by 9 dB per octave on either side."""
    low, high = band
    return np.asarray(-4.5 * np.log2(1 + (low / GRID) ** 2) - 4.5 * np.log2(1 + (GRID / high) ** 2))


def _ripple(rng: np.random.Generator, deviation: float, octaves: float) -> NDArray[np.float64]:
    """A random response at `GRID`, dB, with an independent value every so many octaves."""
    knots = np.arange(np.log2(GRID[0]), np.log2(GRID[-1]) + octaves, octaves)
    return np.interp(np.log2(GRID), knots, rng.normal(0, deviation, len(knots)))


def _impulse_response(acoustics: Acoustics, rate: int, rng: np.random.Generator) -> Samples:
    """The direct sound, then a second of exponentially decaying noise, (rate,)."""
    time = _seconds(rate, rate)
    tail = rng.standard_normal(rate, np.float32) * np.exp(np.float32(-6.9 / acoustics.reverberation) * time)
    # A one-sample average, as walls swallow the highest frequencies first.
    tail[1:] += tail[:-1].copy()
    tail *= np.float32(10 ** (acoustics.wet / 20)) / np.linalg.norm(tail)
    tail[: rate // 200] = 0
    tail[0] = 1
    return np.asarray(tail)


def _background(samples: int, rate: int, rng: np.random.Generator) -> Samples:
    """Noise of a room (samples,), unit RMS, falling by 3 to 9 dB per octave."""
    length = spectrum_length(samples, rate)
    hz = np.linspace(0, rate / 2, length // 2 + 1)
    noise = rng.standard_normal((2, length // 2 + 1), np.float32)
    shape = (1 + hz / 100) ** -rng.uniform(0.3, 1.1)
    sound = np.fft.irfft((noise[0] + 1j * noise[1]) * shape.astype(np.float32), length)[:samples]
    return np.asarray(sound / np.sqrt(np.mean(sound**2)), np.float32)
