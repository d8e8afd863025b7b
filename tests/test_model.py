import doctest
import importlib
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from media_fixtures import plain, tone, write_jpg, write_video, write_wav
from numpy.typing import NDArray
from PIL import Image

import cmcgan_core
from cmcgan_core.errors import CheckpointError, ConfigError, MediaError
from cmcgan_core.inference import model as module
from cmcgan_core.inference.classify import classify_files
from cmcgan_core.inference.generate.batch import generate_file
from cmcgan_core.inference.generate.plan import OutputOptions
from cmcgan_core.inference.model import Model, load
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.media import film
from cmcgan_core.media.files import read_picture, read_sound, write_sound
from cmcgan_core.run_folder import BOX

#: Low, then louder and high.
SONG = np.concatenate([tone(0.7, 200, level=0.1), tone(0.6, 3000)])


@pytest.fixture(scope="module")
def model() -> Model:
    return load("box", "cpu")


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "song.wav", SONG)


@pytest.fixture
def player(tmp_path: Path) -> Path:
    return write_jpg(tmp_path / "player.png", noise(3))


def noise(seed: int) -> NDArray[np.uint8]:
    """A picture (64, 96, 3) with contrast."""
    return np.random.default_rng(seed).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def test_the_examples_in_docstrings_work() -> None:
    results = doctest.testmod(module)
    assert results.attempted >= 8
    assert results.failed == 0


def test_the_example_in_the_readme_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(Path("sound.wav"), SONG)
    write_sound(Path("clips/deep/short.flac"), SONG, 44_100)
    soundfile.write("song.mp3", SONG, 44_100)
    write_jpg(Path("player.jpg"), noise(0))
    write_video(Path("silent.mp4"), [noise(i) for i in range(6)])
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet, names)
    assert len(names["waveform"]) == 4 * names["model"].sample_rate
    assert all(Path(output).exists() for output in ("sound.png", "song.mp4", "scored.mp4", "made/deep/short.png"))


def test_a_model_is_shown_as_its_checkpoint(model: Model) -> None:
    assert repr(model) == f"Model({str(BOX / 'last.safetensors')!r})"


def test_public_names_stay_the_same_after_their_modules_are_imported() -> None:
    evaluation = importlib.import_module("cmcgan_core.evaluation.evaluate")
    assert cmcgan_core.evaluate is evaluation.evaluate
    assert cmcgan_core.load is load


def test_pictures_equal_those_of_the_command(model: Model, song: Path, tmp_path: Path) -> None:
    generate_file(model.trained, song, tmp_path / "made", SamplingOptions(samples=2, seed=3))
    for number, picture in enumerate(model.sound_to_pictures(song, 2, seed=3)):
        assert (np.asarray(picture) == read_picture(tmp_path / "made" / f"song-{number + 1}.png")).all()
        assert picture == model.sound_to_picture(str(song), seed=3 + number)


def test_a_sound_in_memory_gives_the_picture_of_its_file(model: Model, tmp_path: Path) -> None:
    song = write_wav(tmp_path / "song.wav", SONG, subtype="FLOAT")
    picture = model.sound_to_picture(song)
    assert model.sound_to_picture(torch.from_numpy(SONG), sample_rate=44_100) == picture
    assert model.sound_to_picture(SONG, sample_rate=44_100, at=0) != picture
    with pytest.raises(MediaError, match=r"song\.wav has no sound at 9 s"):
        model.sound_to_picture(song, at=9)


@pytest.mark.parametrize("seconds", [0.5, 1.2])
def test_sounds_equal_those_of_the_command(model: Model, player: Path, tmp_path: Path, seconds: float) -> None:
    generate_file(model.trained, player, tmp_path / "made", SamplingOptions(seed=2), OutputOptions(seconds=seconds))
    waveform = model.picture_to_sound(Image.open(player), seconds, seed=2)
    assert (waveform.dtype, len(waveform)) == (np.float32, round(seconds * model.sample_rate))
    written = read_sound(tmp_path / "made" / "player.wav", model.sample_rate)
    assert np.abs(waveform / max(1, np.abs(waveform).max()) - written).max() < 1e-4


