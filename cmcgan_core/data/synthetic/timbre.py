"""The timbres of the instruments (excitation, formants, articulation), and their variation between players."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Timbre:
    """A source-filter model of one instrument.

    Attributes:
        tilt: slope of the excitation from the first harmonic on, dB per octave.
        cutoff: frequencies above which the excitation falls by `slope`, for the softest and the loudest note, Hz.
        slope: fall of the excitation above the cutoff, dB per octave.
        low: frequency below which the body radiates less (9 dB per octave), Hz.
        formants: resonances as (centre in Hz, width in octaves, gain in dB).
        ripple: standard deviation of a player's own resonances, dB.
        attack: seconds until a note reaches its level.
        release: seconds in which a note decays.
        vibrato: largest depth of the vibrato, cents.
        tremolo: largest relative change of level by the vibrato.
        noise: level of breath or bow noise relative to the tone, before the filter of `noise_band`, dB.
        noise_band: lower and upper limit of that noise, Hz.
        onset: level of the noise of the attack relative to the noise of the held note, dB.
        even: level of the even harmonics in the low register, dB; low for a cylinder that is closed at one end.
    """

    tilt: float
    cutoff: tuple[float, float]
    slope: float
    low: float
    formants: tuple[tuple[float, float, float], ...]
    ripple: float
    attack: float
    release: float
    vibrato: float
    tremolo: float
    noise: float
    noise_band: tuple[float, float]
    onset: float
    even: float = 0.0


#: The timbre of each instrument. Tilt, cutoff, slope, low, formants and the clarinet's even were fitted to harmonics
#: of notes from three kinds of sources: open recordings of single notes and phrases (none of oboe and viola), and the
#: General MIDI soundfonts FluidR3, MuseScore General and TimGM6mb. Levels and bands of the noise were fitted to the
#: medians of the power halfway between the harmonics. In the fit, every note had its own level and loudness, errors
#: above 6 dB counted linearly, and recordings weighed about as much as all soundfonts together (more for the trombone).
#: The remaining error is 4 to 8 dB, mostly differences between sources. Articulation and vibrato are round numbers that
#: follow the descriptions in Meyer, "Acoustics and the Performance of Music" (chapter 3).
TIMBRES = {
    "bassoon": Timbre(
        -1.7,
        (170, 1000),
        15.2,
        300,
        ((520, 0.54, 9.4), (1097, 0.24, 4.4), (2572, 0.15, -6)),
        1.5,
        0.04,
        0.07,
        20,
        0.1,
        -25,
        (400, 450),
        3,
    ),
    "cello": Timbre(
        -0.9,
        (330, 2000),
        13.8,
        40,
        ((117, 0.8, 3.7), (187, 0.63, 4.8), (308, 0.37, 1.5), (695, 0.15, -1.6), (1375, 0.28, -1.7), (2273, 0.25, 6)),
        6,
        0.08,
        0.15,
        40,
        0.1,
        -28,
        (40, 1500),
        8,
    ),
    "clarinet": Timbre(
        -2.3,
        (520, 3100),
        17.2,
        50,
        ((1857, 0.6, 6.2), (3411, 0.33, 2.8)),
        1.5,
        0.04,
        0.06,
        5,
        0.03,
        -30,
        (150, 1500),
        3,
        even=-21.5,
    ),
    "double_bass": Timbre(
        -1.9,
        (310, 1900),
        14.1,
        30,
        ((77, 0.66, 4.8), (104, 0.61, 5.2), (668, 0.31, -3.5)),
        6,
        0.1,
        0.2,
        30,
        0.1,
        -16,
        (80, 450),
        8,
    ),
    "flute": Timbre(-1.4, (350, 2100), 14.7, 210, ((1017, 0.8, 3.6),), 1.5, 0.07, 0.09, 22, 0.35, -24, (1100, 3300), 7),
    "horn": Timbre(
        -1.7,
        (290, 1700),
        20.7,
        180,
        ((362, 0.73, 4.9), (556, 0.39, 4.6), (1098, 0.15, -3.1)),
        1.5,
        0.06,
        0.12,
        8,
        0.05,
        -16,
        (250, 300),
        4,
    ),
    "oboe": Timbre(
        -4.2,
        (1200, 1800),
        21.2,
        1300,
        ((1439, 0.36, 10.5), (3033, 0.22, 4.2), (3562, 0.31, 3.8)),
        1.5,
        0.03,
        0.06,
        22,
        0.15,
        -20,
        (700, 700),
        2,
    ),
    "sax": Timbre(
        -4.3,
        (1400, 8200),
        19.4,
        120,
        ((624, 0.8, 2.3), (1309, 0.8, 1), (2489, 0.3, 4.7), (4972, 0.15, -2.1)),
        1.5,
        0.035,
        0.07,
        35,
        0.2,
        -25,
        (400, 2200),
        5,
    ),
    "trombone": Timbre(
        0,
        (160, 1000),
        15,
        130,
        ((640, 0.6, 7),),
        1.5,
        0.05,
        0.08,
        15,
        0.08,
        -18,
        (400, 700),
        4,
    ),
    "trumpet": Timbre(
        -3.1, (620, 3700), 23.5, 1500, ((1367, 0.17, 1.8),), 1.5, 0.03, 0.07, 18, 0.1, -20, (400, 1000), 4
    ),
    "tuba": Timbre(
        -2.7, (110, 650), 19.7, 150, ((235, 0.8, 3.6), (469, 0.49, 4.7)), 1.5, 0.07, 0.12, 6, 0.04, -14, (40, 200), 4
    ),
    "viola": Timbre(
        -3,
        (1000, 6100),
        15.3,
        160,
        ((233, 0.49, 1.2), (394, 0.58, 3.6), (1257, 0.15, 1), (2468, 0.56, 4.1)),
        6,
        0.07,
        0.13,
        45,
        0.1,
        -31,
        (40, 3300),
        7,
    ),
    "violin": Timbre(
        -3.6,
        (1800, 10200),
        17,
        130,
        ((281, 0.17, 2.9), (453, 0.59, 3.4), (903, 0.15, 2.1), (3641, 0.62, 5.7)),
        6,
        0.06,
        0.12,
        50,
        0.1,
        -26,
        (150, 3300),
        7,
    ),
}


def sample_timbre(label: str, player: np.random.Generator, take: np.random.Generator) -> Timbre:
    """Return the timbre of a random player with a random instrument of the kind `label`, in one recording.

    Half of the variance is the player's, and half differs between recordings.
    """
    return _vary(_vary(TIMBRES[label], player), take)


def _vary(timbre: Timbre, rng: np.random.Generator) -> Timbre:
    """Return a random timbre that is similar to `timbre`."""
    brightness = 2 ** rng.normal(0, 0.32)
    return replace(
        timbre,
        tilt=timbre.tilt + rng.normal(0, 0.4),
        cutoff=(timbre.cutoff[0] * brightness, timbre.cutoff[1] * brightness),
        slope=timbre.slope + rng.normal(0, 1),
        even=timbre.even * rng.uniform(0.7, 1.2),
        low=timbre.low * 2 ** rng.normal(0, 0.2),
        formants=tuple(
            (hz * 2 ** rng.normal(0, 0.03), width, gain + rng.normal(0, 1)) for hz, width, gain in timbre.formants
        ),
        attack=timbre.attack * 2 ** rng.normal(0, 0.35),
        release=timbre.release * 2 ** rng.normal(0, 0.35),
        vibrato=timbre.vibrato * rng.uniform(0.4, 1),
        tremolo=timbre.tremolo * rng.uniform(0.4, 1),
        noise=timbre.noise + rng.normal(0, 3),
    )


def harmonic_levels(timbre: Timbre, hz: float, loudness: float, harmonics: int) -> NDArray[np.float64]:
    """Return the levels of the first harmonics of a note's excitation, dB, (harmonics,).

    Args:
        timbre: the instrument.
        hz: fundamental frequency of the note.
        loudness: 0 to 1.
        harmonics: number of harmonics.
    """
    number = np.arange(1, harmonics + 1)
    soft, loud = timbre.cutoff
    cutoff = soft * (loud / soft) ** loudness
    levels: NDArray[np.float64] = timbre.tilt * np.log2(number) - timbre.slope / 2 * np.log2(
        1 + (number * hz / cutoff) ** 2
    )
    # A closed cylinder suppresses the even harmonics less in high registers and for high harmonic numbers.
    levels += timbre.even * (number % 2 == 0) / (1 + (hz / 450) ** 3) / np.sqrt(number / 2)
    return levels


def body_levels(timbre: Timbre, hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the frequency response of the instrument's body in dB at the frequencies `hz`, all above 0."""
    levels: NDArray[np.float64] = -4.5 * np.log2(1 + (timbre.low / hz) ** 2)
    for centre, width, gain in timbre.formants:
        levels = levels + gain * np.exp(-0.5 * (np.log2(hz / centre) / width) ** 2)
    return levels
