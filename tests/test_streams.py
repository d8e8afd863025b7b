"""Streams are read to their true end, whatever the header says; a file that cannot be read to its end is named."""

import io
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from media_fixtures import FPS, RATE, hertz, plain, sound_seconds, tone, write_streams, write_video, write_wav

from cmcgan_core.data.prepare import prepare
from cmcgan_core.data.prepare.recording import SourceOptions
from cmcgan_core.errors import MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.chunks import read_half_seconds
from cmcgan_core.inference.generate.plan import OutputOptions, choose_route
from cmcgan_core.inference.routes import Route
from cmcgan_core.media.damage import examine_frames
from cmcgan_core.media.ffmpeg import decode_frames
from cmcgan_core.media.files import (
    lasts_longer,
    read_sound,
    read_video,
    track_kinds,
)
from cmcgan_core.media.film import add_soundtrack, probe, replace_frames, write_film


def join(path, *parts):
    """Write files one after the other, as `cat` does."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def cut(path, keep):
    """Keep the first part of a file, as a share of its size or without some bytes at its end."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if keep > 0 else keep])
    return path


def pictures(path, hop=0.5):
    return [time for time, _ in read_video(path, hop, 16)]


def noise(length):
    return np.random.default_rng(0).normal(0, 0.1, round(length * RATE)).astype(np.float32)


# A duration in a header is a hint.


def test_a_quiet_start_does_not_make_a_recording_cut_off(tmp_path):
    quiet = np.concatenate([np.zeros(round(9 * RATE), np.float32), noise(2)])
    path = write_streams(tmp_path / "a.aac", quiet)
    with av.open(str(path)) as container:
        assert container.duration > 20e6
    assert sound_seconds(path) == pytest.approx(11, abs=0.1)
    assert choose_route(path, OutputOptions()) is Route.FILM


def test_a_flac_file_without_a_length_is_as_long_as_its_sound(tmp_path):
    for length, route in ((2, Route.PICTURES), (11, Route.FILM)):
        path = tmp_path / f"{length}.flac"
        soundfile.write(path, tone(length), RATE)
        data = bytearray(path.read_bytes())
        data[21] &= 0xF0
        data[22:26] = bytes(4)
        path.write_bytes(data)
        assert sound_seconds(path) == length
        assert choose_route(path, OutputOptions()) is route


def test_sound_may_be_shorter_than_the_pictures(tmp_path):
    path = write_streams(tmp_path / "a.wmv", tone(1), 30, codecs=("wmv2", "wmav2"))
    assert sound_seconds(path) == pytest.approx(1, abs=0.08)  # the codec fills its last blocks
    settings = FeatureSettings(picture_size=16)
    assert [half.start for half in read_half_seconds(path, settings, 0.5)] == [0, 0.5]