def test_numbers_out_of_range_are_refused(model: Model, song: Path, player: Path) -> None:
    with pytest.raises(ConfigError, match="seconds cannot be 0"):
        model.picture_to_sound(player, 0)
    with pytest.raises(ConfigError, match="drift cannot be nan"):
        model.picture_to_sound(player, drift=float("nan"))
    with pytest.raises(ConfigError, match="fps cannot be 0"):
        model.sound_to_film(song, song.with_suffix(".mp4"), fps=0)
    with pytest.raises(ConfigError, match="size cannot be 0"):
        model.sound_to_film(song, song.with_suffix(".mp4"), size=0)
    with pytest.raises(ConfigError, match="samples cannot be 0"):
        model.sound_to_pictures(song, 0)
    with pytest.raises(ConfigError, match="hops cannot be 3"):
        model.sound_to_picture(song, hops=3)


def test_a_short_sound_becomes_a_film_with_this_sound(
    model: Model, song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / "song.mp4"
    model.sound_to_film(song, out, fps=5)
    assert model.sound_to_film(song, out, fps=10, size=64, progress=True) == out
    tracks = {track.kind: track for track in film.probe(out)}
    assert (tracks["picture"].frames, tracks["picture"].size) == (13, (64, 64))
    assert abs(tracks["sound"].seconds - 1.3) < 0.05
    assert "making a film of song.wav" in capsys.readouterr().err
    for name in ("song.png", "song", "song.wav"):
        with pytest.raises(ConfigError, match=r"not the name of a film; take one that ends in \.mp4"):
            model.sound_to_film(song, tmp_path / "made" / name)


def test_a_new_soundtrack_replaces_the_old_one(model: Model, tmp_path: Path) -> None:
    source = write_video(tmp_path / "film.mp4", [noise(i) for i in range(10)], sound=tone(1.0, 440))
    out = model.add_soundtrack(source, tmp_path / "scored.mp4", seed=1)
    assert {track.kind for track in film.probe(out)} == {"picture", "sound"}
    before, after = (read_sound(path, 44_100) for path in (source, out))
    assert abs(float(np.corrcoef(before[:40_000], after[:40_000])[0, 1])) < 0.5
    with pytest.raises(MediaError, match=r"gone\.mp4"):
        model.add_soundtrack(tmp_path / "gone.mp4", tmp_path / "scored.mp4")


def test_a_repair_returns_the_damaged_intervals(model: Model, tmp_path: Path) -> None:
    frames = [noise(i) for i in range(5)] + [plain((0, 0, 0), (96, 64))] * 5 + [noise(i) for i in range(5)]
    damaged = write_video(tmp_path / "damaged.mp4", frames, sound=tone(1.5, 440))
    (interval,) = model.repair(damaged, tmp_path / "repaired.mp4")
    assert (interval.reason, interval.frames) == ("black", 5)
    assert interval.start == pytest.approx(0.5)
    intact = write_video(tmp_path / "fine.mp4", frames[:5], sound=tone(0.5, 440))
    assert model.repair(intact, tmp_path / "nothing.mp4") == ()
    assert not (tmp_path / "nothing.mp4").exists()


def test_classifications_equal_those_of_the_command(model: Model, song: Path, player: Path) -> None:
    def expected(sound: Path | None, picture: Path | None) -> object:
        assert model.classifier is not None
        return classify_files(model.trained, model.classifier, sound, picture, SamplingOptions(samples=2, seed=4))

    assert model.classify(song, samples=2, seed=4) == expected(song, None)
    assert model.classify(picture=Image.open(player), samples=2, seed=4) == expected(None, player)
    assert model.classify(song, player, samples=2, seed=4) == expected(song, player)
    assert len(model.classify_file(song, every=0.5).timeline) >= 2
    with pytest.raises(ConfigError, match="nothing to classify"):
        model.classify()


def test_a_run_without_a_classifier_names_the_next_command(song: Path, tmp_path: Path) -> None:
    shutil.copy(BOX / "last.safetensors", tmp_path)
    with pytest.raises(CheckpointError, match="cmcgan train --resume"):
        load(tmp_path, "cpu").classify(song)
    with pytest.raises(CheckpointError, match="does not exist"):
        load(tmp_path / "nowhere.safetensors")


def test_a_folder_is_converted_except_for_bad_files(
    model: Model, song: Path, player: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.wav").write_text("no sound at all")
    results = model.convert(tmp_path, tmp_path / "made", sampling=SamplingOptions(seed=1), progress=True)
    assert [(result.input.name, [path.name for path in result.outputs]) for result in results] == [
        ("bad.wav", []),
        ("player.png", ["player.wav", "player.lms.png", "player.lms.npy"]),
        ("song.wav", ["song.png"]),
    ]
    assert "bad.wav" in results[0].error
    assert "generating" in capsys.readouterr().err
    again = model.convert([song, str(player)], tmp_path / "made")
    assert all(result.skipped for result in again)
