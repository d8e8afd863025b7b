from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.errors import CheckpointError, MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.classify import load_classifier
from cmcgan_core.inference.generate import OutputOptions, Task, clips, generate_file, make_all, plan
from cmcgan_core.inference.inputs import expand
from cmcgan_core.inference.translate import SamplingOptions, read_chunk, require_translator

CPU = torch.device("cpu")
SETTINGS = FeatureSettings()


@pytest.fixture(scope="module")
def trained(tiny_run: Path) -> Trained:
    return load_checkpoint(tiny_run / "last.safetensors", CPU)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """Two seconds of a tone that is loud from 1.0 to 1.5 s."""
    time = np.arange(2 * 44_100) / 44_100
    level = np.where((time >= 1.0) & (time < 1.5), 0.5, 0.05)
    soundfile.write(tmp_path / "tone.wav", level * np.sin(2 * np.pi * 440 * time), 44_100)
    return tmp_path / "tone.wav"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (200, 120), (180, 40, 30)).save(tmp_path / "player.jpg")
    return tmp_path / "player.jpg"


def test_a_sound_becomes_a_picture(trained: Trained, sound: Path, tmp_path: Path) -> None:
    made = generate_file(trained, sound, tmp_path / "made", SamplingOptions())
    assert made.outputs == (tmp_path / "made" / "tone.png",)
    assert made.route == "pictures"
    with Image.open(made.outputs[0]) as opened:
        assert (opened.size, opened.mode) == ((32, 32), "RGB")


def test_a_picture_becomes_half_a_second_of_sound_and_its_spectrogram(
    trained: Trained, picture: Path, tmp_path: Path
) -> None:
    made = generate_file(trained, picture, tmp_path / "made", SamplingOptions())
    assert [path.name for path in made.outputs] == ["player.wav", "player.lms.png", "player.lms.npy"]
    waveform, rate = soundfile.read(made.outputs[0])
    assert (len(waveform), rate) == (22_050, 44_100)
    assert np.abs(waveform).max() > 0
    with Image.open(made.outputs[1]) as drawn:
        assert drawn.size == (44 * 3, 128 * 3)
    levels = np.load(made.outputs[2])
    assert levels.shape == (128, 44)
    assert SETTINGS.min_level <= levels.min() <= levels.max() <= SETTINGS.max_level


def test_samples_differ_and_a_seed_repeats_them(trained: Trained, sound: Path, tmp_path: Path) -> None:
    def made(folder: str, seed: int) -> list[bytes]:
        sampling = SamplingOptions(samples=3, seed=seed)
        return [path.read_bytes() for path in generate_file(trained, sound, tmp_path / folder, sampling).outputs]

    first = made("one", 5)
    assert len(set(first)) == 3
    assert made("two", 5) == first
    assert made("three", 6) != first


def test_sample_i_of_a_seed_is_the_first_of_seed_plus_i(trained: Trained, picture: Path, tmp_path: Path) -> None:
    among = generate_file(trained, picture, tmp_path / "among", SamplingOptions(seed=3, samples=3)).outputs
    alone = generate_file(trained, picture, tmp_path / "alone", SamplingOptions(seed=5)).outputs
    suffixes = (".wav", ".lms.png", ".lms.npy")
    assert [path.name for path in among] == [f"player-{i}{s}" for i in (1, 2, 3) for s in suffixes]
    assert [path.read_bytes() for path in alone] == [path.read_bytes() for path in among[6:]]


def test_existing_results_are_kept_unless_asked(trained: Trained, sound: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.png"
    target.write_bytes(b"precious")
    assert generate_file(trained, sound, target, SamplingOptions()).skipped
    assert target.read_bytes() == b"precious"
    assert not generate_file(trained, sound, target, output=OutputOptions(overwrite=True)).skipped
    assert target.read_bytes().startswith(b"\x89PNG")


def test_only_missing_results_are_made(trained: Trained, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "player-2.wav").write_bytes(b"precious")
    made = generate_file(trained, picture, tmp_path / "made", SamplingOptions(samples=2))
    assert not made.skipped
    assert len(made.outputs) == 6
    assert all(path.exists() for path in made.outputs)
    assert (tmp_path / "made" / "player-2.wav").read_bytes() == b"precious"


def test_a_name_that_does_not_fit_is_refused(trained: Trained, sound: Path, picture: Path, tmp_path: Path) -> None:
    for source, out in ((picture, "made.png"), (sound, "made.wav")):
        with pytest.raises(MediaError, match="cannot become"):
            generate_file(trained, source, tmp_path / out, SamplingOptions())
        assert not (tmp_path / out).exists()


def test_the_loudest_half_second_is_heard(sound: Path) -> None:
    chunk = read_chunk(sound, SETTINGS, None)
    assert chunk.shape == (22_050,)
    assert float(chunk.abs().mean()) > 0.25
    assert float(read_chunk(sound, SETTINGS, 0.2).abs().mean()) < 0.05


def test_short_sound_is_filled_with_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.full(441, 0.5), 44_100)
    chunk = read_chunk(tmp_path / "short.wav", SETTINGS, None)
    assert chunk.shape == (22_050,)
    assert float(chunk[441:].abs().max()) == 0


def test_listening_past_the_end_is_refused(sound: Path) -> None:
    with pytest.raises(MediaError, match=r"lasts 2\.00 s"):
        read_chunk(sound, SETTINGS, 7.0)
    for at in (-1.0, float("nan")):
        with pytest.raises(MediaError, match="begins at 0 s"):
            read_chunk(sound, SETTINGS, at)


