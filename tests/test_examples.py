import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import CLASSES
from media_fixtures import plain, tone, write_video, write_wav

from cmcgan_core.media import film

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(*command: object, cwd: Path) -> str:
    """Run an example as a user would, with the `cmcgan` of this environment on the path."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    result = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_sounds_to_pictures(tiny_run: Path, tmp_path: Path) -> None:
    sounds = tmp_path / "some sounds"
    sounds.mkdir()
    for name in ("a b.wav", "c.flac"):
        soundfile.write(sounds / name, 0.3 * np.sin(np.arange(30_000) / 20), 44_100)
    run(EXAMPLES / "sounds_to_pictures.sh", sounds, "made", tiny_run, cwd=tmp_path)
    assert len((tmp_path / "made" / "made.jsonl").read_text().splitlines()) == 2
    assert sorted(p.name for p in (tmp_path / "made").glob("*.png")) == [
        f"{n}-{i}.png" for n in ("a b", "c") for i in range(1, 5)
    ]


def test_sounds_to_pictures_names_failed_inputs(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "bad.wav").write_text("no sound")
    with pytest.raises(AssertionError, match=r"bad\.wav"):
        run(EXAMPLES / "sounds_to_pictures.sh", "sounds", "made", tiny_run, cwd=tmp_path)


def test_music_video(tiny_run: Path, tmp_path: Path) -> None:
    write_wav(tmp_path / "a song.wav", tone(1.2, 300))
    run(EXAMPLES / "music_video.sh", "a song.wav", "made/video.mp4", tiny_run, cwd=tmp_path)
    tracks = {track.kind: track for track in film.probe(tmp_path / "made" / "video.mp4")}
    assert (tracks["picture"].frames, tracks["picture"].size) == (30, (512, 512))
    assert abs(tracks["sound"].seconds - 1.2) < 0.05


def test_score_silent_films(tiny_run: Path, tmp_path: Path) -> None:
    for name in ("one.mp4", "deep/two reels.mp4"):
        write_video(tmp_path / "films" / name, [plain((200, 50, 50))] * 8)
    run(EXAMPLES / "score_silent_films.sh", "films", "made", tiny_run, cwd=tmp_path)
    for name in ("films/one.soundtrack.mp4", "films/deep/two reels.soundtrack.mp4"):
        assert {track.kind for track in film.probe(tmp_path / "made" / name)} == {"picture", "sound"}


def test_classify_archive(tiny_run: Path, tmp_path: Path) -> None:
    for name in ("a, b.wav", "deep/c.wav"):
        write_wav(tmp_path / "archive" / name, tone(1.0, 300))
    run(EXAMPLES / "classify_archive.sh", "archive", "table.csv", tiny_run, cwd=tmp_path)
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["input"] for row in rows] == ["archive/a, b.wav", "archive/deep/c.wav"]
    assert all(row["label"] in CLASSES for row in rows)


def test_python_api(prepared: Path, tiny_run: Path, tmp_path: Path) -> None:
    # The example resumes a run, so it does not train again what the fixture has trained.
    shutil.copytree(tiny_run, tmp_path / "runs" / f"{prepared.name}-from-python")
    output = run(sys.executable, EXAMPLES / "python_api.py", prepared, "tiny", cwd=tmp_path)
    assert [line.split(":")[0] for line in output.splitlines()] == ["noise", "tone"]


@pytest.mark.slow
def test_first_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, pitch in (("low", 110), ("high", 1760)):
        folder = tmp_path / "bands" / label
        folder.mkdir(parents=True)
        for number in range(8):
            tone = np.sin(2 * np.pi * pitch * np.arange(60_000) / 44_100) + rng.normal(0, 0.05, 60_000)
            soundfile.write(folder / f"{number}.wav", 0.3 * tone, 44_100)
            from PIL import Image

            Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    run(EXAMPLES / "first_model.sh", "bands", "tiny", cwd=tmp_path)
    assert (tmp_path / "runs" / "bands-tiny" / "evaluation.json").read_text().startswith("{")
