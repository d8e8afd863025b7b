from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import CLASSES
from media_fixtures import plain, tone, write_jpg, write_video, write_wav

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.errors import CheckpointError, ConfigError, MediaError
from cmcgan_core.features.representations import analyse
from cmcgan_core.features.scaling import scale_spectrograms
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.chunks import read_half_seconds
from cmcgan_core.inference.classify import classify_all, classify_file, classify_files
from cmcgan_core.inference.dynamic_classifier import DynamicClassifier, load_classifier
from cmcgan_core.inference.model import Model
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import to_network, translate
from cmcgan_core.inference.windows import Windows
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.training.classifiers import train_judge

CPU = torch.device("cpu")
SETTINGS = FeatureSettings()


@pytest.fixture
def audio() -> torch.Tensor:
    """The scaled spectrogram of noise."""
    noise = torch.rand(22_050, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return scale_spectrograms(analyse(noise, SETTINGS), SETTINGS)[None, None]


def test_the_missing_modality_is_generated(trained: Trained, classifier: Trained, tmp_path: Path) -> None:
    sound, picture = tmp_path / "tone.wav", write_jpg(tmp_path / "player.jpg", plain((180, 40, 30)))
    soundfile.write(sound, tone(1), 44_100)
    cases = [
        (sound, None, ("audio",), "visual"),
        (None, picture, ("visual",), "audio"),
        (sound, picture, ("audio", "visual"), None),
    ]
    for sound_file, picture_file, modalities, generated in cases:
        result = classify_files(trained, classifier, sound_file, picture_file, SamplingOptions())
        assert (result.given, result.generated, result.chunks) == (modalities, generated, 1)
        assert set(result.probabilities) == set(CLASSES)
        assert sum(result.probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert result.label == max(result.probabilities, key=result.probabilities.__getitem__)
        assert result.confidence == max(result.probabilities.values())
        assert result.calibrated


def test_the_generated_modality_is_the_output_of_the_generator(
    trained: Trained, classifier: Trained, audio: torch.Tensor
) -> None:
    visual = translate(trained, Direction.A2V, to_network(trained, audio), SamplingOptions(seed=4))
    logits = classifier.network(
        {Modality.AUDIO: to_network(classifier, audio), Modality.VISUAL: to_network(classifier, visual)}
    )
    expected = (logits / classifier.about.temperatures["GV-A"]).softmax(dim=1)[0]
    result = DynamicClassifier(trained, classifier, SamplingOptions(seed=4)).classify({Modality.AUDIO: audio})
    assert [result.probabilities[name] for name in CLASSES] == pytest.approx(expected.tolist(), abs=1e-5)


def test_several_samples_are_averaged(trained: Trained, classifier: Trained, audio: torch.Tensor) -> None:
    maps = {Modality.AUDIO: torch.cat([audio, -audio])}
    first, second, both = (
        DynamicClassifier(trained, classifier, sampling).classify(maps).probabilities
        for sampling in (SamplingOptions(seed=0), SamplingOptions(seed=1), SamplingOptions(samples=2))
    )
    assert all(both[name] == pytest.approx((first[name] + second[name]) / 2, abs=1e-5) for name in CLASSES)


def test_a_classifier_without_temperatures_is_not_calibrated(
    trained: Trained, classifier: Trained, audio: torch.Tensor
) -> None:
    uncalibrated = replace(classifier, about=replace(classifier.about, temperatures={}))
    network = DynamicClassifier(trained, uncalibrated, SamplingOptions())
    assert not network.classify({Modality.AUDIO: audio}).calibrated


def test_classifying_nothing_is_refused(trained: Trained, classifier: Trained) -> None:
    with pytest.raises(ConfigError, match="nothing to classify"):
        classify_files(trained, classifier, None, None, SamplingOptions())


def test_a_run_without_a_classifier_names_the_next_command(trained: Trained, tmp_path: Path) -> None:
    lacking = replace(trained, path=tmp_path / "last.safetensors")
    with pytest.raises(CheckpointError, match="cmcgan train --resume"):
        load_classifier(lacking)
    with pytest.raises(CheckpointError, match="one class only"):
        load_classifier(replace(lacking, about=replace(trained.about, classes=("flute",))))
    with pytest.raises(CheckpointError, match="neither classifies nor generates"):
        load_classifier(replace(lacking, network=torch.nn.Linear(1, 1)))


def test_a_run_that_is_a_classifier_classifies_what_it_reads(prepared: Path, tmp_path: Path) -> None:
    judge = load_checkpoint(train_judge(open_dataset(prepared), [Modality.AUDIO], "judge-tiny"), CPU)
    assert load_classifier(judge) is judge
    result = Model(judge, None).classify(write_wav(tmp_path / "a.wav", tone(1, 440)))
    assert (result.given, result.generated, result.calibrated) == (("audio",), None, False)
    with pytest.raises(CheckpointError, match="generates nothing"):
        Model(judge, None).classify(picture=write_jpg(tmp_path / "a.jpg", plain((200, 0, 0))))


FRAMES = [plain(colour) for colour in [(200, 0, 0)] * 5 + [(0, 200, 0)] * 5 + [(0, 0, 200)] * 5]


def test_a_video_is_classified_by_its_half_seconds(trained: Trained, classifier: Trained, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", FRAMES, sound=tone(1.6, 440))
    result = classify_file(trained, classifier, video, SamplingOptions())
    assert (result.given, result.generated, result.chunks) == (("audio", "visual"), None, 3)
    parts = [classify_file(trained, classifier, video, SamplingOptions(at=at)) for at in (0.0, 0.7, 1.2)]
    assert [part.chunks for part in parts] == [1, 1, 1]
    for name, probability in result.probabilities.items():
        assert probability == pytest.approx(sum(part.probabilities[name] for part in parts) / 3, abs=1e-5)


def test_each_half_second_of_a_video_has_the_picture_at_its_start(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", FRAMES, sound=np.concatenate([np.zeros(22_050), tone(1.1)]))
    half_seconds = list(read_half_seconds(video, SETTINGS, 0.5))
    assert [item.start for item in half_seconds] == [0.0, 0.5, 1.0]
    assert all(item.sound.shape == (22_050,) and item.picture.shape == (128, 128, 3) for item in half_seconds)
    assert [int(item.picture.mean(axis=(0, 1)).argmax()) for item in half_seconds] == [0, 1, 2]
    peaks = [float(np.abs(item.sound[5000:15000]).max()) for item in half_seconds]
    assert peaks[0] < 0.01
    assert peaks[1] > 0.3


def test_silent_half_seconds_are_left_out_unless_all_are_silent(
    trained: Trained, classifier: Trained, tmp_path: Path
) -> None:
    sound = np.concatenate([np.zeros(33_075, np.float32), tone(0.85)])
    video = write_video(tmp_path / "a.mp4", FRAMES, sound=sound)
    assert classify_file(trained, classifier, video, SamplingOptions()).chunks == 2
    video = write_video(tmp_path / "b.mp4", FRAMES, sound=np.zeros_like(sound))
    assert classify_file(trained, classifier, video, SamplingOptions()).chunks == 3


def test_the_missing_track_of_a_video_is_generated(trained: Trained, classifier: Trained, tmp_path: Path) -> None:
    silent = write_video(tmp_path / "silent.mp4", FRAMES)
    result = classify_file(trained, classifier, silent, SamplingOptions())
    assert (result.given, result.generated, result.chunks) == (("visual",), "audio", 3)
    without_pictures = write_video(tmp_path / "no pictures.mp4", [], sound=tone(0.3))
    result = classify_file(trained, classifier, without_pictures, SamplingOptions())
    assert (result.given, result.generated, result.chunks) == (("audio",), "visual", 1)


def test_a_video_that_cannot_be_classified_is_named(trained: Trained, classifier: Trained, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", FRAMES)
    with pytest.raises(MediaError, match=r"a\.mp4 has nothing at 9 s, only from 0 to 1\.5 s.*--at"):
        classify_file(trained, classifier, video, SamplingOptions(at=9.0))
    late = write_video(tmp_path / "late.mp4", FRAMES[:2], sound=tone(0.5))
    late.write_bytes(late.read_bytes()[:2000])
    with pytest.raises(MediaError, match=r"late\.mp4"):
        classify_file(trained, classifier, late, SamplingOptions())


def test_a_video_whose_tracks_never_meet_is_named(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", FRAMES[:2], times=[3.0, 3.1], sound=tone(0.5))
    with pytest.raises(MediaError, match=r"a\.mp4: has no half second of both sound and pictures"):
        list(read_half_seconds(video, SETTINGS, 0.5))


def test_each_step_of_a_timeline_is_the_mean_of_its_half_seconds(
    trained: Trained, classifier: Trained, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "a.mp4", FRAMES, sound=tone(1.6, 440))
    result = classify_file(trained, classifier, video, SamplingOptions(), every=0.5)
    assert [(step.start, step.end) for step in result.timeline] == [(0, 0.5), (0.5, 1), (1, 1.5)]
    parts = [classify_file(trained, classifier, video, SamplingOptions(at=at)) for at in (0.0, 0.5, 1.0)]
    assert [step.label for step in result.timeline] == [part.label for part in parts]
    assert [step.confidence for step in result.timeline] == pytest.approx([part.confidence for part in parts], abs=1e-5)
    coarse = classify_file(trained, classifier, video, SamplingOptions(), every=1.0)
    first = {name: (parts[0].probabilities[name] + parts[1].probabilities[name]) / 2 for name in CLASSES}
    assert [(step.start, step.end) for step in coarse.timeline] == [(0, 1), (1, 1.5)]
    assert coarse.timeline[0].label == max(first, key=first.__getitem__)
    assert coarse.timeline[0].confidence == pytest.approx(max(first.values()), abs=1e-5)
    assert coarse.probabilities == pytest.approx(result.probabilities, abs=1e-5)
    fine = classify_file(trained, classifier, video, SamplingOptions(), every=0.25)
    assert [step.start for step in fine.timeline] == [0, 0.25, 0.5, 0.75, 1]


def test_silent_steps_have_no_label(trained: Trained, classifier: Trained, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "a.wav", np.concatenate([tone(0.5), np.zeros(22_050, np.float32), tone(0.5)]))
    result = classify_file(trained, classifier, sound, SamplingOptions(), every=0.5)
    assert [step.label is None for step in result.timeline] == [False, True, False]
    assert (result.chunks, result.given, result.timeline[1].confidence) == (2, ("audio",), None)
    silent = write_wav(tmp_path / "b.wav", np.zeros(50_000, np.float32))
    result = classify_file(trained, classifier, silent, SamplingOptions(), every=0.5)
    assert (result.label, result.chunks, [step.label for step in result.timeline]) == (None, 2, [None, None])


def test_a_sound_without_a_timeline_is_classified_by_its_loudest_half_second(
    trained: Trained, classifier: Trained, tmp_path: Path
) -> None:
    sound = write_wav(tmp_path / "a.wav", np.concatenate([tone(1, level=0.01), tone(0.5, 300), tone(1, level=0.01)]))
    result = classify_file(trained, classifier, sound, SamplingOptions())
    assert (result.chunks, result.timeline) == (1, ())
    assert result.probabilities == classify_file(trained, classifier, sound, SamplingOptions(at=1.0)).probabilities


def test_pictures_have_no_timeline(trained: Trained, classifier: Trained, tmp_path: Path) -> None:
    picture = write_jpg(tmp_path / "player.jpg", plain((180, 40, 30)))
    assert classify_file(trained, classifier, picture, SamplingOptions(), every=0.5).timeline == ()


@pytest.mark.parametrize("every", [0.0, -1.0, float("nan"), float("inf")])
def test_an_invalid_step_is_refused(trained: Trained, classifier: Trained, every: float) -> None:
    with pytest.raises(ConfigError, match=r"choose 0\.01 s or more"):
        classify_file(trained, classifier, Path("a.wav"), SamplingOptions(), every)


def test_long_media_are_read_as_they_are_classified(
    trained: Trained, classifier: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory holds only the half seconds that are classified at once, and the blocks that are read at once."""
    sound = write_wav(tmp_path / "a.wav", tone(30, 300))
    monkeypatch.setattr("cmcgan_core.inference.classify.HALF_SECONDS_PER_BATCH", 4)
    requested: list[int] = []
    ahead: list[int] = []
    original_at = Windows.at

    def at(self: Windows, second: float) -> np.ndarray | None:
        requested.append(round(second * 2))
        return original_at(self, second)

    monkeypatch.setattr(Windows, "at", at)
    result = classify_file(
        trained,
        classifier,
        sound,
        SamplingOptions(),
        0.5,
        on_progress=lambda progress: ahead.append(max(requested) - progress.done),
    )
    assert len(result.timeline) == 60
    assert max(ahead) <= 1


def test_the_error_of_a_bad_file_is_yielded_in_its_place(trained: Trained, classifier: Trained, tmp_path: Path) -> None:
    good = write_wav(tmp_path / "a.wav", tone(1))
    bad, text = tmp_path / "b.wav", tmp_path / "notes.txt"
    bad.write_text("no sound")
    text.write_text("not a media file")
    reported: list[int] = []
    results = list(
        classify_all(
            trained,
            classifier,
            [[good], [bad], [text], [good]],
            SamplingOptions(),
            on_progress=lambda progress: reported.append(progress.done),
        )
    )
    assert [isinstance(result, MediaError) for result in results] == [False, True, True, False]
    assert "b.wav" in str(results[1])
    assert "notes.txt: is neither a sound, a picture nor a video" in str(results[2])
    assert results[0] == results[3]
    assert reported == [1, 2, 3, 4]


def test_a_sound_and_a_picture_are_one_performance_in_any_order(
    trained: Trained, classifier: Trained, tmp_path: Path
) -> None:
    sound = write_wav(tmp_path / "a.wav", tone(1))
    picture = write_jpg(tmp_path / "player.jpg", plain((180, 40, 30)))
    first, second = classify_all(trained, classifier, [[sound, picture], [picture, sound]], SamplingOptions())
    assert first == second == classify_files(trained, classifier, sound, picture, SamplingOptions())
    with pytest.raises(ConfigError, match="one sound and one picture"):
        list(classify_all(trained, classifier, [[sound, sound]], SamplingOptions()))
