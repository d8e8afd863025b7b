"""Packets into films, by PyAV: encoded or copied, in the order of their times; `film` is its only user."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import MediaError
from cmcgan_core.media import ffmpeg
from cmcgan_core.utils.files import atomic_write

if TYPE_CHECKING:
    from av import AudioStream, Packet, VideoFrame, VideoStream
    from av.container import OutputContainer
    from av.stream import Stream


@dataclass(frozen=True)
class Container:
    """A kind of film file, and what goes into it.

    Attributes:
        name: FFmpeg's.
        copied: codecs of sound that are put into it as they are; others are encoded anew.
        sound: the encoder of sound.
        picture: the encoder of pictures; empty where pictures are only copied into it.
        picture_options: of that encoder; constant quality.
        options: of the file.
    """

    name: str
    copied: tuple[str, ...] = ()
    sound: str = "aac"
    picture: str = "libx264"
    picture_options: tuple[tuple[str, str], ...] = (("crf", "18"),)
    options: tuple[tuple[str, str], ...] = ()


_MP4 = Container("mp4", ("aac", "ac3", "alac", "mp3"), options=(("movflags", "+faststart"),))
_MPEG = Container("mpeg", sound="mp2", picture="")

#: The films that sound can be put to, by suffix; those with an encoder of pictures are written from frames as well.
CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": replace(_MP4, name="mov", copied=(*_MP4.copied, "pcm_s16le", "pcm_s24le")),
    ".mkv": Container(
        "matroska", ("aac", "ac3", "alac", "dts", "flac", "mp3", "opus", "pcm_s16le", "pcm_s24le", "vorbis")
    ),
    ".webm": Container(
        "webm",
        ("opus", "vorbis"),
        "libopus",
        "libvpx-vp9",
        (("crf", "24"), ("b", "0"), ("deadline", "good"), ("cpu-used", "4")),
    ),
    ".avi": Container("avi", sound="libmp3lame", picture=""),
    ".flv": Container("flv", picture=""),
    ".mpeg": _MPEG,
    ".mpg": _MPEG,
    ".ogv": Container("ogg", sound="libopus", picture=""),
    ".ts": Container("mpegts", picture=""),
    ".wmv": Container("asf", sound="libmp3lame", picture=""),
}

#: What sound costs where it is encoded anew; bits a second and channel.
CHANNEL_BIT_RATE = 96_000
#: A rate that every encoder of sound can take; Hz.
COMMON_RATE = 48_000


def container(path: Path, encoded: bool) -> Container:
    """The kind of film that a suffix asks for, its pictures encoded or copied.

    Raises:
        MediaError: no such film is written.
    """
    fitting = {suffix: kind for suffix, kind in CONTAINERS.items() if kind.picture or not encoded}
    if path.suffix.lower() not in fitting:
        raise MediaError(f"{path}: films are written as {', '.join(fitting)}")
    return fitting[path.suffix.lower()]


@contextmanager
def written(path: Path, container: Container) -> Iterator["OutputContainer"]:
    """A film to be written, which becomes `path` once it is whole."""
    import av

    options = dict(container.options)
    try:
        with (
            atomic_write(path) as temporary,
            av.open(str(temporary), "w", format=container.name, options=options) as out,
        ):
            yield out
    except (OSError, av.FFmpegError) as error:
        raise MediaError(f"{path}: cannot be written ({ffmpeg.reason(error)})") from error


def mux(out: "OutputContainer", packets: Iterable[Iterator["Packet[Any]"]]) -> None:
    """Write the packets of several streams in the order of their times, so that none has to wait in memory.

    Each iterator adds its streams to the file when it is asked for its first packet: the merge asks all of them before
    it gives the first one, which is when the header is written.
    """
    for packet in heapq.merge(*packets, key=_time_of):
        out.mux(packet)


def _time_of(packet: "Packet[Any]") -> float:
    return float("-inf") if packet.dts is None else float(packet.dts * packet.time_base)


@dataclass(frozen=True)
class PictureFormat:
    """How the pictures of a film are written.

    Attributes:
        width: an even number.
        height: an even number.
        rate: frames per second, which a player is told; when a frame is shown, its own time says.
        aspect: width of a pixel by its height.
        matrix: of the colours, by FFmpeg's number, as are the next three; BT.709 with limited range by default. Told,
            lest players guess: they take small pictures for BT.601 and large ones for BT.709.
        span: of the levels, limited or full.
        primaries: of the colours.
        transfer: their characteristic.
    """

    width: int
    height: int
    rate: Fraction
    aspect: Fraction = Fraction(1)
    matrix: int = 1
    span: int = 1
    primaries: int = 1
    transfer: int = 1


def encoded(
    out: "OutputContainer", container: Container, form: PictureFormat, frames: Iterable["VideoFrame"]
) -> Iterator["Packet[Any]"]:
    """A stream of pictures; its frames tell their times and durations, all in one unit."""
    stream = cast("VideoStream", out.add_stream(container.picture, form.rate, dict(container.picture_options)))
    stream.width, stream.height, stream.pix_fmt = form.width, form.height, "yuv420p"
    context = stream.codec_context
    context.sample_aspect_ratio = form.aspect
    context.colorspace, context.color_range = form.matrix, form.span
    context.color_primaries, context.color_trc = form.primaries, form.transfer
    durations: dict[int | None, int] = {}
    for frame in chain(frames, [None]):
        if frame:
            durations[frame.pts] = frame.duration
            if frame.time_base and not context.is_open:
                context.time_base = frame.time_base
        for packet in stream.encode(frame):
            # Encoders forget it; a file ends when its last frame does.
            packet.duration = durations.pop(packet.pts)
            yield packet


def even(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (H, W, 3) with even sides, as colour at half the resolution needs; an odd one repeats its edge."""
    height, width, _ = picture.shape
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), "edge")


