"""Write streams of packets into film and sound files, using PyAV: encoded or copied, interleaved by time.

Only `film` and `files` use this module.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import MediaError
from cmcgan_core.media import ffmpeg
from cmcgan_core.media.packets import read_packets
from cmcgan_core.utils.files import atomic_write, error_reason

if TYPE_CHECKING:
    from av import AudioStream, Packet, VideoFrame, VideoStream
    from av.container import OutputContainer
    from av.stream import Stream


@dataclass(frozen=True)
class ContainerFormat:
    """A format of film or sound files, and the codecs that are used with it.

    Attributes:
        name: FFmpeg's name of the format.
        copied: sound codecs whose packets are copied into it unchanged; sound of other codecs is encoded again.
        least_mp3_rate: the lowest sample rate of MP3 packets that can be copied into it, Hz.
        sound: the encoder for sound.
        picture: the encoder for pictures, or "" if pictures are only copied into the format.
        picture_options: options of the picture encoder; they set a constant quality.
        options: options of the file.
    """

    name: str
    copied: tuple[str, ...] = ()
    least_mp3_rate: int = 0
    sound: str = "aac"
    picture: str = "libx264"
    picture_options: tuple[tuple[str, str], ...] = (("crf", "18"),)
    options: tuple[tuple[str, str], ...] = ()


_MP4 = ContainerFormat("mp4", ("aac", "ac3", "alac", "mp3"), 16_000, options=(("movflags", "+faststart"),))
_MPEG = ContainerFormat("mpeg", sound="mp2", picture="")

#: The film formats by suffix. Sound can be added to a film of each; only those with a picture encoder can be written
#: from frames.
CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": replace(_MP4, name="mov", copied=(*_MP4.copied, "pcm_s16le", "pcm_s24le")),
    ".mkv": ContainerFormat(
        "matroska", ("aac", "ac3", "alac", "dts", "flac", "mp3", "opus", "pcm_s16le", "pcm_s24le", "vorbis")
    ),
    ".webm": ContainerFormat(
        "webm",
        ("opus", "vorbis"),
        0,
        "libopus",
        "libvpx-vp9",
        (("crf", "24"), ("b", "0"), ("deadline", "good"), ("cpu-used", "4")),
    ),
    ".avi": ContainerFormat("avi", sound="libmp3lame", picture=""),
    ".flv": ContainerFormat("flv", picture=""),
    ".mpeg": _MPEG,
    ".mpg": _MPEG,
    ".ogv": ContainerFormat("ogg", sound="libopus", picture=""),
    ".ts": ContainerFormat("mpegts", picture=""),
    ".wmv": ContainerFormat("asf", sound="libmp3lame", picture=""),
}

#: The sound formats that are written by FFmpeg, by suffix. Equal sounds give equal files ("bitexact").
SOUND_CONTAINERS = {
    suffix: ContainerFormat(name, sound=sound, options=(("fflags", "+bitexact"), *options))
    for suffix, name, sound, options in (
        (".mp3", "mp3", "libmp3lame", ()),
        (".ogg", "ogg", "libopus", ()),
        (".opus", "opus", "libopus", ()),
        (".m4a", "ipod", "aac", _MP4.options),
    )
}

#: Bits per second and channel of encoded sound.
CHANNEL_BIT_RATE = 96_000
#: A sample rate in Hz that every sound encoder supports.
COMMON_RATE = 48_000
#: FFmpeg mixes up to this number of channels to stereo. Of more channels, the odd ones become left, the others right.
MOST_CHANNELS = 7


def container_format(path: Path, encoded: bool) -> ContainerFormat:
    """Return the format for a file's suffix.

    Args:
        path: the film that is to be written.
        encoded: whether its pictures are to be encoded, not only copied.

    Raises:
        MediaError: there is no such format, or it has no picture encoder and one is needed.
    """
    possible = {suffix: form for suffix, form in CONTAINERS.items() if form.picture or not encoded}
    if path.suffix.lower() not in possible:
        raise MediaError(f"{path}: films are written as {', '.join(possible)}")
    return possible[path.suffix.lower()]


@contextmanager
def open_output(path: Path, container: ContainerFormat) -> Iterator["OutputContainer"]:
    """Open a film or a sound file for writing; it appears at `path` when the block ends without an error.

    Raises:
        MediaError: the file cannot be written.
    """
    import av

    options = dict(container.options)
    try:
        with (
            atomic_write(path) as temporary,
            av.open(ffmpeg.file_url(temporary), "w", format=container.name, options=options) as out,
        ):
            yield out
    except (OSError, av.FFmpegError) as error:
        raise MediaError(f"{path}: cannot be written ({error_reason(error)})") from error


def mux(out: "OutputContainer", packets: Iterable[Iterator["Packet[Any]"]]) -> None:
    """Write the packets of several streams in time order, so that none has to wait in memory.

    Each iterator adds its streams to the file when its first packet is requested. The merge requests the first packet
    of every iterator before it returns any, so all streams exist when the header is written.
    """
    for packet in heapq.merge(*packets, key=_decoding_time):
        out.mux(packet)


def _decoding_time(packet: "Packet[Any]") -> float:
    """Return the decoding time of a packet in seconds, or minus infinity if it has none."""
    return float("-inf") if packet.dts is None else float(packet.dts * packet.time_base)


@dataclass(frozen=True)
class PictureFormat:
    """How the pictures of a film are encoded.

    The colour properties are FFmpeg's numbers. The default is BT.709 with limited range. They are always written,
    because a player that has to guess takes small pictures for BT.601 and large ones for BT.709.

    Attributes:
        width: pixels, an even number.
        height: pixels, an even number.
        rate: frames per second, as information for players; each frame also has its own time.
        aspect: width of a pixel divided by its height.
        matrix: the colour matrix.
        color_range: limited or full range.
        primaries: the colour primaries.
        transfer: the transfer characteristic.
    """

    width: int
    height: int
    rate: Fraction
    aspect: Fraction = Fraction(1)
    matrix: int = 1
    color_range: int = 1
    primaries: int = 1
    transfer: int = 1


def encode_pictures(
    out: "OutputContainer", container: ContainerFormat, form: PictureFormat, frames: Iterable["VideoFrame"]
) -> Iterator["Packet[Any]"]:
    """Add a stream of pictures to a film, and yield its packets.

    Args:
        out: the film.
        container: the format of the film.
        form: how the pictures are encoded.
        frames: the pictures, each with its time and duration, all in the same time base.
    """
    stream = cast("VideoStream", out.add_stream(container.picture, form.rate, dict(container.picture_options)))
    stream.width, stream.height, stream.pix_fmt = form.width, form.height, "yuv420p"
    context = stream.codec_context
    context.sample_aspect_ratio = form.aspect
    context.colorspace, context.color_range = form.matrix, form.color_range
    context.color_primaries, context.color_trc = form.primaries, form.transfer
    durations: dict[int | None, int] = {}
    for frame in chain(frames, [None]):
        if frame:
            durations[frame.pts] = frame.duration
            if frame.time_base and not context.is_open:
                context.time_base = frame.time_base
        for packet in stream.encode(frame):
            # Encoders drop the duration. The file needs it, because it ends when its last frame ends.
            packet.duration = durations.pop(packet.pts)
            yield packet


def pad_to_even(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) with even sides, repeating its last row or column if needed.

    Encoders store colour at half the resolution, which needs even sides.
    """
    height, width, _ = picture.shape
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), "edge")


