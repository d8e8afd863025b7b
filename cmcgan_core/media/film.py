"""Write films, replace their sound or pictures, and measure their tracks.

Packets that do not have to change are copied. Time 0 of an output is time 0 of its input: the earliest timestamp of all
streams.
"""

from collections.abc import Callable, Iterable, Iterator
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
from cmcgan_core.media.packets import first_timestamp, is_one_recording, measure_streams
from cmcgan_core.utils.files import atomic_folder, error_reason

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream
    from av.container import InputContainer, OutputContainer
    from av.filter import Graph
    from av.stream import Stream

TrackKind = Literal["picture", "sound", "other"]

#: A function of the time and the picture that returns the picture to show instead, or None to keep the old one.
Repair = Callable[[float, NDArray[np.uint8] | None], NDArray[np.uint8] | None]

#: The unit of written times, in seconds. The periods of all usual frame rates and a millisecond are multiples of it.
TICK = Fraction(1, 360_000)
#: The most frames per second of a GIF. It stores periods in hundredths of a second, and viewers show a frame of less
#: than two hundredths for ten.
MAX_GIF_FPS = 50
#: The kind of a track by FFmpeg's name.
TRACK_KINDS: dict[str, TrackKind] = {"video": "picture", "audio": "sound"}


def write_film(
    path: Path, frames: Iterable[NDArray[np.uint8]], fps: float | Fraction, sound: Path | None = None
) -> None:
    """Write a film atomically: .mp4, .m4v, .mov or .mkv (H.264), .webm (VP9), or .gif (repeats, without sound).

    Args:
        path: the file to write; its suffix chooses the format.
        frames: pictures (H, W, 3) of one size, requested one by one as they are written. An odd height or width is made
            even by repeating the last row or column.
        fps: frames per second, see `storable_fps`.
        sound: a sound file or a film whose sound is added. Its packets are copied if the format supports them,
            otherwise the sound is encoded again. In .mkv the start-up delay of some codecs, about 25 ms, delays picture
            and sound together.

    Raises:
        MediaError: the suffix is not a film format, it cannot store so many frames per second, there is no frame, the
            sound cannot be read, or the film cannot be written.
    """
    if path.suffix.lower() == ".gif":
        _write_gif(path, frames, fps)
        return
    container = muxing.container_format(path, encoded=True)
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise MediaError(f"{path}: not written, as there is no frame")
    height, width, _ = muxing.pad_to_even(first).shape
    form = muxing.PictureFormat(width, height, Fraction(fps).limit_denominator(1001))
    with muxing.open_output(path, container) as out:
        packets = [muxing.encode_pictures(out, container, form, _evenly_timed(chain([first], pictures), form))]
        if sound:
            packets.append(_original_sound(out, container, sound))
        muxing.mux(out, packets)


def storable_fps(path: Path, fps: float) -> float:
    """Return the frames per second of a film, or the most that the format of its suffix can store if it is less."""
    return min(fps, MAX_GIF_FPS) if path.suffix.lower() == ".gif" else fps


def _evenly_timed(pictures: Iterable[NDArray[np.uint8]], form: muxing.PictureFormat) -> Iterator["VideoFrame"]:
    """Yield the pictures (H, W, 3) as frames at the film's frame rate."""
    for number, picture in enumerate(pictures):
        yield _set_time(muxing.make_picture_frame(picture, form), number, 1, 1 / form.rate)


def _set_time(frame: "VideoFrame", start: int, duration: int, unit: Fraction) -> "VideoFrame":
    """Set when a frame appears and for how long it is shown, in multiples of `unit` seconds; return it."""
    frame.pts, frame.duration, frame.time_base = start, duration, unit
    return frame


def add_soundtrack(source: Path, out: Path, blocks: Iterable[NDArray[np.float32]], sample_rate: int) -> None:
    """Write a film with new sound atomically; its pictures and subtitles are copied without encoding them again.

    Args:
        source: the film. Its own sound is left out.
        out: the file to write; its suffix chooses the format. The safest choice is the suffix of `source`.
        blocks: mono sound (n,) in [-1, 1] from time 0 of the film on, requested block by block as it is written.
        sample_rate: sample rate of the blocks, Hz.

    Raises:
        MediaError: the film cannot be read or has no pictures, the format does not support its pictures, or the output
            cannot be written.
    """
    container = muxing.container_format(out, encoded=False)
    with muxing.open_output(out, container) as film:
        _copy_description(film, source)
        kept = muxing.copy_streams(film, source, lambda stream: stream.type in ("video", "subtitle"))
        sound = muxing.encode_sound(film, container, ((block[None], sample_rate) for block in blocks))
        muxing.mux(film, [kept, sound])


