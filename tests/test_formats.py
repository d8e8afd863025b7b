"""Unusual formats, codecs and metadata are read as well as the usual ones."""

import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from media_fixtures import FPS, RATE, hertz, plain, sound_seconds, tone, write_streams, write_video, write_wav
from PIL import Image

from cmcgan_core.errors import MediaError
from cmcgan_core.inference.generate.plan import OutputOptions, choose_route, plan
from cmcgan_core.inference.inputs import Input
from cmcgan_core.inference.routes import Route
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.media import ffmpeg
from cmcgan_core.media.files import (
    media_kind,
    read_picture,
    read_sound,
    read_video,
    track_kinds,
    write_picture,
)
from cmcgan_core.media.film import add_soundtrack, replace_frames, write_film


@pytest.mark.parametrize("channels", [8, 9, 16])
def test_a_film_of_a_sound_with_many_channels_has_stereo_sound(tmp_path, channels):
    path = write_wav(tmp_path / "a.wav", np.tile(tone(1)[:, None], channels))
    assert sound_seconds(path) == 1
    write_film(tmp_path / "a.mp4", [plain((9, 9, 9))] * 10, FPS, sound=path)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.audio[0].channels == 2
    assert hertz(read_sound(tmp_path / "a.mp4", RATE)[: RATE // 2]) == pytest.approx(1000, abs=4)


@pytest.mark.parametrize("rate", [8000, 11_025, 12_000])
def test_a_film_of_an_mp3_file_of_a_voice_recorder_is_written(tmp_path, rate):
    soundfile.write(tmp_path / "a.mp3", tone(1, rate=rate), rate)
    write_film(tmp_path / "a.mp4", [plain((9, 9, 9))] * 10, FPS, sound=tmp_path / "a.mp3")
    assert hertz(read_sound(tmp_path / "a.mp4", RATE)[: RATE // 2]) == pytest.approx(1000, abs=4)


@pytest.mark.parametrize(("suffix", "codec"), [(".flv", "flv1"), (".wmv", "wmv2"), (".ts", "libx264")])
def test_a_silent_film_gets_a_soundtrack_in_its_own_format(tmp_path, suffix, codec):
    path = write_streams(tmp_path / f"a{suffix}", None, 10, codecs=(codec, "mp2" if suffix == ".ts" else "libmp3lame"))
    (task,) = plan([Input(path, Path(path.name))], tmp_path / "out", OutputOptions(), SamplingOptions())
    assert (task.route, task.paths) == (Route.SOUNDTRACK, (tmp_path / "out" / f"a.soundtrack{suffix}",))
    (tmp_path / "out").mkdir()
    add_soundtrack(path, task.paths[0], iter([tone(1)]), RATE)
    assert track_kinds(task.paths[0]) == {"sound", "picture"}


def test_zeros_coded_as_ac3_are_silence(tmp_path):
    path = write_streams(tmp_path / "a.mkv", np.zeros(48_000, np.float32), 10, rate=48_000, codecs=("mpeg4", "ac3"))
    assert np.any(read_sound(path, RATE))
    assert choose_route(path, OutputOptions()) is Route.SOUNDTRACK


#: The position of each coded corner (0 top left, 1 top right, 2 bottom left, 3 bottom right) in the picture.
TURNS = {
    "mirrored": ((-1, 0, 0, 1), [[1, 0], [3, 2]]),
    "upside down and mirrored": ((1, 0, 0, -1), [[2, 3], [0, 1]]),
    "half a turn": ((-1, 0, 0, -1), [[3, 2], [1, 0]]),
    "clockwise": ((0, 1, -1, 0), [[2, 0], [3, 1]]),
    "anticlockwise": ((0, -1, 1, 0), [[1, 3], [0, 2]]),
    "transposed": ((0, 1, 1, 0), [[0, 2], [1, 3]]),
}


@pytest.mark.parametrize("name", TURNS)
def test_a_film_is_turned_and_mirrored_as_its_header_says(tmp_path, name):
    (a, b, c, d), corners = TURNS[name]
    coded = (np.arange(4, dtype=np.uint8) * 60 + 30).reshape(2, 2).repeat(16, 0).repeat(16, 1)
    path = write_video(tmp_path / "a.mp4", [np.stack([coded] * 3, 2)])
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    data[place : place + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    ((_, (picture,)),) = read_video(path, 0.5)
    shown = picture[8::16, 8::16, 0].astype(int)
    np.testing.assert_allclose(shown, np.array(corners) * 60 + 30, atol=8)
    replace_frames(path, tmp_path / "b.mkv", lambda time, picture: None)
    ((_, (copied,)),) = read_video(tmp_path / "b.mkv", 0.5)
    np.testing.assert_allclose(copied[8::16, 8::16, 0].astype(int), shown, atol=8)


def exif_jpg(path, entries, extra=b""):
    """Write a red JPEG of 60 x 40 pixels with these EXIF entries."""
    Image.new("RGB", (60, 40), "red").save(path)
    data = path.read_bytes()
    body = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    body += b"".join(struct.pack("<HHI4s", *entry) for entry in entries) + bytes(4) + extra
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:])
    return path


def test_odd_exif_data_do_not_hide_a_picture(tmp_path):
    turn = (0x0112, 3, 1, struct.pack("<HH", 6, 0))
    ratio = exif_jpg(tmp_path / "a.jpg", [turn, (0x011A, 10, 1, struct.pack("<I", 38))], struct.pack("<ii", -1, 0))
    kind = exif_jpg(tmp_path / "b.jpg", [(0x0100, 2, 4, b"abc\0"), turn])
    for path in (ratio, kind):
        assert read_picture(path).shape == (60, 40, 3)
    bad = tmp_path / "c.png"
    Image.new("RGB", (60, 40), "red").save(bad)
    data, chunk = bad.read_bytes(), b"eXIf\0\x08\0\x02"
    bad.write_bytes(data[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:])
    assert read_picture(bad).shape == (40, 60, 3)


def test_float_pictures_keep_their_levels(tmp_path):
    for highest in (1, 255):
        levels = np.linspace(0, highest, 60, dtype=np.float32)[None].repeat(4, 0)
        Image.fromarray(levels).save(tmp_path / "a.tif")
        expected = np.linspace(0, 255, 60)
        np.testing.assert_allclose(read_picture(tmp_path / "a.tif")[0, :, 0], expected, atol=1)


@pytest.mark.parametrize(("suffix", "form"), [(".mts", "mpegts"), (".m2ts", "mpegts"), (".3gp", "3gp"), (".mka", None)])
def test_less_usual_suffixes_are_media(tmp_path, suffix, form):
    path = write_streams(tmp_path / f"a{suffix}", tone(1), 0 if suffix == ".mka" else 10, form=form)
    assert media_kind(path) == ("sound" if suffix == ".mka" else "video")
    assert sound_seconds(path) == pytest.approx(1, abs=0.06)


def test_less_usual_pictures_are_media(tmp_path):
    for name in ("a.jfif", "a.avif"):
        write_picture(tmp_path / name, plain((200, 90, 30)))
        np.testing.assert_allclose(read_picture(tmp_path / name).mean((0, 1)), (200, 90, 30), atol=4)


def test_a_picture_starts_no_other_program(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    path = (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(MediaError, match=r"a\.png: is not a picture that can be decoded \(cannot identify"):
        read_picture(path)


def test_a_picture_of_more_than_50_million_pixels_is_named(tmp_path):
    Image.new("1", (5_000, 10_001)).save(tmp_path / "a.png")
    for size in (None, 16):
        with pytest.raises(
            MediaError, match=r"a\.png: .*5000 x 10001 pixels are more than 50 million; make it smaller"
        ):
            read_picture(tmp_path / "a.png", size)


def test_a_jpeg_is_decoded_at_a_size_that_fits(tmp_path):
    Image.new("L", (5_000, 10_001), 90).save(tmp_path / "a.jpg")
    assert (read_picture(tmp_path / "a.jpg", 16) == 90).all()
    with pytest.raises(MediaError, match="more than 50 million"):
        read_picture(tmp_path / "a.jpg")


def test_a_film_of_too_many_pixels_is_named(tmp_path, monkeypatch):
    path = write_streams(tmp_path / "a.mp4", tone(1), 10)
    monkeypatch.setattr(ffmpeg, "MAX_PIXELS", 64 * 48 - 1)
    for read in (
        lambda: list(read_video(path, 0.5)),
        lambda: replace_frames(path, tmp_path / "b.mp4", lambda *_: None),
    ):
        with pytest.raises(MediaError, match=r"a\.mp4: cannot be decoded \(64 x 48 pixels"):
            read()
    assert sound_seconds(path) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("rate", [1, 999, 1_000_001, 2**31 - 1])
def test_an_impossible_sample_rate_is_named(tmp_path, rate):
    """At 1 Hz, a file of 200 kB would last for 28 hours."""
    path = write_wav(tmp_path / "a.wav", tone(1, rate=1000), 1000)
    assert sound_seconds(path) == 1
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 24, rate)
    path.write_bytes(data)
    with pytest.raises(MediaError, match=f"sample rate, {rate} Hz, is not from 1000 to 1000000 Hz"):
        read_sound(path, RATE)
