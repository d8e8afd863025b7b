"""Sounds, pictures and videos of every kind are read correctly, or refused with the reason."""

import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_fixtures import RATE, plain, tone, turn_video, write_jpg, write_video, write_wav
from PIL import Image

from cmcgan_core.errors import MediaError
from cmcgan_core.inference.routes import FORMATS, Route
from cmcgan_core.media.files import (
    LOSSLESS,
    Strip,
    media_kind,
    read_picture,
    read_sound,
    read_video,
    sound_blocks,
    write_picture,
    write_sound,
)
from cmcgan_core.media.muxing import CONTAINERS, SOUND_CONTAINERS


def pitch(sound, rate=RATE):
    return np.abs(np.fft.rfft(sound * np.hanning(len(sound)))).argmax() * rate / len(sound)


@pytest.mark.parametrize(
    ("rate", "subtype", "channels"),
    [
        (44_100, "PCM_U8", 1),
        (44_100, "PCM_24", 2),
        (48_000, "FLOAT", 1),
        (192_000, "PCM_16", 2),
        (8_000, "PCM_16", 6),
    ],
)
def test_any_wav_becomes_mono_at_the_requested_rate(tmp_path, rate, subtype, channels):
    sound = np.repeat(tone(1, rate=rate)[:, None], channels, 1)
    read = read_sound(write_wav(tmp_path / "a.wav", sound, rate, subtype), RATE)
    assert read.shape == (RATE,)
    assert read.dtype == np.float32
    assert pitch(read) == pytest.approx(1000, abs=2)
    assert np.abs(read[2000:-2000]).max() == pytest.approx(0.5, abs=0.02)


def test_resampling_keeps_time_and_does_not_alias(tmp_path):
    sound = tone(1, 30_000, rate=96_000)
    high = read_sound(write_wav(tmp_path / "high.wav", sound, 96_000, "FLOAT"), RATE)
    assert np.abs(high[500:-500]).max() < 0.01
    click = np.zeros(96_000, np.float32)
    click[48_000] = 1
    assert np.abs(read_sound(write_wav(tmp_path / "click.wav", click, 96_000), RATE)).argmax() == RATE // 2


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3"])
def test_compressed_sound_files(tmp_path, suffix):
    soundfile.write(tmp_path / f"a{suffix}", tone(1), RATE)
    assert pitch(read_sound(tmp_path / f"a{suffix}", RATE)) == pytest.approx(1000, abs=2)


def test_padding_of_aac_is_removed(tmp_path):
    sound = tone(1)
    sound[: RATE // 2] = 0
    read = read_sound(write_video(tmp_path / "a.m4a", [], sound=sound), RATE)
    loud = np.flatnonzero(np.abs(read) > 0.2)[0] / RATE
    assert loud == pytest.approx(0.5, abs=0.005)


def test_sound_that_starts_late_in_a_video_keeps_its_time(tmp_path):
    video = write_video(tmp_path / "a.mp4", [plain((9, 9, 9))] * 10, sound=tone(0.6), sound_starts=0.4)
    read = read_sound(video, RATE)
    assert np.flatnonzero(np.abs(read) > 0.2)[0] / RATE == pytest.approx(0.4, abs=0.005)
    assert len(read) / RATE == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", ["stereo.wav", "high.flac", "a.mp3", "a.m4a", "late.mp4", "damaged.flac"])
@pytest.mark.parametrize("rate", [RATE, 16_000])
def test_blocks_of_a_sound_equal_the_whole_sound(tmp_path, monkeypatch, name, rate):
    path, noise = tmp_path / name, np.random.default_rng(0).normal(0, 0.1, (2 * RATE, 2)).astype(np.float32)
    if path.suffix in (".m4a", ".mp4"):
        write_video(path, [plain((9, 9, 9))] * 25 * (name == "late.mp4"), sound=noise[:, 0], sound_starts=0.4)
    else:
        soundfile.write(path, noise, 96_000 if name == "high.flac" else RATE)
    if name == "damaged.flac":
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] + bytes(2000) + data[len(data) // 2 + 2000 :])
    whole = read_sound(path, rate)
    monkeypatch.setattr("cmcgan_core.media.ffmpeg.FRAMES_PER_PIECE", 3)
    blocks = list(sound_blocks(path, rate, 0.3))
    assert {len(block) for block in blocks[:-1]} == {round(0.3 * rate)}
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)


