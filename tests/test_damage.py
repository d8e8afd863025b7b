"""Damaged pictures of a film are reported with their times and the reason; dark pictures are not damaged."""

import av
import numpy as np
import pytest
from media_fixtures import plain, tone, write_video, write_wav

from cmcgan_core.errors import MediaError
from cmcgan_core.media.damage import examine_frames, find_damage
from cmcgan_core.media.film import write_film

SIZE = (96, 64)


def scene(frames):
    """Return frames of a moving pattern with contrast."""
    tiles = np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return [np.roll(tiles, 2 * n, 1) for n in range(frames)]


def grainy(picture, depth=6):
    """Return a picture with noise added."""
    noise = np.random.default_rng(1).integers(-depth, depth + 1, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def summary(path):
    return [(round(s.start, 2), round(s.end, 2), s.frames, s.reason) for s in find_damage(path)]


def test_black_and_plain_pictures_are_reported(tmp_path):
    black, blue = grainy(plain((6, 6, 6), SIZE)), grainy(plain((20, 30, 220), SIZE))
    frames = [*scene(10), *[black] * 5, *scene(10), *[blue] * 4, *[black] * 2]
    expected = [(1.0, 1.5, 5, "black"), (2.5, 2.9, 4, "one colour"), (2.9, 3.1, 2, "black")]
    assert summary(write_video(tmp_path / "a.mp4", frames)) == expected
    write_film(tmp_path / "a.webm", frames, 10)
    assert summary(tmp_path / "a.webm") == expected


def test_a_night_scene_and_a_pale_scene_are_not_damaged(tmp_path):
    night = grainy(plain((8, 8, 12), SIZE), 3)
    night[20:26, 30:40] = (90, 80, 60)  # a lit window
    fog = np.broadcast_to(np.linspace(200, 215, SIZE[0])[None, :, None], (64, 96, 3)).astype(np.uint8)
    assert night.mean() < 13
    assert find_damage(write_video(tmp_path / "a.mp4", [night] * 5 + [fog] * 5)) == []


def corrupt(path, number, damage):
    """Change the bytes of one packet of a film with `damage`; return the time of its frame."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        packet = packets[number]
        place, size, time = packet.pos, packet.size, float(packet.pts * packet.time_base)
    data = bytearray(path.read_bytes())
    data[place : place + size] = damage(bytes(data[place : place + size]))
    path.write_bytes(data)
    return time


def scrambled(packet):
    third = len(packet) // 3
    return packet[:third] + np.random.default_rng(0).bytes(third) + packet[2 * third :]


def emptied(packet):
    return bytes(len(packet))


@pytest.mark.parametrize("damage", [scrambled, emptied])
@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_corrupt_pictures_are_reported_up_to_the_next_key_frame(tmp_path, codec, damage):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, width=96, height=64, pix_fmt="yuv420p", bit_rate=2_000_000)
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 12, 0
        frames = [av.VideoFrame.from_ndarray(grainy(picture)) for picture in scene(48)]
        container.mux([packet for frame in [*frames, None] for packet in stream.encode(frame)])
    assert find_damage(path) == []
    start = corrupt(path, 15, damage)
    assert start == pytest.approx(1.5)
    assert summary(path) == [(1.5, 2.4, 9, "corrupt")]
    assert len(list(examine_frames(path))) == 48


def test_missing_pictures_are_counted_at_the_frame_rate_of_the_film(tmp_path):
    times = [
        n / 10 for n in range(60) if not 10 <= n < 20 and n % 7 != 5
    ]  # a gap of ten frames, and some single frames left out
    path = write_video(tmp_path / "a.mp4", scene(len(times)), times=times)
    assert summary(path) == [(1.0, 2.0, 10, "missing")]
    shown = list(examine_frames(path))
    np.testing.assert_allclose([s.start for s in shown if s.fault], 1 + np.arange(10) / 10, atol=0.002)
    assert [s.end for s in shown[:-1]] == [s.start for s in shown[1:]]


def test_pictures_are_missing_before_a_late_start(tmp_path):
    path = write_video(tmp_path / "a.mp4", scene(10), times=[1 + n / 10 for n in range(10)], sound=tone(2))
    assert summary(path) == [(0.0, 1.0, 10, "missing")]


def test_a_film_without_pictures_is_named(tmp_path):
    with pytest.raises(MediaError, match=r"a\.wav: has no pictures"):
        find_damage(write_wav(tmp_path / "a.wav", tone(1)))
    with pytest.raises(MediaError, match=r"none\.mp4: no such file"):
        find_damage(tmp_path / "none.mp4")
