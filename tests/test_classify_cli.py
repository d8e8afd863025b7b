import csv
import io
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import CLASSES, Run
from media_fixtures import plain, tone, write_jpg, write_video, write_wav


@pytest.fixture
def run(cmcgan: Run, tiny_run: Path) -> Run:
    """Call `cmcgan classify` with the tiny run and arguments."""
    return partial(cmcgan, "classify", "-c", tiny_run)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder with a sound, a picture, a video, a damaged file and a text file."""
    write_wav(tmp_path / "archive" / "a, b.wav", np.concatenate([tone(0.5), np.zeros(22_050, np.float32), tone(0.5)]))
    write_jpg(tmp_path / "archive" / "deep" / "player.jpg", plain((200, 0, 0)))
    write_video(tmp_path / "archive" / "deep" / "stage.mp4", [plain((0, 200, 0))] * 10, sound=tone(1.05))
    (tmp_path / "archive" / "torn.flac").write_text("no sound")
    (tmp_path / "archive" / "notes.txt").write_text("about them")
    return tmp_path / "archive"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_becomes_a_table_and_damaged_files_are_named(run: Run, archive: Path) -> None:
    code, out, err = run("--from", archive, "--csv", "--quiet")
    table = {row["input"]: row for row in rows(out)}
    assert code == 1
    assert err.startswith(f"error: {archive / 'torn.flac'}")
    assert len(err.splitlines()) == 1
    assert set(table) == {
        str(archive / name) for name in ("a, b.wav", "deep/player.jpg", "deep/stage.mp4", "torn.flac")
    }
    sound, picture, video, torn = (
        table[str(archive / n)] for n in ("a, b.wav", "deep/player.jpg", "deep/stage.mp4", "torn.flac")
    )
    assert [(row["given"], row["generated"]) for row in (sound, picture, video, torn)] == [
        ("audio", "visual"),
        ("visual", "audio"),
        ("audio+visual", ""),
        ("", ""),
    ]
    assert all(row["label"] in CLASSES and 1 / 3 <= float(row["confidence"]) <= 1 for row in (sound, picture, video))
    assert "torn.flac" in torn["error"]
    assert (sound["start"], sound["error"]) == ("", "")


def test_a_timeline_has_one_row_per_step(run: Run, archive: Path) -> None:
    code, out, _ = run("--from", archive / "a, b.wav", "--from", archive / "deep", "--every", 0.5, "--csv")
    assert code == 0
    sound_rows = [row for row in rows(out) if row["input"].endswith(".wav")]
    assert [(row["start"], row["end"]) for row in sound_rows] == [("0.0", "0.5"), ("0.5", "1.0"), ("1.0", "1.5")]
    assert [row["label"] == row["confidence"] == "" for row in sound_rows] == [False, True, False]
    assert [row["start"] for row in rows(out) if row["input"].endswith(".jpg")] == [""]


def test_json_is_one_line_per_result(run: Run, archive: Path) -> None:
    names = [archive / "a, b.wav", archive / "torn.flac", archive / "deep/stage.mp4"]
    code, out, _ = run("--from", "-", "--every", 0.5, "--json", listed="".join(f"{name}\n" for name in names))
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [line["input"] for line in lines] == [[str(name)] for name in names]
    assert [len(line.get("timeline", [])) for line in lines] == [3, 0, 2]
    assert lines[0]["timeline"][1] == {
        "start": 0.5,
        "end": 1.0,
        "label": None,
        "confidence": None,
        "unlike_training": None,
    }
    assert "torn.flac" in lines[1]["error"]
    assert lines[2]["error"] is None
    assert lines[2]["confidence"] == lines[2]["probabilities"][lines[2]["label"]]


def test_text_is_one_line_per_input_and_per_run_of_one_class(run: Run, archive: Path) -> None:
    code, out, err = run("--from", archive / "a, b.wav", "--every", 0.25)
    first, *timeline = out.splitlines()
    assert code == 0
    assert first.startswith(f"{archive / 'a, b.wav'}: ")
    assert first.endswith("(sound given; picture filled in by the generator)")
    assert [line.split()[:3] for line in timeline if "(silent)" in line] == [["0.50", "to", "0.75"]]
    assert "half seconds" in err  # progress
    # A whole number of periods fits into a step, so all steps of this sound are equal.
    steady = write_wav(archive / "steady.wav", tone(2))
    steps = rows(run("--from", steady, "--every", 0.25, "--csv")[1])
    _, *timeline = run("--from", steady, "--every", 0.25)[1].splitlines()
    merged = [line.partition("mean of ")[2].partition(" steps")[0] for line in timeline]
    assert sum(int(count or 1) for count in merged) == len(steps) > len(timeline)
    _, out, _ = run("--from", f"{archive}/**/*.*p*g")
    assert out.splitlines()[0].startswith("picture given")


def test_a_sound_and_a_picture_are_one_performance_only_if_both_are_named(run: Run, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "both" / "a.wav", tone(1))
    picture = write_jpg(tmp_path / "both" / "b.jpg", plain((200, 0, 0)))
    for sources in ([sound, picture], [picture, sound]):
        code, out, _ = run(*(word for source in sources for word in ("--from", source)), "--json")
        assert code == 0
        assert [json.loads(line)["given"] for line in out.splitlines()] == [["audio", "visual"]]
    for separate in (["--from", tmp_path / "both"], ["--from", sound, "--from", f"{tmp_path}/both/*.jpg"]):
        _, out, _ = run(*separate, "--json")
        assert [json.loads(line)["given"] for line in out.splitlines()] == [["audio"], ["visual"]]
    code, _, err = run("--from", sound, "--from", picture, "--every", 1)
    assert code == 2
    assert "have no timeline" in err


@pytest.mark.parametrize("options", [["--csv", "--json"], ["--every", "1", "--at", "0"]])
def test_options_that_exclude_each_other_are_refused(run: Run, archive: Path, options: list[str]) -> None:
    code, out, _ = run("--from", archive, *options)
    assert (code, out) == (2, "")


def test_an_invalid_step_is_refused(run: Run, archive: Path) -> None:
    code, _, err = run("--from", archive / "a, b.wav", "--every", 0)
    assert code == 1
    assert err.splitlines()[-1] == "error: a timeline cannot have steps of 0 s; choose 0.01 s or more"
