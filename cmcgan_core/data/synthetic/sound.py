"""Render the sound of performances: wavetables for the notes, then filters for body, room and microphone.

Shapes: L samples of a performance, N samples of a note, F frequencies of a spectrum.
"""

from dataclasses import dataclass
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.synthetic.score import Note
from cmcgan_core.data.synthetic.timbre import Timbre, body_levels, harmonic_levels, sample_timbre

Samples = NDArray[np.float32]
Spectrum = NDArray[np.complexfloating]

#: Samples of a wavetable, which holds one period. Reading the nearest sample gives a signal-to-noise ratio of 75 dB.
TABLE_SIZE = 16_384

#: The largest number of harmonics of a wavetable. Harmonics above 18 kHz are left out.
HARMONICS = 64

#: Frequencies at which filter responses are defined, Hz. They are interpolated to the frequencies of a spectrum.
GRID = np.geomspace(20, 24_000, 400)


@dataclass(frozen=True)
class Voice:
    """The sound of one player.

    Attributes:
        timbre: spectrum and articulation.
        resonances: the player's own deviation from the response of the instrument's body, dB at `GRID`.
        concert_pitch: the A4 that the player tunes to, Hz.
        vibrato_hz: rate of the vibrato, Hz.
    """

    timbre: Timbre
    resonances: NDArray[np.float64]
    concert_pitch: float
    vibrato_hz: float


class Acoustics(NamedTuple):
    """The room and the microphone of a recording.

    Attributes:
        reverberation: reverberation time of the room, seconds for a decay of 60 dB.
        wet: energy of the reverberation relative to the direct sound, dB.
        response: frequency response of microphone and room, dB at `GRID`.
        level: peak of the recording relative to full scale, dB (negative).
        noise: background noise relative to the peak of the performance, dB (negative).
    """

    reverberation: float
    wet: float
    response: NDArray[np.float64]
    level: float
    noise: float


def sample_voice(label: str, player: np.random.Generator, take: np.random.Generator) -> Voice:
    """Return the sound of a random player of the instrument `label` in one recording.

    Args:
        label: the instrument.
        player: draws what is the same in all recordings of a player.
        take: draws what differs between a player's recordings, such as reed, embouchure and pressure of the bow.
    """
    timbre = sample_timbre(label, player, take)
    resonances = _ripple(player, timbre.ripple, 1 / 8)
    return Voice(timbre, resonances, player.uniform(436, 446), player.uniform(4.6, 6.6))


class Equipment(NamedTuple):
    """How much the microphones of recordings differ. Pairs are the ends of a range.

    Attributes:
        ripple: standard deviation of the response of a recording, dB.
        tilt: standard deviation of its slope, dB per octave.
        low: lower limit of the band, Hz.
        high: upper limit of the band, Hz.
        wet: change of the energy of the reverberation, by the distance of the microphone, dB.
        level: peak relative to full scale, dB.
        noise: background noise relative to the peak, dB.
    """

    ripple: float
    tilt: float
    low: tuple[float, float]
    high: tuple[float, float]
    wet: tuple[float, float]
    level: tuple[float, float]
    noise: tuple[float, float]


#: One microphone at nearly the same place, as in the studio where Sub-URMP was recorded.
ONE_MICROPHONE = Equipment(0.4, 0.25, (40, 70), (14_000, 20_000), (-2, 2), (-12, 0), (-70, -50))
#: Another microphone, distance and gain for every recording.
ANY_MICROPHONE = Equipment(1.5, 1.0, (25, 160), (6_000, 22_000), (-10, 4), (-26, 0), (-90, -42))