class Pipe(io.RawIOBase):
    """A file that cannot be read or sought, so that a writer cannot complete the header."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.data += bytes(data)
        return len(data)


def test_a_recording_of_a_browser_without_a_duration_is_measured(tmp_path):
    for length, route in ((2, Route.PICTURES), (11, Route.FILM)):
        path, pipe = tmp_path / f"{length}.webm", Pipe()
        write_streams(path, tone(length, rate=48_000), rate=48_000, codecs=("", "libopus"), to=pipe, form="webm")
        path.write_bytes(pipe.data)
        assert sound_seconds(path) == pytest.approx(length, abs=0.03)
        assert choose_route(path, OutputOptions()) is route


def test_an_empty_sound_track_is_no_sound(tmp_path):
    path = write_streams(tmp_path / "a.mkv", None, 10)
    assert track_kinds(path) == {"picture"}
    assert choose_route(path, OutputOptions()) is Route.SOUNDTRACK


@pytest.mark.parametrize("frames", [20, 5000])
def test_a_wrong_number_of_frames_in_an_mp3_header_is_ignored(tmp_path, frames):
    soundfile.write(tmp_path / "a.mp3", tone(2), RATE)
    data = bytearray((tmp_path / "a.mp3").read_bytes())
    place = data.index(b"Xing") + 8
    data[place : place + 4] = struct.pack(">I", frames)
    (tmp_path / "a.mp3").write_bytes(data)
    assert sound_seconds(tmp_path / "a.mp3") == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("length", [0.5, 9.99, 10, 10.01])
def test_no_more_is_decoded_than_the_question_needs(tmp_path, length):
    assert lasts_longer(write_wav(tmp_path / "a.wav", tone(length)), 10) == (length > 10)


# Read to the end, or say where the reading stopped.


SOUNDS = {
    "a.mp3": ({}, {}),
    "a.ogg": ({"format": "OGG", "subtype": "VORBIS"},) * 2,
    "a.opus": ({"format": "OGG", "subtype": "OPUS"},) * 2,
    "a.flac": ({}, {}),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_joined_sounds_are_read_to_the_end(tmp_path, name):
    rate = 48_000 if name == "a.opus" else RATE
    for number, options in enumerate(SOUNDS[name], 1):
        soundfile.write(tmp_path / f"{number}{name}", tone(2, 440 * number, rate), rate, **options)
    path = join(tmp_path / name, tmp_path / f"1{name}", tmp_path / f"2{name}")
    sound = read_sound(path, RATE)
    assert len(sound) / RATE == pytest.approx(4, abs=0.15)
    assert [hertz(sound[RATE // 2 : RATE]), hertz(sound[-RATE : -RATE // 2])] == pytest.approx([440, 880], abs=4)


@pytest.mark.parametrize("suffix", [".aac", ".mp3"])
def test_channels_and_sample_rate_may_change(tmp_path, suffix):
    codecs = ("", "aac" if suffix == ".aac" else "libmp3lame")
    first = write_streams(tmp_path / f"1{suffix}", tone(2), codecs=codecs)
    second = write_streams(tmp_path / f"2{suffix}", tone(2, 880, 22_050), rate=22_050, channels=2, codecs=codecs)
    sound = read_sound(join(tmp_path / f"a{suffix}", first, second), RATE)
    assert len(sound) / RATE == pytest.approx(4, abs=0.2)
    assert [hertz(sound[RATE // 2 : RATE]), hertz(sound[-RATE : -RATE // 2])] == pytest.approx([1000, 880], abs=4)


def test_a_film_of_a_sound_whose_channels_change_has_all_of_its_sound(tmp_path):
    first = write_streams(tmp_path / "1.aac", tone(1))
    second = write_streams(tmp_path / "2.aac", tone(1, 880, 22_050), rate=22_050, channels=2)
    path = join(tmp_path / "a.aac", first, second)
    for suffix in (".mp4", ".webm"):
        write_film(tmp_path / f"a{suffix}", [plain((9, 9, 9))] * 20, FPS, sound=path)
        sound = read_sound(tmp_path / f"a{suffix}", RATE)
        assert len(sound) / RATE == pytest.approx(2, abs=0.2)
        assert hertz(sound[-RATE // 2 : -RATE // 4]) == pytest.approx(880, abs=8)


FILMS = {
    "a.ts": ("mpeg4", "mp2"),
    "b.ts": ("libx264", "aac"),
    "a.mpg": ("mpeg2video", "mp2"),
    "a.mkv": ("libx264", "aac"),
    "a.avi": ("mpeg4", "libmp3lame"),
}


@pytest.mark.parametrize("name", FILMS)
def test_joined_films_are_read_to_the_end(tmp_path, name):
    rate = 25 if name == "a.mpg" else FPS
    parts = []
    for number in (1, 2):
        parts.append(tmp_path / f"{number}{name}")
        if name == "a.mpg":
            write_mpg(parts[-1], tone(2, 440 * number), 2 * rate)
        else:
            write_streams(parts[-1], tone(2, 440 * number), 2 * rate, codecs=FILMS[name])
    path = join(tmp_path / name, *parts)
    sound = read_sound(path, RATE)
    assert len(sound) / RATE == pytest.approx(4, abs=0.15)
    assert [hertz(sound[RATE // 2 : RATE]), hertz(sound[-RATE : -RATE // 2])] == pytest.approx([440, 880], abs=4)
    assert pictures(path)[:8] == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    frames = list(examine_frames(path))
    assert (len(frames), {frame.fault for frame in frames}) == (4 * rate, {None})
    assert frames[-1].end == pytest.approx(4, abs=0.2)
    assert max(t.start + t.seconds for t in probe(path)) == pytest.approx(4, abs=0.2)


def write_mpg(path, sound, frames):
    """Write an MPEG program stream, whose pictures have one of a few frame rates."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg2video", rate=25, width=64, height=48, pix_fmt="yuv420p")
        audio = container.add_stream("mp2", rate=RATE, layout="mono")
        packets = []
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(plain((90 + number, 90, 90), (64, 48)), format="rgb24")
            packets += video.encode(picture)
        block = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = RATE, 0, Fraction(1, RATE)
        packets += [*video.encode(None), *audio.encode(block), *audio.encode(None)]
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))