def picture_frame(picture: NDArray[np.uint8], form: PictureFormat) -> "VideoFrame":
    """A picture (H, W, 3) to be encoded; one of another size than the film's is resized."""
    import av

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even(picture)), format="rgb24")
    return frame.reformat(form.width, form.height, "yuv420p", dst_colorspace=form.matrix, dst_color_range=form.span)


def copied(out: "OutputContainer", path: Path, wanted: Callable[["Stream"], bool]) -> Iterator["Packet[Any]"]:
    """Streams of a file, packet by packet, from its time 0 on."""
    with ffmpeg.open_input(path) as source:
        likes = {stream.index: _like(out, stream, path) for stream in source.streams if wanted(stream)}
        targets = {index: like for index, like in likes.items() if like}
        origin = ffmpeg.origin(source)
        for packet in source.demux([source.streams[index] for index in targets]) if targets else ():
            if packet.size:
                shift = round(origin / packet.time_base)
                packet.pts = None if packet.pts is None else packet.pts - shift
                packet.dts = None if packet.dts is None else packet.dts - shift
                packet.stream = targets[packet.stream_index]
                yield packet


def _like(out: "OutputContainer", stream: "Stream", path: Path) -> "Stream | None":
    """A stream for the packets of another one; None where a subtitle cannot go into such a file."""
    try:
        target = out.add_stream_from_template(stream, opaque=True)
    except ValueError as error:
        if stream.type != "video":
            return None
        codec = stream.codec_context.codec.canonical_name
        raise MediaError(
            f"{path}: its {codec} pictures cannot go into {out.format.name} unchanged; name a {path.suffix} file"
        ) from error
    target.metadata.update(stream.metadata)
    target.disposition = stream.disposition
    return target


def encoded_sound(
    out: "OutputContainer", container: Container, pieces: Iterable[tuple[NDArray[Any], int]]
) -> Iterator["Packet[Any]"]:
    """Sound in pieces (C, n), all of one rate, as one or two channels."""
    stream: AudioStream | None = None
    count = 0
    for channels, rate in pieces:
        stream = stream or _sound_stream(out, container, len(channels), rate)
        frame = ffmpeg.sound_frame(channels, rate)
        frame.pts, frame.time_base = count, Fraction(1, rate)
        count += frame.samples
        yield from stream.encode(frame)
    if stream:
        yield from stream.encode(None)


def _sound_stream(out: "OutputContainer", container: Container, channels: int, rate: int) -> "AudioStream":
    import av

    rates = av.Codec(container.sound, "w").audio_rates
    taken = rate if rates is None or rate in rates else COMMON_RATE
    layout = "mono" if channels == 1 else "stereo"
    bit_rate = CHANNEL_BIT_RATE * min(channels, 2)
    return cast("AudioStream", out.add_stream(container.sound, taken, layout=layout, bit_rate=bit_rate))