def test_blocks_of_a_long_sound_need_little_memory(tmp_path):
    path = write_wav(tmp_path / "a.wav", np.zeros(0, np.float32), rate=8000)
    seconds = 1200
    data = bytearray(path.read_bytes())
    data[4:8], data[-4:] = struct.pack("<I", len(data) - 8 + 16_000 * seconds), struct.pack("<I", 16_000 * seconds)
    path.write_bytes(data)
    os.truncate(path, len(data) + 16_000 * seconds)  # a sparse file, which takes no time to write
    tracemalloc.start()
    samples = sum(len(block) for block in sound_blocks(path, 16_000, 10))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert samples == seconds * 16_000
    assert peak < 4 * samples / 5


def test_the_picture_at_a_time_is_the_last_frame_that_has_started(tmp_path):
    frames = [plain((level,) * 3) for level in (20, 90, 160, 230)]
    video = write_video(tmp_path / "a.mp4", frames, times=[0, 0.45, 0.5, 1.6], rate=10)
    shown = [(round(time, 3), int(pictures[0].mean())) for time, pictures in read_video(video, 0.5, 16)]
    assert [time for time, _ in shown] == [0, 0.5, 1.0, 1.5]
    assert [level for _, level in shown] == pytest.approx([20, 160, 160, 160], abs=4)


def test_strips_of_a_video_are_cut_before_they_are_resized(tmp_path):
    left, right = plain((40, 40, 40)), plain((200, 200, 200))
    video = write_video(tmp_path / "a.mp4", [np.concatenate([left, right], 1)])
    ((_, pictures),) = read_video(video, 0.5, 8, (Strip(0, 2), Strip(1, 2)))
    assert [picture.shape for picture in pictures] == [(8, 8, 3)] * 2
    assert [int(picture[:, 2:-2].mean()) for picture in pictures] == pytest.approx([40, 200], abs=4)


def test_a_rotated_video_is_read_upright(tmp_path):
    top, bottom = plain((220, 220, 220), (48, 16)), plain((30, 30, 30), (48, 16))
    video = write_video(tmp_path / "a.mp4", [np.concatenate([top, bottom])])
    turn_video(video)
    ((_, (picture,)),) = read_video(video, 0.5)
    assert picture.shape == (48, 32, 3)
    # After a clockwise rotation the top is at the right.
    assert picture[:, 20:].mean() > 200
    assert picture[:, :12].mean() < 50


