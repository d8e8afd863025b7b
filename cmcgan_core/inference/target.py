"""What a search looks for.

The command line imports this module for the choices of its options, so it imports neither torch nor media libraries.
"""

from enum import StrEnum

from cmcgan_core.modality import Modality


class Target(StrEnum):
    """The modality that a search looks for, or both."""

    VISUAL = "visual"
    AUDIO = "audio"
    ALL = "all"

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities."""
        return tuple(Modality) if self is Target.ALL else (Modality(self),)
