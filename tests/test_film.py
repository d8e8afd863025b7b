"""Films are written completely or not at all, and their sound and pictures stay synchronous."""

from fractions import Fraction
from functools import partial
from itertools import count, islice
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from media_fixtures import RATE, plain, turn_video, write_video, write_wav
from PIL import Image, ImageSequence

from cmcgan_core.errors import MediaError
from cmcgan_core.media.damage import find_damage
from cmcgan_core.media.ffmpeg import decode_sound
from cmcgan_core.media.files import read_picture, read_sound, read_video
from cmcgan_core.media.film import add_soundtrack, probe, replace_frames, storable_fps, write_film, write_sequence

REAL = Path(__file__).parents[2] / "shared" / "data" / "video" / "nasa_13013.mp4"


def noise(seconds, channels=1):
    """Return noise, whose position can be measured to the sample."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.1, (round(seconds * RATE), channels)).astype(np.float32)


def lag(sound, reference):
    """Return by how many samples a sound is later than the reference."""
    length = 2 * max(len(sound), len(reference))
    spectrum = np.fft.rfft(sound, length) * np.fft.rfft(reference, length).conj()
    place = int(np.fft.irfft(spectrum, length).argmax())
    return place - length if place > length // 2 else place


def ramp(frames, size=(32, 32)):
    """Return frames, each lighter than the one before by 8 of 255."""
    return (plain((8 * n, 8 * n, 8 * n), size) for n in range(frames))


def track(path, kind):
    (result,) = (track for track in probe(path) if track.kind == kind)
    return result


def make_sound(path):
    if path.suffix in (".m4a", ".mp4"):
        return write_video(path, [plain((9, 9, 9))] * 10 * (path.suffix == ".mp4"), sound=noise(1)[:, 0])
    soundfile.write(path, noise(1, 2), RATE)
    return path


@pytest.mark.parametrize(
    ("name", "suffix", "codec"),
    [
        ("a.wav", ".mp4", "aac"),
        ("a.flac", ".mp4", "aac"),
        ("a.mp3", ".mp4", "mp3"),
        ("a.m4a", ".mp4", "aac"),
        ("a.m4a", ".mov", "aac"),
        ("a.wav", ".mov", "pcm_s16le"),
        ("a.flac", ".mkv", "flac"),
        ("a.mp3", ".mkv", "mp3"),
        ("a.mp4", ".mkv", "aac"),
        ("a.ogg", ".mkv", "vorbis"),
        ("a.flac", ".webm", "opus"),
    ],
)
def test_a_film_is_synchronous_with_its_sound(tmp_path, name, suffix, codec):
    sound, path = make_sound(tmp_path / name), tmp_path / f"film{suffix}"
    write_film(path, ramp(25), 25, sound)
    assert track(path, "sound").codec == codec
    assert track(path, "picture").frames == 25
    assert track(path, "picture").size == (32, 32)
    ends = [track.start + track.seconds for track in probe(path)]
    assert max(ends) - min(ends) < 0.04
    # The start-up delay of some codecs lies before time 0. Matroska has no negative times: it delays both tracks.
    begin = track(path, "picture").start
    assert begin == 0 or (suffix == ".mkv" and begin < 0.03)
    assert lag(read_sound(path, RATE), read_sound(sound, RATE)) / RATE == pytest.approx(begin, abs=0.005)
    for time, (picture,) in read_video(path, 0.13):
        assert picture.mean() == pytest.approx(8 * int((time - begin) / 0.04 + 1e-6), abs=3)


def test_sound_that_starts_late_keeps_its_time_in_the_film(tmp_path):
    source = write_video(tmp_path / "late.mp4", list(ramp(10)), sound=noise(0.6)[:, 0], sound_starts=0.4)
    for suffix in (".mp4", ".webm"):
        path = tmp_path / f"film{suffix}"
        write_film(path, ramp(25), 25, source)
        assert lag(read_sound(path, RATE), read_sound(source, RATE)) == 0


def test_stereo_stays_stereo_and_more_channels_become_stereo(tmp_path):
    left = np.stack([noise(1)[:, 0], np.zeros(RATE, np.float32)], 1)
    six = np.concatenate([left, np.zeros((RATE, 4), np.float32)], 1)
    for name, channels in (("two", left), ("six", six)):
        path = tmp_path / f"{name}.mp4"
        write_film(path, ramp(25), 25, write_wav(tmp_path / f"{name}.wav", channels))
        samples = np.concatenate([piece for piece, _ in decode_sound(path)], 1)
        assert len(samples) == 2
        assert np.abs(samples[0]).mean() > 100 * np.abs(samples[1]).mean()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_colours_and_odd_sizes_survive(tmp_path, suffix):
    picture = np.concatenate([plain((230, 20, 30), (33, 21)), plain((20, 60, 220), (33, 20))])
    write_film(tmp_path / f"a{suffix}", [picture] * 3, 25)
    ((_, (shown,)),) = read_video(tmp_path / f"a{suffix}", 0.5)
    assert shown.shape == (42, 34, 3)
    np.testing.assert_allclose(shown[:18].mean((0, 1)), (230, 20, 30), atol=4)
    np.testing.assert_allclose(shown[-16:].mean((0, 1)), (20, 60, 220), atol=4)


@pytest.mark.parametrize("fps", [10, 24, 29.97, 60])
def test_the_duration_of_a_film_follows_from_its_frame_rate(tmp_path, fps):
    write_film(tmp_path / "a.mp4", ramp(30), fps)
    picture_track = track(tmp_path / "a.mp4", "picture")
    assert picture_track.seconds == pytest.approx(30 / fps, abs=1e-3)
    assert picture_track.rate == pytest.approx(fps, rel=1e-3)


def test_an_animation_loops_and_shows_every_frame(tmp_path):
    write_film(tmp_path / "a.gif", ramp(12), 20)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["loop"] == 0
        frames = [
            (frame.info["duration"], np.asarray(frame.convert("RGB")).mean()) for frame in ImageSequence.Iterator(image)
        ]
    assert [seconds for seconds, _ in frames] == [50] * 12
    np.testing.assert_allclose([level for _, level in frames], [8 * n for n in range(12)], atol=4)


@pytest.mark.parametrize(("fps", "stored"), [(25, 25), (50, 50), (60, 50), (120, 50)])
def test_an_animation_lasts_as_long_as_its_frame_rate_says(tmp_path, fps, stored):
    assert storable_fps(tmp_path / "a.gif", fps) == stored
    assert storable_fps(tmp_path / "a.mp4", fps) == fps
    write_film(tmp_path / "a.gif", ramp(12), stored)
    with Image.open(tmp_path / "a.gif") as image:
        assert [frame.info["duration"] for frame in ImageSequence.Iterator(image)] == [1000 / stored] * 12


def test_an_animation_of_too_many_frames_per_second_is_refused(tmp_path):
    with pytest.raises(MediaError, match="a GIF has at most 50 frames per second"):
        write_film(tmp_path / "a.gif", ramp(12), 51)


def test_frames_are_requested_as_they_are_written(tmp_path):
    class TooManyError(Exception):
        pass

    def endless():
        for number in count():
            if number == 40:
                assert (tmp_path / "a.mp4").exists() is False
                raise TooManyError
            yield plain((number % 256, 9, 9), (16, 16))

    for name in ("a.mp4", "a.gif", "sequence"):
        write = write_sequence if name == "sequence" else partial(write_film, fps=25)
        with pytest.raises(TooManyError):
            write(tmp_path / name, endless())
    assert list(tmp_path.iterdir()) == []


def test_a_sequence_is_numbered_and_replaces_only_another_sequence(tmp_path):
    folder = tmp_path / "frames"
    write_sequence(folder, ramp(3))
    write_sequence(folder, ramp(2))
    assert sorted(file.name for file in folder.iterdir()) == ["00001.png", "00002.png"]
    np.testing.assert_array_equal(read_picture(folder / "00002.png"), plain((8, 8, 8), (32, 32)))
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(MediaError, match="holds other things than numbered pictures; name another folder"):
        write_sequence(folder, ramp(2))
    assert [file.name for file in tmp_path.iterdir()] == ["frames"]


def packets(path, kind="video"):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(getattr(container.streams, kind)[0]) if packet.size]


def silent_film(path, codec):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, width=32, height=32, pix_fmt="yuv420p", bit_rate=400_000)
        frames = [av.VideoFrame.from_ndarray(picture) for picture in ramp(25)]
        container.mux([packet for frame in [*frames, None] for packet in stream.encode(frame)])
    return path


@pytest.mark.parametrize(
    ("suffix", "codec", "sound"),
    [
        (".mp4", "libx264", "aac"),
        (".mov", "mpeg4", "aac"),
        (".mkv", "libx264", "aac"),
        (".webm", "libvpx-vp9", "opus"),
        (".avi", "mpeg4", "mp3"),
        (".ts", "libx264", "aac"),
        (".flv", "libx264", "aac"),
        (".ogv", "libvpx", "opus"),
        (".mpg", "mpeg1video", "mp2"),
        (".wmv", "wmv2", "mp3"),
    ],
)
def test_a_silent_film_gets_a_soundtrack_and_keeps_its_pictures(tmp_path, suffix, codec, sound):
    source, out = silent_film(tmp_path / f"silent{suffix}", codec), tmp_path / f"film{suffix}"
    add_soundtrack(source, out, np.split(noise(1)[:, 0], 4), RATE)
    assert packets(out) == packets(source)
    sound_track, pictures = track(out, "sound"), track(out, "picture")
    assert sound_track.codec == sound
    # Some formats cannot cut the start-up delay of a codec and start with it.
    assert abs(sound_track.start - pictures.start) < 0.04
    assert abs(sound_track.start + sound_track.seconds - pictures.start - pictures.seconds) < 0.04
    assert lag(read_sound(out, RATE), noise(1)[:, 0]) / RATE == pytest.approx(pictures.start, abs=0.026)


def test_a_soundtrack_replaces_the_old_sound_only(tmp_path):
    source, out = tmp_path / "turned.mp4", tmp_path / "out.mp4"
    turn_video(write_video(source, list(ramp(10)), times=[0.4 + n / 10 for n in range(10)], sound=noise(1)[:, 0]))
    new = np.random.default_rng(1).normal(0, 0.1, 2 * RATE).astype(np.float32)
    add_soundtrack(source, out, [new[: round(1.4 * RATE)]], RATE)
    assert [track.kind for track in probe(out)] == ["picture", "sound"]
    assert lag(read_sound(out, RATE), new) == 0
    assert track(out, "picture").start == pytest.approx(0.4, abs=0.001)
    assert packets(out) == packets(source)
    with av.open(str(source)) as before, av.open(str(out)) as after:
        assert next(after.decode(video=0)).rotation == next(before.decode(video=0)).rotation != 0


def test_subtitles_and_titles_are_kept(tmp_path):
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as container:
        container.metadata["title"] = "Der müde Tod"
        container.set_chapters([{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {}}])
        pictures = container.add_stream("libx264", rate=25, width=32, height=32)
        words = container.add_mux_stream("subrip")
        words.metadata["language"] = "deu"
        frames = [av.VideoFrame.from_ndarray(picture) for picture in ramp(25)]
        container.mux([packet for frame in [*frames, None] for packet in pictures.encode(frame)])
        line = av.Packet(b"Ein Licht erlischt.")
        line.stream, line.time_base, line.pts, line.dts, line.duration = words, Fraction(1, 1000), 200, 200, 500
        container.mux(line)
    add_soundtrack(source, tmp_path / "out.mkv", [noise(1)[:, 0]], RATE)
    assert packets(tmp_path / "out.mkv", "subtitles") == [b"Ein Licht erlischt."]
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.metadata["title"] == "Der müde Tod"
        assert container.streams.subtitles[0].language == "deu"
        assert [chapter["end"] * chapter["time_base"] for chapter in container.chapters()] == [0.5]


def test_a_soundtrack_that_cannot_be_added_is_explained(tmp_path):
    film, sound = silent_film(tmp_path / "a.wmv", "wmv2"), write_wav(tmp_path / "a.wav", noise(1))
    for source, out, message in (
        (film, "b.mp4", r"a\.wmv: its wmv2 pictures cannot go into mp4 unchanged; name a \.wmv file"),
        (film, "b.gif", r"b\.gif: films are written as \.mp4, .*\.wmv"),
        (sound, "b.mp4", r"a\.wav: has no pictures"),
        (tmp_path / "none.mp4", "b.mp4", r"none\.mp4: no such file"),
    ):
        with pytest.raises(MediaError, match=message):
            add_soundtrack(source, tmp_path / out, [noise(1)[:, 0]], RATE)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.wav", "a.wmv"]


def frames_of(path):
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def test_only_pictures_that_are_repaired_change(tmp_path):
    source, out = tmp_path / "a.mp4", tmp_path / "b.mp4"
    times = [n / 10 for n in range(20) if not 5 <= n < 10]
    pictures = [plain((10 * n, 90, 90), (48, 32)) for n in range(len(times))]
    write_video(source, pictures, times=times, sound=noise(2)[:, 0])
    calls = []

    def repair(time, picture):
        calls.append((round(time, 2), picture is None))
        return plain((250, 250, 250)) if picture is None or time > 1.75 else None

    replace_frames(source, out, repair)
    assert calls == [(n / 10, 5 <= n < 10) for n in range(20)]
    assert [track.kind for track in probe(out)] == ["picture", "sound"]
    assert packets(out, "audio") == packets(source, "audio")
    assert lag(read_sound(out, RATE), read_sound(source, RATE)) == 0
    kept = iter(range(len(times)))
    for n, (time, picture) in enumerate(frames_of(out)):
        expected = (250, 250, 250) if 5 <= n < 10 or n >= 18 else (10 * next(kept), 90, 90)
        assert time == pytest.approx(n / 10, abs=1e-3)
        np.testing.assert_allclose(picture.mean((0, 1)), expected, atol=4)
    assert track(out, "picture").seconds == pytest.approx(2, abs=1e-3)


def test_a_copy_without_repairs_keeps_times_size_and_rotation(tmp_path):
    top, bottom = plain((220, 220, 220), (47, 16)), plain((30, 30, 30), (47, 17))
    times = [0, 0.1, 0.25, 0.3, 0.9]
    source = write_video(tmp_path / "a.mp4", [np.concatenate([top, bottom])] * 5, times=times)
    turn_video(source)
    replace_frames(source, tmp_path / "b.mkv", lambda time, picture: None)
    shown = frames_of(tmp_path / "b.mkv")
    assert [time for time, _ in shown] == pytest.approx(times, abs=1e-3)
    assert shown[0][1].shape == (48, 34, 3)
    assert shown[0][1][:, 22:].mean() > 200
    assert shown[0][1][:, :12].mean() < 50


def test_a_film_that_cannot_be_repaired_is_named(tmp_path):
    sound, film = write_wav(tmp_path / "a.wav", noise(1)), write_video(tmp_path / "a.mp4", list(ramp(3)))
    for source, out, message in (
        (sound, "b.mp4", r"a\.wav: has no pictures"),
        (film, "b.avi", r"b\.avi: films are written as .*\.webm$"),
        (tmp_path / "none.mp4", "b.mp4", r"none\.mp4: no such file"),
    ):
        with pytest.raises(MediaError, match=message):
            replace_frames(source, tmp_path / out, lambda time, picture: None)

    def fails(time, picture):
        raise MediaError("raised by the caller")

    with pytest.raises(MediaError, match=r"^raised by the caller$"):
        replace_frames(film, tmp_path / "b.mp4", fails)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mp4", "a.wav"]


def test_a_film_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "silent.wav").write_bytes(b"no sound at all" * 9)
    silent = write_video(tmp_path / "silent.mp4", list(ramp(3)))
    for path, frames, sound, message in (
        ("a.txt", 3, None, r"a\.txt: films are written as \.mp4, \.m4v, \.mov, \.mkv, \.webm"),
        ("a.mp4", 0, None, r"a\.mp4: not written, as there is no frame"),
        ("a.gif", 0, None, r"a\.gif: not written, as there is no frame"),
        ("a.mp4", 3, tmp_path / "silent.wav", r"silent\.wav: cannot be decoded"),
        ("a.mp4", 3, tmp_path / "none.wav", r"none\.wav: no such file"),
        ("a.mp4", 3, silent, r"silent\.mp4: has no sound"),
        ("silent.wav/a.mp4", 3, None, r"a\.mp4: cannot be written"),
    ):
        with pytest.raises(MediaError, match=message):
            write_film(tmp_path / path, islice(ramp(9), frames), 25, sound)
    with pytest.raises(MediaError, match="no frame"):
        write_sequence(tmp_path / "frames", [])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["silent.mp4", "silent.wav"]


@pytest.mark.skipif(not REAL.is_file(), reason="the real film is not available")
@pytest.mark.slow
def test_a_real_film_with_many_tracks_survives_every_operation(tmp_path):
    def times(track):
        return track.codec, track.frames, round(track.start, 3), round(track.seconds, 3)

    silent = [times(track) for track in probe(REAL) if track.kind != "sound"]
    assert find_damage(REAL) == []  # a dark scene
    add_soundtrack(REAL, tmp_path / "sound.mp4", [noise(13)[:, 0]], RATE)
    assert [times(track) for track in probe(tmp_path / "sound.mp4") if track.kind != "sound"] == silent
    assert track(tmp_path / "sound.mp4", "sound").seconds == pytest.approx(13, abs=0.03)

    def black(time, picture):
        return np.zeros_like(picture) if 3 <= time < 4 else None

    replace_frames(REAL, tmp_path / "black.mp4", black)
    assert [(interval.reason, interval.frames) for interval in find_damage(tmp_path / "black.mp4")] == [("black", 30)]
    assert times(track(tmp_path / "black.mp4", "picture")) in silent
    assert lag(read_sound(tmp_path / "black.mp4", 16_000), read_sound(REAL, 16_000)) == 0
