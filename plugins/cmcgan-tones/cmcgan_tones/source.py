"""A source of data: text files that describe tones, each with a picture whose brightness follows the pitch."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcgan_core import MediaError, RawPair, Recording, Skipped, SourceOptions

#: Colour of the picture of each class; other classes are white.
COLOURS = {"red": (1.0, 0.2, 0.2), "green": (0.2, 1.0, 0.2), "blue": (0.2, 0.2, 1.0)}
#: Highest pitch that still makes a picture brighter, Hz.
BRIGHTEST = 2000.0


class ToneFiles:
    """`<root>/<class>/<recording>.tones`: a text file with one pitch in Hz per line, each for one chunk of sound."""

    #: The author raises the version when the same files give other pairs.
    identity = "tones/1"

    def detects(self, root: Path) -> bool:
        """Return whether the folder holds such files."""
        return any(root.glob("*/*.tones"))

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """Return one recording per file, and no skipped files."""
        files = sorted(root.glob("*/*.tones"))
        return [
            Recording(id=f"{file.parent.name}/{file.stem}", label=file.parent.name, files=(file,)) for file in files
        ], []

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | Skipped]:
        """Yield one pair per line of the file."""
        (file,) = recording.files
        settings = options.settings
        time = np.arange(settings.samples) / settings.sample_rate
        for number, pitch in enumerate(_read_pitches(file)):
            sound = (0.5 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)
            picture = _draw(recording.label, pitch, settings.picture_size)
            yield RawPair(number * settings.seconds, sound, picture, recording.id, recording.id)


def _read_pitches(file: Path) -> list[float]:
    """Read the pitches of a file, in Hz.

    Raises:
        MediaError: the file does not hold numbers; `cmcgan prepare` names it and continues with the others.
    """
    try:
        return [float(line) for line in file.read_text(encoding="utf-8").split()]
    except ValueError as error:
        raise MediaError(f"{file}: {error}") from error


def _draw(label: str, pitch: float, side: int) -> NDArray[np.uint8]:
    """Draw a picture (side, side, 3) in the colour of its class; its brightness follows the pitch."""
    colour = np.array(COLOURS.get(label, (1.0, 1.0, 1.0))) * 255 * min(1.0, pitch / BRIGHTEST)
    return np.broadcast_to(colour.astype(np.uint8), (side, side, 3)).copy()


TONES = ToneFiles()