@pytest.mark.parametrize("name", ["notes.txt", "missing.wav", "missing.png"])
def test_inputs_that_cannot_be_read_are_named(trained: Trained, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("do re mi")
    with pytest.raises(MediaError, match=name):
        generate_file(trained, tmp_path / name, tmp_path / "made", SamplingOptions())
    assert not (tmp_path / "made").exists()


def test_a_classifier_cannot_generate(tiny_run: Path) -> None:
    with pytest.raises(CheckpointError, match="generates nothing"):
        require_translator(load_classifier(tiny_run, CPU))


def test_a_picture_becomes_sound_of_any_length(trained: Trained, picture: Path, tmp_path: Path) -> None:
    for seconds, frames in ((0.2, 18), (1.7, 147)):
        output = OutputOptions(seconds=seconds, overwrite=True, format="flac")
        made = generate_file(trained, picture, tmp_path / "made", SamplingOptions(), output)
        waveform, rate = soundfile.read(made.outputs[0])
        assert (made.outputs[0].suffix, len(waveform), rate) == (".flac", round(seconds * 44_100), 44_100)
        assert np.load(made.outputs[2]).shape == (128, frames)


def test_a_sheet_holds_all_samples(trained: Trained, sound: Path, tmp_path: Path) -> None:
    apart = generate_file(
        trained, sound, tmp_path / "apart", SamplingOptions(samples=3), OutputOptions(size=48)
    ).outputs
    (sheet,) = generate_file(
        trained, sound, tmp_path / "one", SamplingOptions(samples=3), OutputOptions(size=48, grid=True)
    ).outputs
    with Image.open(sheet) as opened:
        whole = np.asarray(opened)
    for path, (top, left) in zip(apart, ((4, 4), (4, 56), (56, 4)), strict=True):
        with Image.open(path) as one:
            assert np.array_equal(np.asarray(one), whole[top : top + 48, left : left + 48])


def test_many_inputs_give_what_each_gives_alone(trained: Trained, tmp_path: Path) -> None:
    for number in range(20):
        tone = 0.4 * np.sin(2 * np.pi * (200 + 60 * number) * np.arange(30_000) / 44_100)
        soundfile.write(tmp_path / f"{number:02d}.wav", tone, 44_100)
    (tmp_path / "07.wav").write_text("not a sound")
    tasks = plan(expand([str(tmp_path)]), tmp_path / "made", OutputOptions(), SamplingOptions(seed=2))
    results = list(make_all(trained, tasks, SamplingOptions(seed=2), OutputOptions()))
    assert [result.input.stem for result in results] == [f"{number:02d}" for number in range(20)]
    assert [result.input.stem for result in results if result.error] == ["07"]
    assert "07.wav" in results[7].error
    assert not any((tmp_path / "made").glob("07*"))
    for number in (0, 6, 8, 19):
        (alone,) = generate_file(
            trained, tmp_path / f"{number:02d}.wav", tmp_path / "alone", SamplingOptions(seed=2)
        ).outputs
        with Image.open(alone) as one, Image.open(results[number].outputs[0]) as among:
            assert np.abs(np.asarray(one).astype(int) - np.asarray(among)).max() <= 1


def test_a_run_that_was_stopped_goes_on(trained: Trained, tmp_path: Path) -> None:
    for number in range(40):
        soundfile.write(tmp_path / f"{number:02d}.wav", 0.3 * np.sin(np.arange(30_000) / (9 + number)), 44_100)

    def run(stop_after: int | None = None) -> list[bool]:
        tasks = plan(expand([str(tmp_path)], tmp_path / "made"), tmp_path / "made", OutputOptions(), SamplingOptions())
        results = make_all(trained, tasks, SamplingOptions(), OutputOptions())
        skipped = [result.skipped for result, _ in zip(results, range(stop_after or 99), strict=False)]
        results.close()
        return skipped

    assert not any(run(5))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "made").iterdir()}
    assert 5 <= len(kept) < 40
    again = run()
    assert (len(again), sum(again)) == (40, len(kept))
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [f"{n:02d}.png" for n in range(40)]


def test_what_is_skipped_is_not_read(
    trained: Trained, sound: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> list[bool]:
        tasks = plan(expand([str(sound), str(picture)]), tmp_path / "made", OutputOptions(), SamplingOptions())
        return [result.skipped for result in make_all(trained, tasks, SamplingOptions(), OutputOptions())]

    read: list[Path] = []
    really_read = clips.read

    def noting(trained: Trained, task: Task, sampling: SamplingOptions) -> Tensor:
        read.append(task.source)
        return really_read(trained, task, sampling)

    monkeypatch.setattr(clips, "read", noting)
    assert run() == [False, False]
    assert run() == [True, True]
    assert sorted(read) == sorted([sound, picture])


def test_the_classifier_guesses(trained: Trained, tiny_run: Path, sound: Path, picture: Path, tmp_path: Path) -> None:
    tasks = plan(expand([str(sound), str(picture)]), tmp_path / "made", OutputOptions(), SamplingOptions())
    for classifier in (load_classifier(tiny_run, CPU), None):
        for result in make_all(trained, tasks, SamplingOptions(), OutputOptions(overwrite=True), classifier):
            assert (result.guess in trained.about.classes) == (classifier is not None)
