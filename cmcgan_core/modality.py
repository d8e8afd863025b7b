"""The two modalities, and the two directions between them.

All code uses these names: `audio` and `visual` in code, files and options, "sound" and "picture" in text for users.
    Names of subnetworks and paths (`a2v`, `v2a2v`, ...) are the paper's; each letter stands for a modality.
"""

from enum import StrEnum


class Modality(StrEnum):
    """A sound or a picture, as maps (B, C, H, W) in [-1, 1]."""

    AUDIO = "audio"
    VISUAL = "visual"

    @property
    def channels(self) -> int:
        """Channels of its maps: 1 of a spectrogram, 3 of a picture."""
        return 1 if self is Modality.AUDIO else 3

    @property
    def word(self) -> str:
        """The word that users read: "sound" or "picture"."""
        return "sound" if self is Modality.AUDIO else "picture"

    @property
    def other(self) -> "Modality":
        """The other modality."""
        return Modality.VISUAL if self is Modality.AUDIO else Modality.AUDIO

    @property
    def letter(self) -> str:
        """The paper's letter, "a" or "v"."""
        return self.value[0]


class Direction(StrEnum):
    """A translation from one modality to the other; the value is the name of the paper's direct subnetwork."""

    A2V = "a2v"
    V2A = "v2a"

    @property
    def source(self) -> Modality:
        """The modality that is given."""
        return source_of(self)

    @property
    def target(self) -> Modality:
        """The modality that is generated."""
        return target_of(self)

    @property
    def table_name(self) -> str:
        """The name in the papers' tables: "S2I" (sound to image) or "I2S" (image to sound)."""
        return "S2I" if self is Direction.A2V else "I2S"

    @property
    def completed(self) -> str:
        """The paper's name of a pair whose target was generated: "GV-A" or "GA-V"."""
        return "GV-A" if self is Direction.A2V else "GA-V"


def source_of(route: str) -> Modality:
    """Return the modality that a subnetwork or path such as "a2v2a" starts from."""
    return _BY_LETTER[route[0]]


def target_of(route: str) -> Modality:
    """Return the modality that a subnetwork or path such as "a2v2a" ends in."""
    return _BY_LETTER[route[-1]]


#: The paper's name of a pair of which nothing was generated; see `Direction.completed` for the other pairs.
REAL_PAIR = "V-A"

_BY_LETTER = {modality.letter: modality for modality in Modality}