def test_a_joined_film_can_be_repaired_and_gets_a_soundtrack(tmp_path):
    part = write_streams(tmp_path / "1.ts", tone(2), 20, codecs=("libx264", "aac"))
    path = join(tmp_path / "a.ts", part, part)
    replace_frames(path, tmp_path / "b.mkv", lambda time, picture: None)
    assert len(list(examine_frames(tmp_path / "b.mkv"))) == 40
    assert sound_seconds(tmp_path / "b.mkv") == pytest.approx(4, abs=0.15)
    add_soundtrack(path, tmp_path / "c.mkv", iter([tone(4)]), RATE)
    assert pictures(tmp_path / "c.mkv")[-1] >= 3.5


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".au", ".w64", ".caf", ".m4a", ".wmv", ".flv", ".flac"])
def test_joined_files_of_which_only_the_first_can_be_read_are_named(tmp_path, suffix):
    first, second = tmp_path / f"1{suffix}", tmp_path / f"2{suffix}"
    if suffix in (".m4a", ".wmv", ".flv"):
        codecs = {".m4a": ("", "aac"), ".wmv": ("wmv2", "wmav2"), ".flv": ("flv1", "aac")}[suffix]
        write_streams(first, tone(1), 0 if suffix == ".m4a" else 10, codecs=codecs)
        second = first
    else:
        soundfile.write(first, tone(1), RATE)
        other_rate = 22_050 if suffix == ".flac" else RATE
        soundfile.write(second, tone(1, rate=other_rate), other_rate)
    with pytest.raises(MediaError, match=r"several recordings|another recording"):
        read_sound(join(tmp_path / f"a{suffix}", first, second), RATE)


@pytest.mark.parametrize(("first", "second"), [("mp2", "aac"), ("mp2", "sound"), ("sound", "mp2")])
def test_a_join_of_other_tracks_or_codecs_is_named(tmp_path, first, second):
    for name, codecs in {"mp2": ("libx264", "mp2"), "aac": ("libx264", "aac"), "sound": ("", "mp2")}.items():
        write_streams(tmp_path / f"{name}.ts", tone(1), 0 if name == "sound" else 10, codecs=codecs)
    path = join(tmp_path / "a.ts", tmp_path / f"{first}.ts", tmp_path / f"{second}.ts")
    with pytest.raises(MediaError, match=r"a\.ts: cannot be decoded \((another recording|invalid data)"):
        read_sound(path, RATE)


#: Of each format: the position of the size of the file, what the size of the data follows, the type of both, and the
#: sizes that recorders write before they know them.
UNFILLED = {
    ".wav": (4, b"data", "<I", (0, 0x7FFFF000, 0xFFFFFFFF)),
    ".aiff": (4, b"SSND", ">I", (0, 8, 0xFFFFFFFF)),
    ".caf": (None, b"data", ">Q", (0, 4, 2**64 - 1)),
    ".w64": (16, bytes.fromhex("64617461f3acd3118cd100c04f8edb8a"), "<Q", (0, 24, 2**63 - 1, 2**64 - 1)),
    ".au": (None, b".snd\0\0\0\x18", "<I", (0, 0x7FFFFFFF, 0xFFFFFFFF)),
}


@pytest.mark.parametrize(("suffix", "size"), [(suffix, size) for suffix in UNFILLED for size in UNFILLED[suffix][3]])
@pytest.mark.filterwarnings("error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning")
def test_a_recording_whose_sizes_were_never_filled_in_is_read_to_the_end(tmp_path, suffix, size):
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, tone(2), RATE)
    data = bytearray(path.read_bytes())
    outer, name, form, _ = UNFILLED[suffix]
    for place in {data.index(name) + len(name), outer} - {None}:
        struct.pack_into(form, data, place, size)
    path.write_bytes(data)
    assert hertz(read_sound(path, RATE)) == pytest.approx(1000, abs=1)
    assert sound_seconds(path) == 2
    assert probe(path)[0].seconds == pytest.approx(2, abs=0.01)