RED = (250, 0, 0)
PICTURES = {
    "rgb.png": (Image.new("RGB", (9, 5), RED), RED),
    "grey.png": (Image.new("L", (9, 5), 77), (77, 77, 77)),
    "grey and alpha.png": (Image.new("LA", (9, 5), (0, 0)), (255, 255, 255)),
    "transparent.png": (Image.new("RGBA", (9, 5), (*RED, 0)), (255, 255, 255)),
    "palette.png": (Image.new("RGB", (9, 5), RED).quantize(4), RED),
    "bits.png": (Image.new("1", (9, 5), 1), (255, 255, 255)),
    "sixteen bits.png": (Image.fromarray(np.full((5, 9), 128 << 8, np.uint16)), (128, 128, 128)),
    "one pixel.png": (Image.new("RGB", (1, 1), RED), RED),
    "cmyk.jpg": (Image.new("CMYK", (9, 5), (0, 255, 255, 0)), (254, 0, 0)),
    "Geige ü 中.bmp": (Image.new("RGB", (9, 5), RED), RED),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_any_mode_become_rgb(tmp_path, name):
    image, colour = PICTURES[name]
    image.save(tmp_path / name)
    picture = read_picture(tmp_path / name, 8)
    assert picture.shape == (8, 8, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_allclose(picture.reshape(-1, 3), np.broadcast_to(colour, (64, 3)), atol=4)


def test_an_animation_gives_its_first_frame(tmp_path):
    first, second = Image.new("RGB", (9, 5), RED), Image.new("RGB", (9, 5), (0, 0, 250))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert tuple(read_picture(tmp_path / "a.gif")[0, 0]) == pytest.approx(RED, abs=8)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.fromarray(np.concatenate([plain((255, 255, 255), (32, 16)), plain((0, 0, 0), (32, 16))]))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate clockwise
    image.save(tmp_path / "a.jpg", exif=exif)
    picture = read_picture(tmp_path / "a.jpg", 16)
    assert picture[:, 10:].mean() > 250
    assert picture[:, :6].mean() < 5


def test_a_large_picture_is_resized_whole_and_antialiased(tmp_path):
    stripes = np.zeros((1000, 1000, 3), np.uint8)
    stripes[:, ::2] = 254
    write_jpg(tmp_path / "a.png", stripes)
    assert read_picture(tmp_path / "a.png", 100)[5:-5, 5:-5].std() < 10


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Return files that cannot be read, by what is wrong with them."""
    folder = tmp_path_factory.mktemp("broken")
    files = {
        name: folder / name
        for name in (
            "empty.wav",
            "empty.jpg",
            "text.wav",
            "text.jpg",
            "text.mp4",
            "truncated.mp4",
            "cut.jpg",
            "nan.wav",
            "dangling.wav",
            "loop.wav",
            "folder.wav",
            "no samples.wav",
            "one sample.wav",
            "silent film.mp4",
            "cut off.mp4",
        )
    }
    for name, path in files.items():
        path.write_bytes(b"" if name.startswith("empty") else b"This is a text file, not a medium.\n" * 9)
    whole = write_video(folder / "whole.mp4", [plain((9, 9, 9))] * 9, sound=tone(0.9)).read_bytes()
    files["truncated.mp4"].write_bytes(whole[: len(whole) // 2])
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    long = write_video(folder / "long.mp4", [noise, noise[::-1]] * 15, sound=tone(3), index_first=True).read_bytes()
    files["cut off.mp4"].write_bytes(long[: len(long) * 6 // 10])
    files["cut.jpg"].write_bytes(write_jpg(folder / "whole.jpg", noise).read_bytes()[:900])
    write_wav(files["nan.wav"], np.full(RATE, np.nan, np.float32), subtype="FLOAT")
    write_wav(files["no samples.wav"], np.zeros(0, np.float32))
    write_wav(files["one sample.wav"], np.ones(1, np.float32), rate=192_000)
    write_video(files["silent film.mp4"], [plain((9, 9, 9))] * 9)
    for name, target in (("dangling.wav", "nothing there"), ("loop.wav", "loop.wav")):
        files[name].unlink()
        files[name].symlink_to(folder / target)
    files["folder.wav"].unlink()
    files["folder.wav"].mkdir()
    return files


REASONS = {
    "empty.wav": "the file is empty",
    "empty.jpg": "the file is empty",
    "text.wav": "cannot be decoded",
    "text.jpg": "is not a picture",
    "text.mp4": "cannot be decoded",
    "truncated.mp4": "is cut off: it has",
    "cut.jpg": "is not a picture that can be decoded",
    "nan.wav": "not numbers",
    "dangling.wav": "is a link to a file",
    "loop.wav": "symbolic links",
    "folder.wav": "is a directory",
    "no samples.wav": "holds no sound",
    "one sample.wav": "holds no sound",
    "silent film.mp4": "has no sound",
    "cut off.mp4": "is cut off: it has",
}


@pytest.mark.parametrize("name", REASONS)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(broken, name, capfd):
    path = broken[name]
    with pytest.raises(MediaError) as caught:
        read_picture(path) if media_kind(path) == "picture" else read_sound(path, RATE)
    assert str(caught.value).startswith(f"{path}: ")
    assert REASONS[name] in str(caught.value)
    assert capfd.readouterr().err == ""


DECODERS = ["cmcgan_core.media.ffmpeg.decode_sound", "PIL.Image.open", "cmcgan_core.media.ffmpeg.decode_picture"]


@pytest.mark.parametrize(
    "error", [IndexError("list index"), MemoryError("too much"), OverflowError(), ValueError("odd")]
)
@pytest.mark.parametrize("decoder", DECODERS)
def test_any_exception_of_a_decoder_names_the_file(tmp_path, monkeypatch, decoder, error):
    def fails(*args, **kwargs):
        raise error

    sound, picture = write_wav(tmp_path / "a.wav", tone(0.1)), write_jpg(tmp_path / "a.jpg", plain(RED))
    video = write_video(tmp_path / "a.mp4", [plain(RED)])
    monkeypatch.setattr(decoder, fails)
    with pytest.raises(MediaError, match=r"a\.(wav|jpg|mp4): .* be decoded \("):
        read_sound(sound, RATE), read_picture(picture), list(read_video(video, 0.5))


def test_a_file_without_read_permission_is_named(tmp_path, monkeypatch):
    path = write_wav(tmp_path / "a.wav", tone(1))

    def refused(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(MediaError, match=r"a\.wav: permission denied"):
        read_sound(path, RATE)


@pytest.mark.parametrize("sound", [tone(0.3, level=0.9), tone(0.3, level=3)])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_written_sound_is_read_back_without_clipping(tmp_path, sound, suffix):
    write_sound(tmp_path / f"a{suffix}", sound, RATE)
    expected = sound / max(1, np.abs(sound).max())
    np.testing.assert_allclose(read_sound(tmp_path / f"a{suffix}", RATE), expected, atol=1e-4)


def test_a_written_picture_is_read_back(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    write_picture(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), picture)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_sound(tmp_path / "a.wav", tone(0.1), RATE)
    before = (tmp_path / "a.wav").read_bytes()
    with pytest.raises(MediaError, match="not numbers"):
        write_sound(tmp_path / "a.wav", np.full(9, np.inf, np.float32), RATE)
    with pytest.raises(MediaError, match=r"written as \.wav, \.flac, \.mp3"):
        write_sound(tmp_path / "a.wma", tone(0.1), RATE)
    with pytest.raises(MediaError, match=r"\.png"):
        write_picture(tmp_path / "a.txt", plain(RED))
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == before


@pytest.mark.parametrize("suffix", [f".{name}" for name in FORMATS[Route.SOUNDS]])
@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_sounds_are_written_in_every_format_and_equally_each_time(tmp_path: Path, suffix: str, rate: int) -> None:
    sound = 0.3 * tone(1.0, rate=rate)
    for name in ("a", "b"):
        write_sound(tmp_path / f"{name}{suffix}", sound, rate)
    read = read_sound(tmp_path / f"a{suffix}", rate)
    assert pitch(read[: len(sound)], rate) == pytest.approx(pitch(sound, rate), abs=2)
    assert len(sound) <= len(read) <= len(sound) + 1024  # AAC has whole frames
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_the_formats_on_the_command_line_are_those_that_can_be_written() -> None:
    def formats(route: Route) -> set[str]:
        return {f".{name}" for name in FORMATS[route]}

    assert formats(Route.SOUNDS) == {*LOSSLESS, *SOUND_CONTAINERS}
    assert formats(Route.SOUNDTRACK) == CONTAINERS.keys()
