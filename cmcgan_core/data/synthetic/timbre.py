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
        noise: level of breath or bow noise relative to the tone, dB.
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


#: The timbre of each instrument. Formants, slopes, attacks and noise follow the descriptions in Meyer, "Acoustics and
#: the Performance of Music" (chapter 3). They are round numbers, not measurements: they were adjusted until harmonics
#: were close to the averages of open recordings, which did not include oboe and viola.
TIMBRES = {
    "bassoon": Timbre(
        0,
        (480, 1000),
        22,
        170,
        ((500, 0.35, 11), (1150, 0.3, 6), (2200, 0.3, 3)),
        1.5,
        0.04,
        0.07,
        20,
        0.1,
        -38,
        (800, 5000),
        3,
    ),
    "cello": Timbre(
        -6,
        (1200, 3200),
        12,
        80,
        ((110, 0.2, 3), (190, 0.3, 5), (320, 0.3, 4), (700, 0.3, 3), (1500, 0.4, 2), (2500, 0.5, 4)),
        6,
        0.08,
        0.15,
        40,
        0.1,
        -30,
        (700, 5000),
        8,
    ),
    "clarinet": Timbre(
        -3,
        (900, 2600),
        16,
        110,
        ((1600, 0.5, 4), (3900, 0.4, 4)),
        1.5,
        0.04,
        0.06,
        5,
        0.03,
        -38,
        (1500, 7000),
        3,
        even=-33,
    ),
    "double_bass": Timbre(
        -6,
        (500, 1500),
        12,
        45,
        ((70, 0.3, 4), (110, 0.3, 5), (220, 0.35, 4), (420, 0.4, 3), (800, 0.4, 2)),
        6,
        0.1,
        0.2,
        30,
        0.1,
        -30,
        (300, 3500),
        8,
    ),
    "flute": Timbre(-4, (1000, 2200), 16, 240, ((800, 0.6, 4),), 1.5, 0.07, 0.09, 22, 0.35, -25, (1500, 9000), 7),
    "horn": Timbre(
        0,
        (330, 950),
        24,
        120,
        ((340, 0.4, 6), (750, 0.3, 4), (1250, 0.3, 3)),
        1.5,
        0.06,
        0.12,
        8,
        0.05,
        -45,
        (500, 3000),
        4,
    ),
    "oboe": Timbre(
        0,
        (1700, 2800),
        18,
        480,
        ((1100, 0.35, 9), (2800, 0.3, 8), (4500, 0.3, 4)),
        1.5,
        0.03,
        0.06,
        22,
        0.15,
        -40,
        (2000, 8000),
        2,
    ),
    "sax": Timbre(
        -4,
        (1300, 4000),
        12,
        130,
        ((650, 0.5, 4), (1300, 0.4, 2), (2600, 0.5, 5), (4200, 0.4, 3)),
        1.5,
        0.035,
        0.07,
        35,
        0.2,
        -30,
        (1500, 8000),
        5,
    ),
    "trombone": Timbre(
        0, (450, 1700), 19, 80, ((550, 0.4, 6), (1500, 0.4, 3)), 1.5, 0.05, 0.08, 15, 0.08, -44, (800, 4000), 4
    ),
    "trumpet": Timbre(
        0, (750, 2800), 18, 160, ((1250, 0.4, 6), (2400, 0.4, 5)), 1.5, 0.03, 0.07, 18, 0.1, -42, (1500, 6000), 4
    ),
    "tuba": Timbre(
        0, (190, 480), 20, 40, ((220, 0.4, 5), (400, 0.3, 3)), 1.5, 0.07, 0.12, 6, 0.04, -44, (300, 2000), 4
    ),
    "viola": Timbre(
        -5,
        (2000, 4200),
        12,
        180,
        ((225, 0.25, 6), (400, 0.3, 4), (700, 0.3, 2), (1150, 0.3, 5), (1900, 0.4, 4)),
        6,
        0.07,
        0.13,
        45,
        0.1,
        -29,
        (1000, 6000),
        7,
    ),
    "violin": Timbre(
        -4,
        (3500, 7000),
        13,
        240,
        ((280, 0.2, 4), (480, 0.3, 6), (1050, 0.3, 3), (2800, 0.45, 10)),
        6,
        0.06,
        0.12,
        50,
        0.1,
        -28,
        (1500, 9000),
        7,
    ),
}


def sample_timbre(label: str, rng: np.random.Generator) -> Timbre:
    """Return the timbre of a random player with a random instrument of the kind `label`."""
    timbre = TIMBRES[label]
    brightness = 2 ** rng.normal(0, 0.2)
    return replace(
        timbre,
        tilt=timbre.tilt + rng.normal(0, 0.5),
        cutoff=(timbre.cutoff[0] * brightness, timbre.cutoff[1] * brightness),
        slope=timbre.slope + rng.normal(0, 1),
        even=timbre.even * rng.uniform(0.6, 1.3),
        low=timbre.low * 2 ** rng.normal(0, 0.2),
        formants=tuple(
            (hz * 2 ** rng.normal(0, 0.04), width, gain + rng.normal(0, 1)) for hz, width, gain in timbre.formants
        ),
        attack=timbre.attack * 2 ** rng.normal(0, 0.5),
        release=timbre.release * 2 ** rng.normal(0, 0.5),
        vibrato=timbre.vibrato * rng.uniform(0.2, 1),
        tremolo=timbre.tremolo * rng.uniform(0.2, 1),
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