def replace_frames(source: Path, out: Path, repair: Repair) -> None:
    """Write a film with some of its pictures replaced, atomically; its sound and subtitles are copied.

    All pictures are encoded again (H.264, or VP9 for .webm) at their own times, upright, in the size of the film.
    Pictures that are kept keep their coded colours. If the film has several tracks of pictures or of sound, only the
    best one of each is written, as FFmpeg ranks them.

    Args:
        source: the film.
        out: the file to write; its suffix chooses the format.
        repair: called for each frame from time 0 on, with its time in seconds and its upright picture (H, W, 3). The
            picture is None where it cannot be decoded or is missing (see `damage.examine_frames`). It returns the
            picture to show instead, which is resized to the film's size if needed, or None to keep the old picture.
            Where there is no old picture, None extends the frame before.

    Raises:
        MediaError: the film cannot be read or has no pictures, the suffix is not a film format, or the output cannot be
            written.
    """
    container = muxing.container_format(out, encoded=True)
    form, reusable = _picture_format(source)
    with muxing.open_output(out, container) as film:
        _copy_description(film, source)
        packets = [
            muxing.encode_pictures(film, container, form, _repaired_frames(source, repair, form, reusable)),
            muxing.copy_streams(film, source, lambda stream: stream.type == "subtitle"),
        ]
        if "sound" in track_kinds(source):
            packets.append(_original_sound(film, container, source))
        muxing.mux(film, packets)


def _picture_format(source: Path) -> tuple[muxing.PictureFormat, bool]:
    """Return the format of a film's pictures, and whether frames can be reused as decoded: upright and of even size."""
    require_file(source)
    _, _, frame = next(ffmpeg.decode_frames(source), (0, 0, None))
    if frame is None:
        raise MediaError(f"{source}: holds no pictures that can be decoded")
    height, width, _ = muxing.pad_to_even(ffmpeg.decode_picture(frame)).shape
    with ffmpeg.open_input(source) as container:
        stream = ffmpeg.picture_stream(container, source)
        context = stream.codec_context
        form = muxing.PictureFormat(
            width,
            height,
            stream.average_rate or Fraction(25),
            context.sample_aspect_ratio or Fraction(1),
            context.colorspace,
            context.color_range,
            context.color_primaries,
            context.color_trc,
        )
    return form, ffmpeg.is_upright(frame) and (frame.width, frame.height) == (width, height)


def _repaired_frames(
    source: Path, repair: Repair, form: muxing.PictureFormat, reusable: bool
) -> Iterator["VideoFrame"]:
    """Yield the frames of a film, each replaced by what `repair` returns for it.

    Args:
        source: the film.
        repair: see `replace_frames`.
        form: the format of the output's pictures.
        reusable: whether a decoded frame fits the format without rotation or padding.
    """
    for shown in damage.examine_frames(source):
        old = ffmpeg.decode_picture(shown.frame) if shown.frame else None
        new = repair(shown.start, old)
        picture = old if new is None else new
        if new is None and shown.frame and reusable:
            frame = shown.frame.reformat(format="yuv420p", dst_color_range=form.color_range)
            frame.pict_type = 0  # otherwise the encoder repeats the frame type of the source
        elif picture is not None:
            frame = muxing.make_picture_frame(picture, form)
        else:
            continue
        start, end = (round(time / TICK) for time in (shown.start, shown.end))
        yield _set_time(frame, start, end - start, TICK)


def _copy_description(film: "OutputContainer", source: Path) -> None:
    """Copy title, chapters and other metadata from a film.

    Raises:
        MediaError: the source has no pictures.
    """
    if "picture" not in track_kinds(source):
        raise MediaError(f"{source}: has no pictures")
    with ffmpeg.open_input(source) as original:
        film.metadata.update(original.metadata)
        film.set_chapters(original.chapters())


