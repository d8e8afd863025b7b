"""What an input can become, and the formats of the results.

The command line imports this module for the choices of its options, so it imports neither torch nor media libraries.
"""

from enum import StrEnum

from cmcgan_core.modality import Direction


class Route(StrEnum):
    """What an input becomes."""

    PICTURES = "pictures"  #: still pictures of half a second of a sound
    FILM = "film"  #: a film whose frames follow a sound
    SOUNDS = "sounds"  #: sounds of a picture
    SOUNDTRACK = "soundtrack"  #: a film with a generated soundtrack
    REPAIR = "repair"  #: a film whose damaged frames are generated from its sound

    @property
    def direction(self) -> Direction:
        """The direction that the network translates in."""
        return Direction.V2A if self in (Route.SOUNDS, Route.SOUNDTRACK) else Direction.A2V

    @property
    def is_clip(self) -> bool:
        """Whether the outputs are still pictures or sounds, not films."""
        return self in (Route.PICTURES, Route.SOUNDS)


class Format(StrEnum):
    """The format of an output, which is also its suffix; a png-sequence is a folder."""

    PNG = "png"
    JPG = "jpg"
    WEBP = "webp"
    MP4 = "mp4"
    MKV = "mkv"
    MOV = "mov"
    GIF = "gif"
    PNG_SEQUENCE = "png-sequence"
    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OGG = "ogg"
    OPUS = "opus"
    M4A = "m4a"
    M4V = "m4v"
    WEBM = "webm"
    AVI = "avi"
    FLV = "flv"
    WMV = "wmv"
    MPG = "mpg"
    MPEG = "mpeg"
    OGV = "ogv"
    TS = "ts"


#: The possible formats of each route. The first one is the default, except that a film keeps its own format if it can.
FORMATS: dict[Route, tuple[Format, ...]] = {
    Route.PICTURES: (Format.PNG, Format.JPG, Format.WEBP),
    Route.FILM: (Format.MP4, Format.MKV, Format.MOV, Format.GIF, Format.PNG_SEQUENCE),
    Route.SOUNDS: (Format.WAV, Format.FLAC, Format.MP3, Format.OGG, Format.OPUS, Format.M4A),
    Route.SOUNDTRACK: (
        *(Format.MKV, Format.MP4, Format.M4V, Format.MOV, Format.WEBM, Format.AVI, Format.FLV, Format.WMV),
        *(Format.MPG, Format.MPEG, Format.OGV, Format.TS),
    ),
    Route.REPAIR: (Format.MKV, Format.MP4, Format.M4V, Format.MOV),
}
