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
from cmcgan_core.inference.dynamic_classifier import load_classifier
from cmcgan_core.inference.generate import clips
from cmcgan_core.inference.generate.batch import generate_all, generate_file
from cmcgan_core.inference.generate.plan import OutputOptions, Task, plan
from cmcgan_core.inference.generate.session import GenerationSession
from cmcgan_core.inference.inputs import expand
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import read_half_second, require_translator

CPU = torch.device("cpu")
SETTINGS = FeatureSettings()


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
    result = generate_file(trained, sound, tmp_path / "made", SamplingOptions())
    assert result.outputs == (tmp_path / "made" / "tone.png",)
    assert result.route == "pictures"
    with Image.open(result.outputs[0]) as opened:
        assert (opened.size, opened.mode) == ((32, 32), "RGB")


def test_a_picture_becomes_half_a_second_of_sound_and_its_spectrogram(
    trained: Trained, picture: Path, tmp_path: Path
) -> None:
    result = generate_file(trained, picture, tmp_path / "made", SamplingOptions())
    assert [path.name for path in result.outputs] == ["player.wav", "player.lms.png", "player.lms.npy"]
    waveform, rate = soundfile.read(result.outputs[0])
    assert (len(waveform), rate) == (22_050, 44_100)
    assert np.abs(waveform).max() > 0
    with Image.open(result.outputs[1]) as drawn:
        assert drawn.size == (44 * 3, 128 * 3)
    levels = np.load(result.outputs[2])
    assert levels.shape == (128, 44)
    assert SETTINGS.min_level <= levels.min() <= levels.max() <= SETTINGS.max_level


def test_samples_differ_and_a_seed_repeats_them(trained: Trained, sound: Path, tmp_path: Path) -> None:
    def generate(folder: str, seed: int) -> list[bytes]:
        sampling = SamplingOptions(samples=3, seed=seed)
        return [path.read_bytes() for path in generate_file(trained, sound, tmp_path / folder, sampling).outputs]

    first = generate("one", 5)
    assert len(set(first)) == 3
    assert generate("two", 5) == first
    assert generate("three", 6) != first


def test_sample_i_of_a_seed_is_the_first_of_seed_plus_i(trained: Trained, picture: Path, tmp_path: Path) -> None:
    several = generate_file(trained, picture, tmp_path / "several", SamplingOptions(seed=3, samples=3)).outputs
    single = generate_file(trained, picture, tmp_path / "single", SamplingOptions(seed=5)).outputs
    suffixes = (".wav", ".lms.png", ".lms.npy")
    assert [path.name for path in several] == [f"player-{i}{s}" for i in (1, 2, 3) for s in suffixes]
    assert [path.read_bytes() for path in single] == [path.read_bytes() for path in several[6:]]


def test_existing_results_are_kept_without_overwrite(trained: Trained, sound: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.png"
    target.write_bytes(b"precious")
    assert generate_file(trained, sound, target, SamplingOptions()).skipped
    assert target.read_bytes() == b"precious"
    assert not generate_file(trained, sound, target, output=OutputOptions(overwrite=True)).skipped
    assert target.read_bytes().startswith(b"\x89PNG")


def test_only_missing_results_are_generated(trained: Trained, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "player-2.wav").write_bytes(b"precious")
    result = generate_file(trained, picture, tmp_path / "made", SamplingOptions(samples=2))
    assert not result.skipped
    assert len(result.outputs) == 6
    assert all(path.exists() for path in result.outputs)
    assert (tmp_path / "made" / "player-2.wav").read_bytes() == b"precious"


def test_a_name_that_does_not_fit_is_refused(trained: Trained, sound: Path, picture: Path, tmp_path: Path) -> None:
    for source, out in ((picture, "result.png"), (sound, "result.wav")):
        with pytest.raises(MediaError, match="cannot become"):
            generate_file(trained, source, tmp_path / out, SamplingOptions())
        assert not (tmp_path / out).exists()


def test_the_loudest_half_second_is_used(sound: Path) -> None:
    waveform = read_half_second(sound, SETTINGS, None)
    assert waveform.shape == (22_050,)
    assert float(waveform.abs().mean()) > 0.25
    assert float(read_half_second(sound, SETTINGS, 0.2).abs().mean()) < 0.05


def test_a_short_sound_is_padded_with_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.full(441, 0.5), 44_100)
    waveform = read_half_second(tmp_path / "short.wav", SETTINGS, None)
    assert waveform.shape == (22_050,)
    assert float(waveform[441:].abs().max()) == 0


def test_a_time_past_the_end_is_refused(sound: Path) -> None:
    with pytest.raises(MediaError, match=r"lasts 2\.00 s"):
        read_half_second(sound, SETTINGS, 7.0)
    for at in (-1.0, float("nan")):
        with pytest.raises(MediaError, match="begins at 0 s"):
            read_half_second(sound, SETTINGS, at)