def make_picture_frame(picture: NDArray[np.uint8], form: PictureFormat) -> "VideoFrame":
    """Return a picture (H, W, 3) as a frame for the encoder, resized if its size is not that of the film."""
    import av

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pad_to_even(picture)), format="rgb24")
    return frame.reformat(
        form.width, form.height, "yuv420p", dst_colorspace=form.matrix, dst_color_range=form.color_range
    )


def copy_streams(out: "OutputContainer", path: Path, wanted: Callable[["Stream"], bool]) -> Iterator["Packet[Any]"]:
    """Add streams of another file to a film, and yield their packets, shifted so that both have the same time 0.

    Args:
        out: the film.
        path: the file to copy from.
        wanted: whether a stream of the file is copied.

    Raises:
        MediaError: the file cannot be read, or its pictures cannot be copied into this format.
    """
    with ffmpeg.open_input(path) as source:
        copies = {stream.index: _add_copy(out, stream, path) for stream in source.streams if wanted(stream)}
        targets = {index: copy for index, copy in copies.items() if copy}
        for packet in read_packets(source, [source.streams[index] for index in targets]) if targets else ():
            if packet.size:
                packet.stream = targets[packet.stream_index]
                yield packet


def _add_copy(out: "OutputContainer", stream: "Stream", path: Path) -> "Stream | None":
    """Add a stream to a film for the packets of `stream`; return None if the format does not support this subtitle.

    Raises:
        MediaError: the format does not support these pictures.
    """
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


