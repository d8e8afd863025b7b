"""Measure memory and time to read the largest pictures and films, and the oddest sounds, that are accepted.

Each file is small, made on the spot, and read by a separate process. A picture is read as `prepare` reads it (reduced
to 128 pixels), a film and a sound to the end in blocks, as `generate` does.

usage: python benchmarks/worst_media.py
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image

from cmcgan_core.media.ffmpeg import MAX_PIXELS, RATES

#: Reads a file, and prints the seconds of computation and the MB that this took.
READ = """
import json, sys, time
from pathlib import Path
from cmcgan_core.media.files import media_kind, read_picture, read_video, sound_blocks
path = Path(sys.argv[1])
reads = {
    "picture": lambda: read_picture(path, 128),
    "video": lambda: list(read_video(path, 0.5, 128)),
    "sound": lambda: [len(block) for block in sound_blocks(path, 44_100, 60)],
}
reads[media_kind(path)]()
# The peak of this process; ru_maxrss would include that of its parent.
peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
print(json.dumps([time.process_time(), int(peak) / 1024]))
"""
#: (width, height) of the largest picture and film, and of the largest JPEG that Pillow opens.
LARGEST, LARGEST_JPEG = (8_000, MAX_PIXELS // 8_000), (10_000, 17_800)


def write_picture(mode: str, size: tuple[int, int], path: Path, **options: object) -> None:
    """Write a picture of one colour."""
    Image.new(mode, size).save(path, **options)


def write_film(codec: str, path: Path) -> None:
    """Write a film of four pictures of the largest size."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=2, width=LARGEST[0], height=LARGEST[1], pix_fmt="yuv420p")
        stream.codec_context.gop_size = 4
        for _ in range(4):
            frame = av.VideoFrame(*LARGEST, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_sound(channels: int, rate: int, seconds: float, path: Path) -> None:
    """Write silence."""
    soundfile.write(path, np.zeros((round(rate * seconds), channels), np.int16), rate)


#: How each file is made.
FILES: dict[str, Callable[[Path], None]] = {
    "grey.png": partial(write_picture, "L", LARGEST),
    "colour.png": partial(write_picture, "RGB", LARGEST),
    "transparent.png": partial(write_picture, "RGBA", LARGEST),
    "16 bits.png": partial(write_picture, "I;16", LARGEST),
    "float.tif": partial(write_picture, "F", LARGEST),
    "colour.webp": partial(write_picture, "RGB", LARGEST, method=0),
    "colour.gif": partial(write_picture, "P", LARGEST),
    "colour.jpg": partial(write_picture, "RGB", LARGEST_JPEG),
    "progressive.jpg": partial(write_picture, "RGB", LARGEST_JPEG, progressive=True),
    "mpeg4.mp4": partial(write_film, "mpeg4"),
    "vp9.webm": partial(write_film, "libvpx-vp9"),
    "512 channels.wav": partial(write_sound, 512, 44_100, 10),
    f"{RATES[0]} Hz.flac": partial(write_sound, 1, RATES[0], 36_000),
}


def main() -> None:
    """Print a line for each file."""
    print(f"{'':>18}{'MB of file':>12}{'CPU-s':>8}{'MiB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name, write in FILES.items():
            path = Path(folder) / name
            write(path)
            result = subprocess.run(
                [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False
            )
            size = f"{name:>18}{path.stat().st_size / 1e6:12.2f}"
            if result.returncode:
                print(f"{size}  {result.stderr.splitlines()[-1]}")
            else:
                seconds, memory = json.loads(result.stdout)
                print(f"{size}{seconds:8.1f}{memory:8.0f}", flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