def sample_acoustics(room: np.random.Generator, take: np.random.Generator, equipment: Equipment) -> Acoustics:
    """Return random acoustics.

    Args:
        room: draws what is the same in all recordings of a room.
        take: draws what differs between recordings: the microphone, its distance, and the limits of its band.
        equipment: how much this differs.
    """
    response = _ripple(room, 1, 1 / 2) + _ripple(take, equipment.ripple, 1 / 2)
    response += take.normal(0, equipment.tilt) * np.log2(GRID / 1000)
    low, high = (np.exp(take.uniform(*np.log(ends))) for ends in (equipment.low, equipment.high))
    response -= 6 * np.log2(1 + (low / GRID) ** 2) + 9 * np.log2(1 + (GRID / high) ** 4)
    wet = room.uniform(-18, -8) + take.uniform(*equipment.wet)
    reverberation = room.uniform(0.25, 1.8)
    return Acoustics(reverberation, wet, response, take.uniform(*equipment.level), take.uniform(*equipment.noise))


def render(
    notes: list[Note], voice: Voice, acoustics: Acoustics, *, samples: int, rate: int, rng: np.random.Generator
) -> Samples:
    """Return the sound of a performance, mono, (samples,) in [-1, 1].

    Args:
        notes: the notes of the performance.
        voice: the player.
        acoustics: room and microphone.
        samples: length of the sound.
        rate: sample rate, Hz.
        rng: draws everything that is random.
    """
    tone, noise = _excitation(notes, voice, samples, rate, rng)
    body = voice.resonances + body_levels(voice.timbre, GRID)
    spectrum = _filter(tone, body, rate) + _filter(noise, _noise_response(voice.timbre.noise_band), rate)
    return _record_spectrum(spectrum, acoustics, samples, rate, rng)


def record(sound: Samples, acoustics: Acoustics, rate: int, rng: np.random.Generator) -> Samples:
    """Return the recording (L,), in [-1, 1], of a sound without reverberation (L,); `rate` is in Hz."""
    spectrum = np.fft.rfft(sound, spectrum_length(len(sound), rate))
    return _record_spectrum(spectrum, acoustics, len(sound), rate, rng)


def _record_spectrum(
    spectrum: Spectrum, acoustics: Acoustics, samples: int, rate: int, rng: np.random.Generator
) -> Samples:
    """Return the recording (samples,) of a sound with the spectrum (F,): response, reverberation, noise and level."""
    length = 2 * (len(spectrum) - 1)
    response = _gains(acoustics.response, length, rate)
    spectrum = spectrum * response
    spectrum = spectrum * np.fft.rfft(_impulse_response(acoustics, rate, rng), length)
    sound = np.fft.irfft(spectrum, length)[:samples]
    sound /= np.abs(sound).max() + 1e-9
    sound += _background(samples, response, rate, rng) * 10 ** (acoustics.noise / 20)
    sound *= np.float32(10 ** (acoustics.level / 20) / np.abs(sound).max())
    return np.asarray(sound, np.float32)


def spectrum_length(samples: int, rate: int) -> int:
    """Return the length of the transform of a sound: a power of two, with a second for the reverberation to decay."""
    return 1 << (samples + rate - 1).bit_length()


def _excitation(
    notes: list[Note], voice: Voice, samples: int, rate: int, rng: np.random.Generator
) -> tuple[Samples, Samples]:
    """Return the tone and the noise of a performance before the filters of body and room.

    Both have the length `spectrum_length(samples, rate)`.
    """
    length = spectrum_length(samples, rate)
    tone, envelope = np.zeros(length, np.float32), np.zeros(samples, np.float32)
    for note in notes:
        first = round(note.start * rate)
        note_tone, note_noise = _play(note, voice, rate, rng)
        end = min(first + len(note_tone), samples)
        tone[first:end] += note_tone[: end - first]
        envelope[first:end] += note_noise[: end - first]
    noise = np.zeros(length, np.float32)
    noise[:samples] = envelope * rng.standard_normal(samples, np.float32)
    return tone, noise