@pytest.mark.parametrize("name", ["notes.txt", "missing.wav", "missing.png"])
def test_inputs_that_cannot_be_read_are_named(trained: Trained, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("do re mi")
    with pytest.raises(MediaError, match=name):
        generate_file(trained, tmp_path / name, tmp_path / "made", SamplingOptions())
    assert not (tmp_path / "made").exists()


def test_a_classifier_cannot_generate(tiny_run: Path) -> None:
    with pytest.raises(CheckpointError, match="generates nothing"):
        require_translator(load_classifier(load_checkpoint(tiny_run / "last.safetensors", CPU)))


def test_a_picture_becomes_sound_of_any_length(trained: Trained, picture: Path, tmp_path: Path) -> None:
    for seconds, frames in ((0.2, 18), (1.7, 147)):
        output = OutputOptions(seconds=seconds, overwrite=True, format="flac")
        result = generate_file(trained, picture, tmp_path / "made", SamplingOptions(), output)
        waveform, rate = soundfile.read(result.outputs[0])
        assert (result.outputs[0].suffix, len(waveform), rate) == (".flac", round(seconds * 44_100), 44_100)
        assert np.load(result.outputs[2]).shape == (128, frames)


def test_a_grid_shows_all_samples(trained: Trained, sound: Path, tmp_path: Path) -> None:
    separate = generate_file(
        trained, sound, tmp_path / "separate", SamplingOptions(samples=3), OutputOptions(size=48)
    ).outputs
    (grid,) = generate_file(
        trained, sound, tmp_path / "one", SamplingOptions(samples=3), OutputOptions(size=48, grid=True)
    ).outputs
    with Image.open(grid) as opened:
        whole = np.asarray(opened)
    for path, (top, left) in zip(separate, ((4, 4), (4, 56), (56, 4)), strict=True):
        with Image.open(path) as opened:
            assert np.array_equal(np.asarray(opened), whole[top : top + 48, left : left + 48])


def test_an_input_gives_the_same_output_alone_and_among_others(trained: Trained, tmp_path: Path) -> None:
    for number in range(20):
        tone = 0.4 * np.sin(2 * np.pi * (200 + 60 * number) * np.arange(30_000) / 44_100)
        soundfile.write(tmp_path / f"{number:02d}.wav", tone, 44_100)
    (tmp_path / "07.wav").write_text("not a sound")
    tasks = plan(expand([str(tmp_path)]), tmp_path / "made", OutputOptions(), SamplingOptions(seed=2))
    results = list(generate_all(trained, tasks, SamplingOptions(seed=2), OutputOptions()))
    assert [result.input.stem for result in results] == [f"{number:02d}" for number in range(20)]
    assert [result.input.stem for result in results if result.error] == ["07"]
    assert "07.wav" in results[7].error
    assert not any((tmp_path / "made").glob("07*"))
    for number in (0, 6, 8, 19):
        (single,) = generate_file(
            trained, tmp_path / f"{number:02d}.wav", tmp_path / "single", SamplingOptions(seed=2)
        ).outputs
        with Image.open(single) as expected, Image.open(results[number].outputs[0]) as output:
            assert np.abs(np.asarray(expected).astype(int) - np.asarray(output)).max() <= 1


def test_a_call_that_was_stopped_resumes(trained: Trained, tmp_path: Path) -> None:
    for number in range(40):
        soundfile.write(tmp_path / f"{number:02d}.wav", 0.3 * np.sin(np.arange(30_000) / (9 + number)), 44_100)

    def run(stop_after: int | None = None) -> list[bool]:
        tasks = plan(expand([str(tmp_path)], tmp_path / "made"), tmp_path / "made", OutputOptions(), SamplingOptions())
        results = generate_all(trained, tasks, SamplingOptions(), OutputOptions())
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


def test_skipped_inputs_are_not_read(
    trained: Trained, sound: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> list[bool]:
        tasks = plan(expand([str(sound), str(picture)]), tmp_path / "made", OutputOptions(), SamplingOptions())
        return [result.skipped for result in generate_all(trained, tasks, SamplingOptions(), OutputOptions())]

    read: list[Path] = []
    read_source = clips.read_source

    def record(session: GenerationSession, task: Task) -> Tensor:
        read.append(task.source)
        return read_source(session, task)

    monkeypatch.setattr(clips, "read_source", record)
    assert run() == [False, False]
    assert run() == [True, True]
    assert sorted(read) == sorted([sound, picture])


def test_the_classifier_labels_the_results(
    trained: Trained, tiny_run: Path, sound: Path, picture: Path, tmp_path: Path
) -> None:
    tasks = plan(expand([str(sound), str(picture)]), tmp_path / "made", OutputOptions(), SamplingOptions())
    for classifier in (load_classifier(load_checkpoint(tiny_run / "last.safetensors", CPU)), None):
        for result in generate_all(trained, tasks, SamplingOptions(), OutputOptions(overwrite=True), classifier):
            assert (result.guess in trained.about.classes) == (classifier is not None)
