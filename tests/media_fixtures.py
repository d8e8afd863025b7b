"""Create sounds, pictures, videos and source folders for tests."""

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from cmcgan_core.media.files import read_sound

RATE = 44_100
#: Pictures per second of `write_streams`.
FPS = 10


def tone(seconds: float, hertz: float = 1000, rate: int = RATE, level: float = 0.5) -> NDArray[np.float32]:
    """Return a sine (L,)."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (48, 32)) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) of one colour; `size` is (W, H)."""
    return np.full((size[1], size[0], 3), colour, np.uint8)


def write_wav(path: Path, sound: NDArray[np.float32], rate: int = RATE, subtype: str = "PCM_16") -> Path:
    """Write a WAV file; create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, subtype)
    return path


def write_jpg(path: Path, picture: NDArray[np.uint8]) -> Path:
    """Write a picture file; create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def write_video(
    path: Path,
    frames: list[NDArray[np.uint8]],
    *,
    rate: int = 10,
    times: list[float] | None = None,
    sound: NDArray[np.float32] | None = None,
    sound_starts: float = 0.0,
    index_first: bool = False,
) -> Path:
    """Write a video of RGB frames (H, W, 3), with AAC sound (L,) at 44.1 kHz if given.

    The frames appear at `times` seconds, by default `rate` per second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"} if index_first else {}) as container:
        video = container.add_stream("mpeg4", rate=rate) if frames else None
        audio = container.add_stream("aac", rate=RATE, layout="mono") if sound is not None else None
        if video:
            video.height, video.width, _ = frames[0].shape
            video.pix_fmt, video.bit_rate = "yuv420p", 4_000_000
            video.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(1000 * (times[number] if times else number / rate)), Fraction(1, 1000)
            container.mux(video.encode(frame))
        if video:
            container.mux(video.encode(None))
        if audio:
            block = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = RATE, round(sound_starts * RATE), Fraction(1, RATE)
            container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def write_streams(
    path: Path,
    sound: NDArray[np.float32] | None = None,
    pictures: int = 0,
    *,
    rate: int = RATE,
    codecs: tuple[str, str] = ("mpeg4", "aac"),
    late: float = 0.0,
    channels: int = 1,
    to: io.RawIOBase | None = None,
    form: str | None = None,
    last: float | None = None,
    b_frames: int = 0,
) -> Path:
    """Write a file with a sound track, which is empty if `sound` is None, and a moving pattern.

    Args:
        path: the file; its folder is created.
        sound: the sound (L,) at `rate`.
        pictures: number of pictures, ten per second; 0 for no picture track.
        rate: sample rate, Hz.
        codecs: the encoders of pictures and of sound.
        late: when the first picture appears, in seconds.
        channels: 1 or 2 equal channels.
        to: a file object to write to instead of the path.
        form: FFmpeg's name of the format; None takes it from the suffix.
        last: for how many seconds the last picture is shown; None leaves it to the encoder.
        b_frames: the largest number of B frames in a row.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(to or str(path), "w", format=form) as container:
        video = container.add_stream(codecs[0], rate=FPS, width=64, height=48, pix_fmt="yuv420p") if pictures else None
        layout = "stereo" if channels == 2 else "mono"
        audio = container.add_stream(codecs[1], rate=rate, layout=layout)
        if video:
            video.codec_context.time_base = Fraction(1, 1000)
            video.codec_context.max_b_frames = b_frames
        audio.bit_rate = 96_000
        tiles = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        durations = {}
        for number in [*range(pictures), None] if video else ():
            frame = None
            if number is not None:
                frame = av.VideoFrame.from_ndarray(np.roll(tiles, 8 * number, 1), format="rgb24")
                frame.pts, frame.time_base = round(1000 * (late + number / FPS)), Fraction(1, 1000)
                durations[frame.pts] = round(1000 * last) if last and number == pictures - 1 else 1000 // FPS
            for packet in video.encode(frame):
                if last:
                    packet.duration = durations[packet.pts]
                container.mux(packet)
        if sound is not None:
            block = av.AudioFrame.from_ndarray(np.tile(sound, (channels, 1)), format="fltp", layout=layout)
            block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
            container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def sound_seconds(path: Path) -> float:
    """Return the length of the sound of a file in seconds."""
    return len(read_sound(path, RATE)) / RATE


def hertz(sound: NDArray[np.float32]) -> float:
    """Return the loudest frequency of a sound (L,)."""
    return np.abs(np.fft.rfft(sound * np.hanning(len(sound)))).argmax() * RATE / len(sound)


def turn_video(path: Path) -> None:
    """Set the rotation in the track header of an mp4 to 90 degrees clockwise."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def sub_urmp(
    root: Path, songs: dict[str, list[int]], picture: Callable[[int], NDArray[np.uint8]] | None = None
) -> Path:
    """Create a Sub-URMP folder.

    `songs` are the starts of the chunks in ms by `split/instrument/song`; `picture` makes the picture for a start.
    """
    for name, starts in songs.items():
        for start in starts:
            write_wav(root / "chunk" / f"{name}_{start}.wav", tone(0.5, 200 + start / 10))
            colour = (start // 40 % 256, len(name) * 8, 90)
            write_jpg(root / "img" / f"{name}_{start}.jpg", picture(start) if picture else plain(colour))
    return root


def urmp_piece(root: Path, name: str, parts: list[str], seconds: float = 1.2) -> Path:
    """Create a piece of URMP. The k-th player is a strip with its own grey and sounds k octaves above 220 Hz."""
    folder = root / name
    number, tune, *_ = name.split("_")
    for k, part in enumerate(parts, start=1):
        sound = tone(seconds, 220 * 2**k, rate=48_000)
        write_wav(folder / f"AuSep_{k}_{part}_{number}_{tune}.wav", sound, rate=48_000, subtype="PCM_24")
    strips = [plain((40 * k, 40 * k, 40 * k), (32, 48)) for k in range(1, len(parts) + 1)]
    write_video(folder / f"Vid_{name}.mp4", [np.concatenate(strips, 1)] * round(seconds * 10))
    return folder


def class_folders(root: Path, classes: list[str], sounds: int = 4, pictures: int = 6, seconds: float = 1.1) -> Path:
    """Create `recordings/<class>` and `photos/<class>`; every picture has its own colour."""
    for c, label in enumerate(classes):
        for number in range(sounds):
            write_wav(root / "recordings" / label / f"take {number}.wav", tone(seconds, 300 * (c + 1) + 20 * number))
        for number in range(pictures):
            write_jpg(root / "photos" / label / f"{number}.png", plain((20 * number, 60 * c, 128)))
    return root