def _play(note: Note, voice: Voice, rate: int, rng: np.random.Generator) -> tuple[Samples, Samples]:
    """Return the tone of a note (N,) and the envelope of its noise (N,)."""
    timbre = voice.timbre
    hz = voice.concert_pitch * 2 ** ((note.pitch - 69) / 12)
    envelope = _plucked_envelope(note, hz, rate) if note.plucked else _held_envelope(note, timbre, rate, rng)
    time = _seconds(len(envelope), rate)
    swing = np.sin(2 * np.pi * voice.vibrato_hz * time + rng.uniform(0, 6)) * np.minimum(time / 0.4, 1)
    swing *= 0 if note.plucked else rng.uniform(0.5, 1)
    depth = timbre.vibrato / 1200 * log(2) / (2 * np.pi * voice.vibrato_hz)
    cycles = _cycles(hz, time, depth * swing, rng)
    level = np.float32(10 ** (0.75 * (note.loudness - 1)))
    tone = _read_tables(_wavetables(hz, note.loudness, voice, rng), cycles, envelope)
    tone *= level * (1 + np.float32(timbre.tremolo) * swing)
    burst = np.float32(10 ** (timbre.onset / 20)) * np.exp(-time / np.float32(0.04))
    noise = level * np.float32(10 ** (timbre.noise / 20)) * envelope * (1 + burst)
    return tone * envelope, noise


def _held_envelope(note: Note, timbre: Timbre, rate: int, rng: np.random.Generator) -> Samples:
    """Return the envelope of a blown or bowed note, about 0 to 1."""
    held = note.seconds * note.sounding
    time = _seconds(int((held + 1.5 * timbre.release) * rate), rate)
    attack = min(timbre.attack * 2 ** rng.normal(0, 0.3), held / 2)
    shape = 1 - np.exp(-3 / attack * time)
    shape *= 1 + np.float32(rng.uniform(-0.25, 0.25)) * np.sin(np.pi / held * time)
    return np.asarray(shape * np.exp(-4 / timbre.release * np.maximum(time - held, 0)), np.float32)


def _plucked_envelope(note: Note, hz: float, rate: int) -> Samples:
    """Return the envelope of a plucked note: low notes ring longer, and the next note damps it."""
    time = _seconds(int((note.seconds + 0.1) * rate), rate)
    ringing = 0.5 * (110 / hz) ** 0.5
    shape = (1 - np.exp(-time / np.float32(0.003))) * np.exp(-time / ringing)
    return np.asarray(shape * np.exp(-np.maximum(time - note.seconds, 0) / 0.03), np.float32)


def _seconds(samples: int, rate: int) -> Samples:
    """Return the time of each sample in seconds, (samples,)."""
    return np.arange(samples, dtype=np.float32) / np.float32(rate)