def encode_sound(
    out: "OutputContainer", container: ContainerFormat, pieces: Iterable[tuple[NDArray[Any], int]]
) -> Iterator["Packet[Any]"]:
    """Add a stream of sound to a file, and yield its packets.

    Args:
        out: the file.
        container: the format of the file.
        pieces: the sound in pieces (channels, n), each with its sample rate in Hz. More than two channels are mixed to
            stereo. If channels or sample rate change, the rest is converted to those of the first piece.
    """
    stream: AudioStream | None = None
    count = 0
    for channels, rate in _in_one_format(pieces):
        stream = stream or _add_sound_stream(out, container, len(channels), rate)
        frame = ffmpeg.make_sound_frame(channels, rate)
        frame.pts, frame.time_base = count, Fraction(1, rate)
        count += frame.samples
        yield from stream.encode(frame)
    if stream:
        yield from stream.encode(None)


def _in_one_format(pieces: Iterable[tuple[NDArray[Any], int]]) -> Iterator[tuple[NDArray[Any], int]]:
    """Yield pieces (channels, n) and their sample rates, converted so that both are those of the first piece."""
    import av

    first: tuple[int, int] | None = None
    folded = ((_fold(channels), rate) for channels, rate in pieces)
    for (count, rate), run in groupby(folded, key=lambda piece: (len(piece[0]), piece[1])):
        first = first or (count, rate)
        if (count, rate) == first:
            yield from run
            continue
        converter = av.AudioResampler(format="fltp", layout=f"{first[0]}c", rate=first[1])
        for channels, _ in run:
            for frame in converter.resample(ffmpeg.make_sound_frame(channels, rate)):
                yield frame.to_ndarray(), first[1]
        for frame in converter.resample(None):
            yield frame.to_ndarray(), first[1]


def _fold(channels: NDArray[Any]) -> NDArray[Any]:
    """Return sound (channels, n) as it is, or as stereo if it has more channels than FFmpeg can mix."""
    if len(channels) <= MOST_CHANNELS:
        return channels
    return np.stack([channels[::2].mean(0), channels[1::2].mean(0)])


def _add_sound_stream(out: "OutputContainer", container: ContainerFormat, channels: int, rate: int) -> "AudioStream":
    """Add a mono or stereo stream, with the sample rate `rate` if the encoder supports it."""
    import av

    supported = av.Codec(container.sound, "w").audio_rates
    stream_rate = rate if supported is None or rate in supported else COMMON_RATE
    layout = "mono" if channels == 1 else "stereo"
    bit_rate = CHANNEL_BIT_RATE * min(channels, 2)
    return cast("AudioStream", out.add_stream(container.sound, stream_rate, layout=layout, bit_rate=bit_rate))
