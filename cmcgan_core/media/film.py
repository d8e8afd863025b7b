"""Films, written and measured: pictures with their sound, packets copied where they need not change.

Time 0 of what is written is time 0 of what it was made from: the earliest timestamp of any of its streams.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import MediaError
from cmcgan_core.media import damage, ffmpeg, muxing
from cmcgan_core.media.files import require_file, track_kinds

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream
    from av.container import InputContainer, OutputContainer
    from av.filter import Graph
    from av.stream import Stream


TrackKind = Literal["picture", "sound", "other"]

#: What is shown instead of the picture, if any, at a time; None to keep it.
Repair = Callable[[float, NDArray[np.uint8] | None], NDArray[np.uint8] | None]

#: The unit of times that are written, in seconds: every usual frame rate, and the millisecond, is a multiple of it.
TICK = Fraction(1, 360_000)
#: What a stream carries, by FFmpeg's name.
TRACK_KINDS: dict[str, TrackKind] = {"video": "picture", "audio": "sound"}


def write_film(
    path: Path, frames: Iterable[NDArray[np.uint8]], fps: float | Fraction, sound: Path | None = None
) -> None:
    """Write a film, whole or not at all: .mp4, .m4v, .mov or .mkv (H.264), .webm (VP9), or .gif (loops, no sound).

    Args:
        path: where to, its suffix the format.
        frames: pictures (H, W, 3) of one size, taken one by one as they are needed. An odd side gains a row or a
            column, a copy of the last one.
        fps: frames per second.
        sound: a sound file or a film, all of whose sound goes in: its packets where the format can take them, encoded
            anew where it cannot. In .mkv the run-in of some codecs, about 25 ms, moves picture and sound together.

    Raises:
        MediaError: the suffix is of no film, there is no frame, the sound cannot be read, or it cannot be written.
    """
    if path.suffix.lower() == ".gif":
        _write_gif(path, frames, fps)
        return
    container = muxing.container(path, encoded=True)
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise MediaError(f"{path}: not written, as there is no frame")
    height, width, _ = muxing.even(first).shape
    form = muxing.PictureFormat(width, height, Fraction(fps).limit_denominator(1001))
    with muxing.written(path, container) as out:
        packets = [muxing.encoded(out, container, form, _evenly_timed(chain([first], pictures), form))]
        if sound:
            packets.append(_original_sound(out, container, sound))
        muxing.mux(out, packets)


def _evenly_timed(pictures: Iterable[NDArray[np.uint8]], form: muxing.PictureFormat) -> Iterator["VideoFrame"]:
    for number, picture in enumerate(pictures):
        yield _timed(muxing.picture_frame(picture, form), number, 1, 1 / form.rate)


def _timed(frame: "VideoFrame", start: int, duration: int, unit: Fraction) -> "VideoFrame":
    """A frame to be shown from `start` for `duration`, in units of so many seconds."""
    frame.pts, frame.duration, frame.time_base = start, duration, unit
    return frame


def add_soundtrack(source: Path, out: Path, blocks: Iterable[NDArray[np.float32]], sample_rate: int) -> None:
    """Put new sound to a film, whole or not at all: its pictures are copied, not encoded again, and so are subtitles.

    Args:
        source: the film; what sound it has is left out.
        out: where to, its suffix the format, best that of `source`.
        blocks: mono sound (n,) in [-1, 1] from time 0 of the film on, taken one by one as they are needed.
        sample_rate: Hz, of the blocks.

    Raises:
        MediaError: the film cannot be read or has no pictures, they cannot go into the format, or it cannot be written.
    """
    container = muxing.container(out, encoded=False)
    with muxing.written(out, container) as film:
        _describe(film, source)
        kept = muxing.copied(film, source, lambda stream: stream.type in ("video", "subtitle"))
        sound = muxing.encoded_sound(film, container, ((block[None], sample_rate) for block in blocks))
        muxing.mux(film, [kept, sound])


def replace_frames(source: Path, out: Path, pictures: Repair) -> None:
    """Write a film with some of its pictures replaced, whole or not at all; its sound and subtitles are copied.

    The pictures are encoded anew (H.264, VP9 for .webm) in the film's size, upright, each at its own time. What is kept
    keeps its colours as they were coded. Of several tracks of pictures or of sound the best goes in, as FFmpeg judges.

    Args:
        source: the film.
        out: where to, its suffix the format.
        pictures: is given, for each frame from time 0 on, its time in seconds and the picture (H, W, 3), upright, or
            None where none can be decoded or none is there, as `damage.examine_frames` tells. It returns what to show instead,
            resized where it is of another size, or None to keep what there is: where nothing is, the frame before.

    Raises:
        MediaError: the film cannot be read or has no pictures, the suffix is of no film, or it cannot be written.
    """
    container = muxing.container(out, encoded=True)
    form, upright = _format(source)
    with muxing.written(out, container) as film:
        _describe(film, source)
        packets = [
            muxing.encoded(film, container, form, _repaired(source, pictures, form, upright)),
            muxing.copied(film, source, lambda stream: stream.type == "subtitle"),
        ]
        if "sound" in track_kinds(source):
            packets.append(_original_sound(film, container, source))
        muxing.mux(film, packets)


def _format(source: Path) -> tuple[muxing.PictureFormat, bool]:
    """How the pictures of a film are coded, and whether they can stay so: upright and of even size."""
    require_file(source)
    _, _, frame = next(ffmpeg.decode_frames(source), (0, 0, None))
    if frame is None:
        raise MediaError(f"{source}: holds no pictures that can be decoded")
    height, width, _ = muxing.even(ffmpeg.decode_picture(frame)).shape
    with ffmpeg.open_input(source) as container:
        stream = cast("VideoStream", container.streams.best("video"))
        coded = stream.codec_context
        form = muxing.PictureFormat(
            width,
            height,
            stream.average_rate or Fraction(25),
            coded.sample_aspect_ratio or Fraction(1),
            coded.colorspace,
            coded.color_range,
            coded.color_primaries,
            coded.color_trc,
        )
    return form, frame.rotation == 0 and (frame.width, frame.height) == (width, height)


def _repaired(source: Path, pictures: Repair, form: muxing.PictureFormat, upright: bool) -> Iterator["VideoFrame"]:
    for shown in damage.examine_frames(source):
        picture = ffmpeg.decode_picture(shown.frame) if shown.frame else None
        new = pictures(shown.start, picture)
        if new is None and shown.frame and upright:
            frame = shown.frame.reformat(format="yuv420p", dst_color_range=form.span)
            frame.pict_type = 0  # else the encoder repeats the old one's choice
        elif (seen := picture if new is None else new) is not None:
            frame = muxing.picture_frame(seen, form)
        else:
            continue
        start, end = (round(time / TICK) for time in (shown.start, shown.end))
        yield _timed(frame, start, end - start, TICK)


def _describe(film: "OutputContainer", source: Path) -> None:
    """Title, chapters and the like, as in the film that this one is made from."""
    if "picture" not in track_kinds(source):
        raise MediaError(f"{source}: has no pictures")
    with ffmpeg.open_input(source) as original:
        film.metadata.update(original.metadata)
        film.set_chapters(original.chapters())


def write_sequence(folder: Path, frames: Iterable[NDArray[np.uint8]]) -> None:
    """Write frames (H, W, 3) as folder/00001.png and so on, the whole folder or nothing; one like it is replaced.

    Raises:
        MediaError: the folder holds anything but such pictures, there is no frame, or it cannot be written.
    """
    from PIL import Image

    if folder.exists() and not (folder.is_dir() and all(_is_of_sequence(file) for file in folder.iterdir())):
        raise MediaError(f"{folder}: holds other things than numbered pictures; name another folder")
    with _written_folder(folder) as temporary:
        number = 0
        for number, frame in enumerate(frames, 1):
            Image.fromarray(frame).save(temporary / f"{number:05d}.png")
        if not number:
            raise MediaError(f"{folder}: not written, as there is no frame")


@dataclass(frozen=True)
class Track:
    """One stream of a film, by its packets.

    Attributes:
        kind: what it carries.
        codec: FFmpeg's name.
        start: when it begins, from the earliest start of any stream; seconds.
        seconds: from its start to the end of its last packet.
        frames: how many packets it has.
        size: (width, height) of a picture as coded, before it is turned upright.
        rate: frames per second of pictures on average, samples per second of sound.
    """

    kind: TrackKind
    codec: str
    start: float
    seconds: float
    frames: int
    size: tuple[int, int] | None
    rate: float


def probe(path: Path) -> list[Track]:
    """The tracks of a film or a sound file, measured packet by packet without decoding.

    Raises:
        MediaError: it cannot be opened.
    """
    require_file(path)
    ends: dict[int, float] = {}
    counts: Counter[int] = Counter()
    with ffmpeg.open_input(path) as container:
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                end = float(packet.pts * packet.time_base) + _duration(packet)
                ends[packet.stream_index] = max(end, ends.get(packet.stream_index, end))
            counts[packet.stream_index] += bool(packet.size)
        return [_track(container, s, ends.get(s.index, 0.0), counts[s.index]) for s in container.streams]


def _duration(packet: "Packet[Any]") -> float:
    """Seconds; where a packet of pictures does not tell, those that a frame lasts on average."""
    rate = packet.stream.average_rate if packet.stream.type == "video" else None
    return float(packet.duration * packet.time_base) if packet.duration else 1 / float(rate) if rate else 0.0


def _track(container: "InputContainer", stream: "Stream", end: float, packets: int) -> Track:
    context: Any = stream.codec_context  # None where FFmpeg does not know what the stream is
    kind = TRACK_KINDS.get(stream.type, "other") if context else "other"
    start = float((stream.start_time or 0) * (stream.time_base or 0))
    size, rate = None, 0.0
    if kind == "picture":
        size, rate = (context.width, context.height), float(stream.average_rate or 0)
    elif kind == "sound":
        rate = float(context.sample_rate)
    codec = context.codec.canonical_name if context else "none"
    return Track(kind, codec, start - ffmpeg.origin(container), end - start, packets, size, rate)


def _original_sound(out: "OutputContainer", container: muxing.Container, path: Path) -> Iterator["Packet[Any]"]:
    """All sound of a file: copied where the container takes it, or else encoded."""
    require_file(path)
    with ffmpeg.open_input(path) as source:
        stream = source.streams.best("audio")
        if stream is None:
            raise MediaError(f"{path}: has no sound")
        index, codec = stream.index, stream.codec_context.codec.canonical_name
    if codec in container.copied:
        return muxing.copied(out, path, lambda stream: stream.index == index)
    return muxing.encoded_sound(out, container, ffmpeg.decode_sound(path))


@contextmanager
def _written_folder(folder: Path) -> Iterator[Path]:
    """A folder to be written beside `folder`, which it replaces once it is whole."""
    temporary, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{word}") for word in ("tmp", "old"))
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise MediaError(f"{folder}: cannot be written ({ffmpeg.reason(error)})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_gif(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float | Fraction) -> None:
    import av

    period = 1 / Fraction(fps).limit_denominator(1001)
    with muxing.written(path, muxing.Container("gif", ())) as out:
        stream: VideoStream | None = None
        for number, picture in enumerate(frames):
            if stream is None:
                palettes = _palettes(picture, period)
                stream = out.add_stream("gif", 1 / period)
                stream.height, stream.width, _ = picture.shape
                stream.pix_fmt = "pal8"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, period
            palettes.push(frame)
            out.mux(stream.encode(cast("VideoFrame", palettes.pull())))
        if stream is None:
            raise MediaError(f"{path}: not written, as there is no frame")
        out.mux(stream.encode(None))


def _palettes(picture: NDArray[np.uint8], period: Fraction) -> "Graph":
    """What gives each picture the 256 colours that suit it best, dithered; made for pictures like this one."""
    import av.filter

    height, width, _ = picture.shape
    graph = av.filter.Graph()
    source = graph.add("buffer", f"video_size={width}x{height}:pix_fmt=rgb24:time_base={period}")
    split, use, sink = graph.add("split"), graph.add("paletteuse", "new=1"), graph.add("buffersink")
    generate = graph.add("palettegen", "stats_mode=single")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(generate, 1, 0)
    generate.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph


def _is_of_sequence(file: Path) -> bool:
    return file.suffix == ".png" and file.stem.isdigit()