def write_sequence(folder: Path, frames: Iterable[NDArray[np.uint8]]) -> None:
    """Write frames (H, W, 3) as folder/00001.png, folder/00002.png, ...: all of them, or none after an error.

    An older sequence in the folder is replaced.

    Raises:
        MediaError: the folder holds other files than such pictures, there is no frame, or the folder cannot be written.
    """
    from PIL import Image

    if folder.exists() and not (folder.is_dir() and all(_is_sequence_file(file) for file in folder.iterdir())):
        raise MediaError(f"{folder}: holds other things than numbered pictures; name another folder")
    try:
        with atomic_folder(folder, overwrite=True) as temporary:
            number = 0
            for number, frame in enumerate(frames, 1):
                Image.fromarray(frame).save(temporary / f"{number:05d}.png")
            if not number:
                raise MediaError(f"{folder}: not written, as there is no frame")
    except OSError as error:
        raise MediaError(f"{folder}: cannot be written ({error_reason(error)})") from error


@dataclass(frozen=True)
class Track:
    """One stream of a file, measured by its packets.

    Attributes:
        kind: what the stream contains.
        codec: FFmpeg's name of the codec.
        start: when it starts, in seconds after the earliest start of all streams.
        seconds: duration from its start to the end of its last packet.
        frames: the number of its packets.
        size: (width, height) of the pictures as coded, before any rotation; None for other streams.
        rate: average frames per second of pictures, samples per second of sound, 0 for other streams.
    """

    kind: TrackKind
    codec: str
    start: float
    seconds: float
    frames: int
    size: tuple[int, int] | None
    rate: float


def probe(path: Path) -> list[Track]:
    """Return the tracks of a film or a sound file, measured packet by packet without decoding.

    Raises:
        MediaError: the file cannot be opened.
    """
    require_file(path)
    with ffmpeg.open_input(path) as container:
        counts, ends = measure_streams(container)
        return [_track(container, s, ends.get(s.index), counts[s.index]) for s in container.streams]


def _track(container: "InputContainer", stream: "Stream", end: float | None, packets: int) -> Track:
    """Return the description of a stream that ends at the time `end`, in seconds; None for a stream without packets."""
    context: Any = stream.codec_context  # None if FFmpeg does not know the type of the stream
    kind = TRACK_KINDS.get(stream.type, "other") if context else "other"
    start = float((stream.start_time or 0) * (stream.time_base or 0)) - first_timestamp(container)
    size, rate = None, 0.0
    if kind == "picture":
        size, rate = (context.width, context.height), float(stream.average_rate or 0)
    elif kind == "sound":
        rate = float(context.sample_rate)
    codec = context.codec.canonical_name if context else "none"
    return Track(kind, codec, start, 0.0 if end is None else end - start, packets, size, rate)


def _original_sound(out: "OutputContainer", container: muxing.ContainerFormat, path: Path) -> Iterator["Packet[Any]"]:
    """Return the packets of a file's sound: copied if the format supports them, otherwise encoded again.

    A format supports only one recording, whose packets all have a time.
    """
    require_file(path)
    with ffmpeg.open_input(path) as source:
        stream = ffmpeg.sound_stream(source, path)
        index, codec = stream.index, stream.codec_context.codec.canonical_name
        supported = codec in container.copied and not (codec == "mp3" and stream.rate < container.least_mp3_rate)
        copied = supported and is_one_recording(source, stream)
    if copied:
        return muxing.copy_streams(out, path, lambda stream: stream.index == index)
    return muxing.encode_sound(out, container, ffmpeg.decode_sound(path))


def _write_gif(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float | Fraction) -> None:
    """Write frames (H, W, 3) as a GIF that repeats forever; see `write_film`."""
    import av

    if fps > MAX_GIF_FPS:
        raise MediaError(f"{path}: not written, as a GIF has at most {MAX_GIF_FPS} frames per second")
    period = 1 / Fraction(fps).limit_denominator(1001)
    with muxing.open_output(path, muxing.ContainerFormat("gif")) as out:
        stream: VideoStream | None = None
        for number, picture in enumerate(frames):
            if stream is None:
                palettes = _palette_filter(picture, period)
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


def _palette_filter(picture: NDArray[np.uint8], period: Fraction) -> "Graph":
    """Return a filter that reduces each picture to its own best 256 colours, with dithering.

    Args:
        picture: a picture (H, W, 3) of the size that the filter is for.
        period: seconds between two pictures.
    """
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


def _is_sequence_file(file: Path) -> bool:
    return file.suffix == ".png" and file.stem.isdigit()
