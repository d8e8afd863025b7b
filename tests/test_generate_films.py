import itertools
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from conftest import Run
from media_fixtures import plain, tone, write_video, write_wav
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from cmcgan_core.checkpoint import Trained
from cmcgan_core.errors import MediaError
from cmcgan_core.inference.generate.batch import generate_file
from cmcgan_core.inference.generate.latent_walk import LatentWalk
from cmcgan_core.inference.generate.plan import OutputOptions
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import require_translator
from cmcgan_core.media import film
from cmcgan_core.media.files import read_sound, read_video

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds: low, then high."""
    sound = np.concatenate([tone(1.5, 200), tone(1.5, 3000)])
    return write_wav(tmp_path_factory.mktemp("song") / "song.wav", sound)


def track(path: Path, kind: str) -> film.Track:
    (match,) = (item for item in film.probe(path) if item.kind == kind)
    return match


def pictures(path: Path, hop: float = 0.1) -> list[NDArray[np.uint8]]:
    return [picture for _, (picture,) in read_video(path, hop)]


def test_a_film_follows_the_sound_and_keeps_it(trained: Trained, song: Path, tmp_path: Path) -> None:
    result = generate_file(trained, song, tmp_path, output=OutputOptions(format="mp4"))
    assert (result.route, result.outputs) == ("film", (tmp_path / "song.mp4",))
    video, sound = track(result.outputs[0], "picture"), track(result.outputs[0], "sound")
    assert (video.codec, video.size, video.frames) == ("h264", (256, 256), 30)
    assert abs(video.seconds - sound.seconds) <= 0.1
    assert abs(video.start - sound.start) <= 0.1
    kept, original = (read_sound(path, 44_100) for path in (result.outputs[0], song))
    assert float(np.corrcoef(kept[2000:120_000], original[2000:120_000])[0, 1]) > 0.99


def test_each_frame_is_the_picture_of_the_half_second_that_begins_with_it(
    trained: Trained, song: Path, tmp_path: Path
) -> None:
    (folder,) = generate_file(
        trained, song, tmp_path, output=OutputOptions(format="png-sequence", fps=4, size=32)
    ).outputs
    frames = sorted(folder.iterdir())
    assert len(frames) == 12
    for number in (0, 5, 9):
        (still,) = generate_file(
            trained, song, tmp_path / f"{number}.png", SamplingOptions(at=number / 4), OutputOptions(size=32)
        ).outputs
        with Image.open(still) as expected, Image.open(frames[number]) as frame:
            assert np.abs(np.asarray(expected).astype(int) - np.asarray(frame)).max() <= 1


def test_constant_latents_do_not_flicker_and_a_latent_walk_moves(trained: Trained, tmp_path: Path) -> None:
    steady = write_wav(tmp_path / "steady.wav", tone(2, 500))

    def steps(drift: float) -> list[float]:
        output = OutputOptions(format="png-sequence", drift=drift, overwrite=True, fps=5)
        (folder,) = generate_file(trained, steady, tmp_path / "made", output=output).outputs
        frames = [np.asarray(Image.open(path)).astype(float) for path in sorted(folder.iterdir())]
        return [float(np.abs(a - b).mean()) for a, b in itertools.pairwise(frames)]

    # The windows of a steady tone differ only in their phase.
    assert max(steps(0)) < 0.25 * max(steps(0.4))
    assert min(steps(1.0)) > 0


def test_a_latent_walk_passes_through_draws_and_keeps_their_length(trained: Trained) -> None:
    network = require_translator(trained)
    network.latent, before = 4000, network.latent
    try:
        walk = LatentWalk(network, torch.Generator().manual_seed(3), 1, 2.0)
        times = [0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 9.9]
        z = torch.cat([walk.at(times[:3]), walk.at(times[3:])], dim=1)[0]
        still = network.draw(1, torch.Generator().manual_seed(3), 1)[0]
    finally:
        network.latent = before
    assert torch.equal(z[:1], still)
    assert torch.allclose(z.square().mean(dim=1), torch.ones(len(times)), atol=0.1)
    assert abs(float((z[0] * z[3]).mean())) < 0.1
    assert float((z[2] * (z[0] + z[3])).mean()) == pytest.approx(2**0.5, abs=0.1)


def test_a_gif_and_other_containers_are_written(trained: Trained, song: Path, tmp_path: Path) -> None:
    (gif,) = generate_file(trained, song, tmp_path / "song.gif", output=OutputOptions(fps=5)).outputs
    with Image.open(gif) as opened:
        assert (opened.size, getattr(opened, "n_frames", 1)) == ((256, 256), 15)
    (mkv,) = generate_file(trained, song, tmp_path / "song.mkv").outputs
    assert {item.kind for item in film.probe(mkv)} == {"picture", "sound"}


def test_a_gif_has_at_most_50_frames_a_second_and_the_command_says_so(
    cmcgan: Run, trained: Trained, tmp_path: Path
) -> None:
    sound = write_wav(tmp_path / "a.wav", tone(0.7))
    arguments = ("--fps", 60, "--size", 16, "--checkpoint", trained.path)
    code, _, err = cmcgan("generate", "--from", sound, "--out", tmp_path / "a.gif", *arguments)
    assert code == 0
    assert "a gif has at most 50 frames per second" in err
    with Image.open(tmp_path / "a.gif") as opened:
        assert [frame.info["duration"] for frame in ImageSequence.Iterator(opened)] == [20] * 35
    _, _, err = cmcgan("generate", "--from", sound, "--out", tmp_path / "a.mp4", *arguments)
    assert "a gif has" not in err


def test_a_silent_film_gets_a_soundtrack_and_keeps_its_pictures(trained: Trained, tmp_path: Path) -> None:
    source = write_video(tmp_path / "silent.mp4", [plain((200, 40, 40))] * 12 + [plain((40, 40, 200))] * 11)
    result = generate_file(trained, source, tmp_path)
    assert (result.route, result.outputs) == ("soundtrack", (tmp_path / "silent.soundtrack.mp4",))

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    assert packets(result.outputs[0]) == packets(source)
    soundtrack = track(result.outputs[0], "sound")
    assert abs(soundtrack.seconds - 2.3) <= 0.1
    assert np.abs(read_sound(result.outputs[0], 44_100)).max() > 0


def test_damaged_frames_are_generated_from_the_sound_and_the_others_are_kept(trained: Trained, tmp_path: Path) -> None:
    bright = np.full((32, 48, 3), 60, np.uint8)
    bright[8:24, 8:40] = (200, 180, 90)
    frames = [bright] * 10 + [plain((0, 0, 0))] * 5 + [bright] * 10
    source = write_video(tmp_path / "dropouts.mp4", frames, sound=tone(2.5, 600))
    result = generate_file(trained, source, tmp_path, output=OutputOptions(repair=True))
    assert result.outputs == (tmp_path / "dropouts.repaired.mp4",)
    (interval,) = result.repaired
    assert (interval.frames, interval.reason) == (5, "black")
    assert (interval.start, interval.end) == (pytest.approx(1.0, abs=0.01), pytest.approx(1.5, abs=0.01))
    frames = pictures(result.outputs[0])
    assert len(frames) == 25
    for number in (2, 8, 17, 23):
        assert np.abs(frames[number].astype(int) - bright).mean() < 12
    assert all(frames[number].mean() > 20 for number in range(10, 15))
    assert track(result.outputs[0], "sound").seconds == pytest.approx(track(source, "sound").seconds, abs=0.05)


def test_a_film_without_damage_is_not_changed(trained: Trained, tmp_path: Path) -> None:
    grain = np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8)
    source = write_video(tmp_path / "good.mp4", [grain] * 8, sound=tone(0.8))
    result = generate_file(trained, source, tmp_path, output=OutputOptions(repair=True))
    assert (result.outputs, result.repaired) == ((), ())
    assert [path.name for path in tmp_path.iterdir()] == ["good.mp4"]


def test_a_sound_that_breaks_off_leaves_no_film(trained: Trained, song: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    sound = np.zeros(44_100 * 12, np.float32)
    sound[44_100 * 9] = np.nan
    write_wav(broken, sound, subtype="FLOAT")
    with pytest.raises(MediaError, match=r"broken\.wav"):
        generate_file(trained, broken, tmp_path / "made")
    assert not list((tmp_path / "made").glob("*"))
