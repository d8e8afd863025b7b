"""What a visitor can ask for."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from cmcgan_core.errors import ConfigError
from cmcgan_core.media.files import MediaKind, media_kind
from cmcgan_core.utils.names import path_below
from cmcgan_core.utils.schema import Range, Seed

#: Largest number of samples of one order.
MAX_SAMPLES = 16
#: Lengths of the sound of a picture that the page offers, in seconds.
LENGTHS = (0.5, 2, 5, 10)


class Action(StrEnum):
    """What is done with a file."""

    PICTURES = "pictures"  #: pictures of half a second of its sound
    FILM = "film"  #: a film that follows its sound
    SOUNDS = "sounds"  #: sounds of a picture
    SOUNDTRACK = "soundtrack"  #: a soundtrack for a film
    CLASSIFY = "classify"  #: its class
    RETRIEVE = "retrieve"  #: the most similar files of a folder

    @property
    def kinds(self) -> tuple[MediaKind, ...]:
        """The kinds of files that it can be done with."""
        return KINDS[self]


KINDS: dict[Action, tuple[MediaKind, ...]] = {
    Action.PICTURES: ("sound", "video"),
    Action.FILM: ("sound", "video"),
    Action.SOUNDS: ("picture",),
    Action.SOUNDTRACK: ("video",),
    Action.CLASSIFY: ("sound", "picture", "video"),
    Action.RETRIEVE: ("sound", "picture", "video"),
}


@dataclass(frozen=True)
class Order:
    """What a visitor asks for.

    Attributes:
        action: what to do.
        name: name of the file that is sent with the order.
        model: name of the model, see `models.Models.names`.
        samples: number of pictures or sounds, or of the samples over which a class is averaged; a film is one.
        seed: seed of the first sample, see `SamplingOptions`.
        seconds: length of the sound of a picture.

    Raises:
        ConfigError: the action cannot be done with such a file.
    """

    action: Action
    name: str
    model: str
    samples: Annotated[int, Range(minimum=1, maximum=MAX_SAMPLES)]
    seed: Seed
    seconds: Annotated[float, Range(minimum=LENGTHS[0], maximum=LENGTHS[-1])]

    def __post_init__(self) -> None:
        kind = media_kind(path_below(Path(), self.name))
        if kind not in self.action.kinds:
            kinds = " or a ".join(self.action.kinds)
            raise ConfigError(
                f"{self.name} is a {kind or 'file with an unknown suffix'}; {self.action} needs a {kinds}"
            )