#: Writes a sound as a recorder that loses power.
KILLED = """
import os, sys, numpy, soundfile
file = soundfile.SoundFile(sys.argv[1], "w", 44100, 1)
for block in range(20):
    file.write(numpy.sin(numpy.arange(44100) / 9) / 2)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("suffix", [".wav", ".rf64", ".aiff", ".au", ".w64", ".caf", ".flac", ".ogg", ".mp3"])
def test_what_a_killed_recorder_wrote_is_read(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert subprocess.run([sys.executable, "-c", KILLED, path], check=False).returncode == -9
    assert 19 < sound_seconds(path) <= 20


def test_a_film_that_was_never_finished_is_named(tmp_path):
    """Its index is written last."""
    path = write_streams(tmp_path / "a.mp4", noise(1), 10)
    data = path.read_bytes()
    start = data.index(b"mdat") - 4
    path.write_bytes(data[:start] + bytes(4) + data[start + 4 : data.index(b"moov") - 4])
    for read in (track_kinds, pictures, lambda path: read_sound(path, RATE)):
        with pytest.raises(MediaError, match=r"a\.mp4: was never finished"):
            read(path)


@pytest.mark.parametrize("suffix", [".wav", ".rf64", ".aiff", ".au", ".w64", ".caf", ".mp3", ".flac"])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_sound_that_is_shorter_than_its_header_says_is_named(tmp_path, suffix, keep):
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, noise(2), RATE)
    assert sound_seconds(path) == 2
    with pytest.raises(MediaError, match=rf"a\{suffix}: is cut off"):
        read_sound(cut(path, keep), RATE)


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("a.mp4", ("mpeg4", "aac")),
        ("a.mkv", ("mpeg4", "aac")),
        ("a.avi", ("mpeg4", "libmp3lame")),
        ("a.wmv", ("wmv2", "wmav2")),
        ("a.flv", ("flv1", "aac")),
    ],
)
def test_a_film_that_is_shorter_than_its_header_says_is_named(tmp_path, name, codecs):
    path = cut(write_streams(tmp_path / name, tone(2), 20, codecs=codecs), 0.6)
    for read in (lambda: read_sound(path, RATE), lambda: pictures(path), lambda: track_kinds(path)):
        with pytest.raises(MediaError, match=r"a\.\w+: is cut off"):
            read()


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("a.aac", ("", "aac")),
        ("a.ts", ("mpeg4", "aac")),
        ("b.ts", ("mpeg4", "mp2")),
    ],
)
def test_a_recording_that_ends_within_a_packet_is_read_up_to_there(tmp_path, name, codecs):
    path = cut(
        write_streams(tmp_path / name, noise(2), 20 if codecs[0] else 0, codecs=codecs), -700 if codecs[0] else -50
    )
    assert sound_seconds(path) == pytest.approx(2, abs=0.15)
    if codecs[0]:
        assert pictures(path)[-1] >= 1.5


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_that_ends_within_a_page_is_read_up_to_the_page_before(tmp_path, subtype):
    """Recordings of streams have no mark of their end either, so nothing tells whether a file is cut off."""
    path = tmp_path / "a.ogg"
    soundfile.write(path, tone(4, rate=48_000), 48_000, format="OGG", subtype=subtype)
    whole = sound_seconds(path)
    assert whole / 2 < sound_seconds(cut(path, -50)) < whole


def test_damage_within_a_sound_is_named(tmp_path):
    path = write_streams(tmp_path / "a.m4a", noise(2), codecs=("", "aac"))
    data = bytearray(path.read_bytes())
    place = data.index(b"mdat") + 4000
    data[place : place + 2000] = b"\xff" * 2000
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"a\.m4a: cannot be decoded"):
        read_sound(path, RATE)


# The first and the last picture.


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("a.mkv", ("libx264", "pcm_s16le")),
        ("a.ts", ("libx264", "aac")),
        ("a.flv", ("flv1", "aac")),
        ("a.mp4", ("mpeg4", "aac")),
    ],
)
@pytest.mark.parametrize("late", [0.021, 0.4])
def test_a_first_picture_that_is_a_little_late_is_shown_from_the_start(tmp_path, name, codecs, late):
    path = write_streams(tmp_path / "violin" / name, tone(2), 20, codecs=codecs, late=late)
    assert pictures(path)[:2] == [0, 0.5]
    report = prepare(tmp_path, tmp_path / "out", None, SourceOptions(), silence=None, workers=1, split=(1, 0, 0))
    assert report.pairs == 4


def test_a_picture_that_is_very_late_does_not_appear_at_the_start(tmp_path):
    assert pictures(write_streams(tmp_path / "a.mkv", tone(2), 10, late=0.8))[0] == 1


def test_a_held_last_picture_is_shown_to_the_end(tmp_path):
    path = write_streams(tmp_path / "a.mp4", tone(5.4), 5, codecs=("libx264", "aac"), last=5.0)
    assert pictures(path)[-1] == 5
    assert list(examine_frames(path))[-1].end == pytest.approx(5.4, abs=0.03)
    replace_frames(path, tmp_path / "b.mp4", lambda time, picture: None)
    assert pictures(tmp_path / "b.mp4")[-1] == 5
    starts = [half.start for half in read_half_seconds(path, FeatureSettings(picture_size=16), 0.5)]
    assert starts == [number / 2 for number in range(10)]


def test_a_film_with_a_timestamp_of_years_is_named(tmp_path):
    path = write_video(tmp_path / "a.mkv", [plain((9 * number, 9, 9)) for number in range(4)], times=[0, 0.1, 0.2, 1e6])
    for read in (pictures, lambda path: list(examine_frames(path))):
        with pytest.raises(MediaError, match=r"a\.mkv: cannot be decoded \(it (would last more than 168 hours|has no)"):
            read(path)


def test_a_picture_may_be_held_for_long_but_such_a_gap_is_not_repaired(tmp_path):
    path = write_video(tmp_path / "a.mkv", [plain((9 * number, 9, 9)) for number in range(4)], times=[0, 0.1, 0.2, 700])
    assert pictures(path, 100) == [0, 100, 200, 300, 400, 500, 600, 700]
    with pytest.raises(MediaError, match="it has no pictures for 700 s"):
        list(examine_frames(path))


def test_a_sound_whose_gaps_add_up_to_weeks_is_named(tmp_path, monkeypatch):
    path = write_streams(tmp_path / "a.mka", tone(1))
    monkeypatch.setattr("cmcgan_core.media.ffmpeg.LONGEST_STREAM", 0.5)
    with pytest.raises(MediaError, match=r"a\.mka: cannot be decoded \(it would last more than"):
        read_sound(path, RATE)


def test_frames_of_an_avi_film_with_b_frames_are_all_kept(tmp_path):
    path = write_streams(tmp_path / "a.avi", tone(4), 40, codecs=("libx264", "libmp3lame"), b_frames=3)
    frames = list(examine_frames(path))
    np.testing.assert_allclose([frame.start for frame in frames], np.arange(40) / FPS, atol=1e-6)
    assert {frame.fault for frame in frames} == {None}
    replace_frames(path, tmp_path / "b.mp4", lambda time, picture: None)
    assert len(list(examine_frames(tmp_path / "b.mp4"))) == 40


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_the_last_pictures_are_read_whichever_track_comes_first(tmp_path, suffix):
    """A decoder that reorders pictures returns the last ones only when it is told that the file ends."""
    codec, sound_codec = ("libvpx-vp9", "libopus") if suffix == ".webm" else ("libx264", "aac")
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        audio = container.add_stream(sound_codec, rate=48_000, layout="mono")
        video = container.add_stream(codec, rate=25, width=64, height=48, pix_fmt="yuv420p")
        video.codec_context.max_b_frames = 3 * (suffix != ".webm")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.float32), format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = 48_000, 0, Fraction(1, 48_000)
        container.mux([*audio.encode(block), *audio.encode(None)])
        for number in range(25):
            picture = plain((10 * number, 90, 90), (64, 48))
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
    assert len(list(examine_frames(path))) == 25
    assert len(list(decode_frames(path))) == 25
    replace_frames(path, tmp_path / f"b{suffix}", lambda time, picture: None)
    assert len(list(examine_frames(tmp_path / f"b{suffix}"))) == 25


def test_a_cover_is_not_a_film(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        audio, cover = container.add_stream("aac", rate=RATE), container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 48, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(plain((200, 9, 9)), format="rgb24")
        container.mux([*cover.encode(picture), *cover.encode(None)])
        block = av.AudioFrame.from_ndarray(np.tile(tone(1), (2, 1)), format="fltp", layout="stereo")
        block.sample_rate, block.pts, block.time_base = RATE, 0, Fraction(1, RATE)
        container.mux([*audio.encode(block), *audio.encode(None)])
    assert track_kinds(path) == {"sound"}
    assert choose_route(path, OutputOptions()) is Route.PICTURES


def test_an_unknown_codec_is_named(tmp_path):
    path = write_streams(tmp_path / "a.mp4", tone(1), 10, codecs=("libx264", "aac"))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    for read in (track_kinds, pictures, lambda path: list(examine_frames(Path(path)))):
        with pytest.raises(MediaError, match=r"a\.mp4: cannot be decoded \(FFmpeg does not know the codec"):
            read(path)