def _cycles(hz: float, time: Samples, swing: Samples, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how many periods of a tone have passed at each time (N,).

    Args:
        hz: frequency of the tone.
        time: times (N,), seconds.
        swing: displacement in time by the vibrato (N,), seconds.
        rng: draws a random drift of about two cents.
    """
    grid = np.arange(0, time[-1] + 0.06, 0.05)
    wander = np.cumsum(rng.normal(0, 0.0012 * 0.05, len(grid)))
    return np.asarray(hz * (time + swing + np.interp(time, grid, wander)))


def _wavetables(hz: float, loudness: float, voice: Voice, rng: np.random.Generator) -> tuple[Samples, Samples]:
    """Return two wavetables of a note, (TABLE_SIZE,) each: one at full level, and one at the start and the end.

    The first one has unit RMS after the filter of the body.
    """
    harmonics = int(min(HARMONICS, 18_000 // hz))
    body = np.interp(np.arange(1, harmonics + 1) * hz, GRID, voice.resonances + body_levels(voice.timbre, GRID))
    phases = np.exp(1j * rng.uniform(0, 2 * np.pi, harmonics))
    full = harmonic_levels(voice.timbre, hz, loudness, harmonics) + rng.normal(0, 1.2, harmonics)
    edge = harmonic_levels(voice.timbre, hz, loudness / 3, harmonics)
    scale = 1 / np.sqrt((10 ** ((full + body) / 10)).sum() / 2)
    return _table(full, scale * phases), _table(edge + full[0] - edge[0], scale * phases)


def _table(levels: NDArray[np.float64], phases: NDArray[np.complex128]) -> Samples:
    """Return one period (TABLE_SIZE,) of a tone, from its harmonics' levels in dB and their complex phase factors."""
    spectrum = np.zeros(TABLE_SIZE // 2 + 1, np.complex64)
    spectrum[1 : len(levels) + 1] = 10 ** (levels / 20) * phases
    return np.fft.irfft(spectrum, TABLE_SIZE).astype(np.float32) * (TABLE_SIZE / 2)


def _read_tables(tables: tuple[Samples, Samples], cycles: NDArray[np.float64], envelope: Samples) -> Samples:
    """Return a tone (N,) read from the two tables of `_wavetables`, blended by the envelope.

    So high harmonics start later and end earlier than low ones, as in wind instruments.
    """
    place = (cycles * TABLE_SIZE).astype(np.int64) & (TABLE_SIZE - 1)
    full, edge = tables
    soft = edge[place]
    return np.asarray(soft + np.minimum(envelope, 1) * (full[place] - soft))


def _filter(sound: Samples, levels: NDArray[np.float64], rate: int) -> Spectrum:
    """Return the spectrum (F,) of a sound (L,) after a filter with the response `levels`, dB at `GRID`."""
    return np.asarray(np.fft.rfft(sound) * _gains(levels, len(sound), rate))


def _gains(levels: NDArray[np.float64], length: int, rate: int) -> Samples:
    """Return the factors (F,) of a response, dB at `GRID`, for the frequencies of a transform of `length` samples."""
    hz = np.linspace(0, rate / 2, length // 2 + 1)
    return np.interp(hz, GRID, 10 ** (levels / 20)).astype(np.float32)


def _noise_response(band: tuple[float, float]) -> NDArray[np.float64]:
    """Return the response of a band of noise, dB at `GRID`, which falls by 9 dB per octave outside the band."""
    low, high = band
    return np.asarray(-4.5 * np.log2(1 + (low / GRID) ** 2) - 4.5 * np.log2(1 + (GRID / high) ** 2))


def _ripple(rng: np.random.Generator, deviation: float, octaves: float) -> NDArray[np.float64]:
    """Return a random response, dB at `GRID`.

    Args:
        rng: draws the values.
        deviation: standard deviation of a value, dB.
        octaves: distance of independent values, octaves.
    """
    knots = np.arange(np.log2(GRID[0]), np.log2(GRID[-1]) + octaves, octaves)
    return np.interp(np.log2(GRID), knots, rng.normal(0, deviation, len(knots)))


def _impulse_response(acoustics: Acoustics, rate: int, rng: np.random.Generator) -> Samples:
    """Return one second (rate,): the direct sound, then exponentially decaying noise."""
    time = _seconds(rate, rate)
    tail = rng.standard_normal(rate, np.float32) * np.exp(np.float32(-6.9 / acoustics.reverberation) * time)
    # An average of two samples, because walls absorb the highest frequencies first.
    tail[1:] += tail[:-1].copy()
    tail *= np.float32(10 ** (acoustics.wet / 20)) / np.linalg.norm(tail)
    tail[: rate // 200] = 0
    tail[0] = 1
    return np.asarray(tail)


def _background(samples: int, response: Samples, rate: int, rng: np.random.Generator) -> Samples:
    """Return the background noise of a room (samples,) with unit RMS, as the microphone with a response (F,) hears it.

    Above 100 Hz it falls by 2 to 10 dB per octave in the room.
    """
    length = 2 * (len(response) - 1)
    hz = np.linspace(0, rate / 2, length // 2 + 1)
    noise = rng.standard_normal((2, length // 2 + 1), np.float32)
    shape = response * (1 + hz / 100) ** -rng.uniform(0.3, 1.7)
    sound = np.fft.irfft((noise[0] + 1j * noise[1]) * shape.astype(np.float32), length)[:samples]
    return np.asarray(sound / np.sqrt(np.mean(sound**2)), np.float32)
