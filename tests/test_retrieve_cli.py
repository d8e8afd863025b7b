import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from media_fixtures import plain, tone, write_jpg, write_video, write_wav
from PIL import Image
from retrieve_fixtures import HIGH, LOW, make_embedder


@pytest.fixture
def run(cmcgan: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call `cmcgan retrieve` with an embedder that can be computed by hand."""
    embedder = make_embedder(tmp_path / "model.safetensors")
    monkeypatch.setattr("cmcgan_core.inference.retrieve.embedding.load_embedder", lambda checkpoint, device: embedder)
    monkeypatch.setenv("CMCGAN_INDEX", str(tmp_path / "index"))
    return lambda *arguments, **options: cmcgan("retrieve", *arguments, **options)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder with pictures, sounds, copies, a damaged file and a text file."""
    write_jpg(tmp_path / "media" / "red.png", plain((250, 5, 5)))
    write_jpg(tmp_path / "media" / "deep" / "blue.png", plain((5, 5, 250)))
    write_wav(tmp_path / "media" / "low, long.wav", np.concatenate([tone(1, HIGH), tone(0.5, LOW), tone(1, HIGH)]))
    write_wav(tmp_path / "media" / "high.wav", tone(0.8, HIGH))
    shutil.copy(tmp_path / "media" / "red.png", tmp_path / "media" / "deep" / "copy.png")
    shutil.copy(tmp_path / "media" / "high.wav", tmp_path / "media" / "deep" / "copy.wav")
    (tmp_path / "media" / "torn.png").write_text("no picture")
    (tmp_path / "media" / "torn.wav").write_text("no sound")
    (tmp_path / "media" / "notes.txt").write_text("about them")
    return tmp_path / "media"


def test_exact_copies_are_found_both_ways_and_damaged_files_are_named(run: Run, media: Path) -> None:
    for query, copy in (("high.wav", "copy.wav"), ("red.png", "copy.png")):
        code, out, err = run("--from", media / query, "--in", media, "--to", "all", "--top", 1)
        assert (code, len(out.splitlines())) == (1, 1)
        assert out.startswith(f" 1.000  {media / 'deep' / copy}")
        errors = [line.split(":")[1].strip() for line in err.splitlines() if line.startswith("error: ")]
        assert sorted(errors) == [str(media / "torn.png"), str(media / "torn.wav")]


def test_text_is_a_line_per_hit_below_its_query(run: Run, media: Path) -> None:
    code, out, err = run("--from", media / "red.png", "--in", f"{media}/*l*.wav")
    assert (code, out) == (0, out)
    assert out.splitlines()[0].split("  ")[1:] == [str(media / "low, long.wav"), "sound at 1 s"]
    assert "searched: 1 files, of which 1 were embedded now" in err
    code, out, err = run("--from", media / "red.png", "--from", media / "deep/blue.png", "--in", media, "-q")
    lines = out.splitlines()
    assert code == 1
    assert [line for line in lines if line.endswith(":")] == [f"{media / 'red.png'}:", f"{media / 'deep/blue.png'}:"]
    assert lines[1] == f"   1.000  {media / 'low, long.wav'}  sound at 1 s"
    assert err == f"error: {err[7:]}"
    assert len(err.splitlines()) == 1  # torn.wav; pictures are not searched


def test_json_is_one_line_per_query(run: Run, media: Path, tmp_path: Path) -> None:
    listed = f"{media / 'red.png'}\n{media / 'torn.png'}\n{media / 'high.wav'}\n"
    code, out, _ = run("--from", "-", "--in", media / "deep", "--to", "visual", "--json", listed=listed)
    first, bad, last = map(json.loads, out.splitlines())
    assert code == 1
    assert {key: first[key] for key in ("query", "modality", "at", "to", "error")} == {
        "query": str(media / "red.png"),
        "modality": "visual",
        "at": None,
        "to": "visual",
        "error": None,
    }
    assert first["hits"][0] == {
        "path": str(media / "deep" / "copy.png"),
        "modality": "visual",
        "score": 1.0,
        "at": None,
    }
    assert first["checkpoint"] == str(tmp_path / "model.safetensors")
    assert {key: first["index"][key] for key in ("files", "embedded", "failed")} == {
        "files": 2,
        "embedded": 2,
        "failed": 0,
    }
    assert Path(first["index"]["path"]).parent == tmp_path / "index"
    assert (bad["hits"], "torn.png" in bad["error"]) == ([], True)
    assert (last["modality"], last["hits"][0]["path"]) == ("audio", str(media / "deep" / "blue.png"))


def test_csv_has_one_row_per_hit(run: Run, media: Path) -> None:
    code, out, _ = run("--from", media / "red.png", "--from", media / "torn.png", "--in", media, "--csv", "--top", 2)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 1
    assert list(rows[0]) == ["query", "rank", "score", "path", "modality", "at", "error"]
    assert (rows[0]["path"], rows[0]["modality"], rows[0]["at"]) == (str(media / "low, long.wav"), "audio", "1.0")
    assert [row["rank"] for row in rows] == ["1", "2", ""]
    assert "torn.png" in rows[2]["error"]


def test_the_sheet_and_the_page_show_query_and_hits(run: Run, media: Path) -> None:
    query = media / os.fsdecode(b"r\xe9d.png")
    (media / "red.png").rename(query)
    for name in ("torn.png", "torn.wav"):
        (media / name).unlink()
    options = ["--sheet", media / "hits.png", "--html", media / "deep" / "hits.html"]
    for _ in range(2):  # the second time, the folder holds the sheet
        code, out, _ = run("--from", query, "--in", media, "--to", "all", *options)
        assert (code, "hits.png" in out, len(out.splitlines())) == (0, False, 5)
    sheet = np.asarray(Image.open(media / "hits.png"))
    assert sheet.shape[1] > 6 * 160
    assert (sheet[60, 60] == (250, 5, 5)).all()  # the query
    assert (sheet[60, 60 + 160 + 24] == (250, 5, 5)).all()  # its copy
    page = (media / "deep" / "hits.html").read_text(encoding="utf-8")
    assert page.count("<figure") == 6
    assert page.count("data:image/png;base64,") == 6
    assert page.count("<audio") == 3
    assert 'src="../low%2C%20long.wav#t=1"' in page
    assert 'href="../r%E9d.png"' in page


def test_the_sheet_shows_the_picture_of_a_video_at_the_time_of_the_hit(run: Run, tmp_path: Path) -> None:
    frames = [plain((250, 5, 5), (96, 48))] * 10 + [plain((5, 250, 5), (96, 48))] * 10
    write_video(tmp_path / "films" / "film.mp4", frames)
    query = write_jpg(tmp_path / "green.png", plain((5, 250, 5)))
    code, out, _ = run("--from", query, "--in", tmp_path / "films", "--to", "visual", "--sheet", tmp_path / "hits.png")
    assert (code, out.endswith("film.mp4  picture at 1 s\n")) == (0, True)
    hit = np.asarray(Image.open(tmp_path / "hits.png"))[12 : 12 + 160, 160 + 36 : 160 + 36 + 160]
    assert hit[80, 80].argmax() == 1
    assert (hit[20, 80] == 255).all()  # the picture is twice as wide as high


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--csv", "--json"], "not both"),
        (["--sheet", "hits.txt"], "not the name of a picture"),
        (["--from", "-", "--in", "-"], "only one of"),
        (["--to", "films"], "films"),
        (["--top", "0"], "top"),
    ],
)
def test_options_that_cannot_be_used_are_refused(run: Run, media: Path, options: list[str], what: str) -> None:
    code, out, err = run("--from", media / "red.png", "--in", media, *options)
    assert (code, out) == (2, "")
    assert what in err


def test_nothing_to_find_is_an_error(run: Run, media: Path) -> None:
    code, out, err = run("--from", media / "red.png", "--in", media / "red.png")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("error: the searched files hold no sounds; choose other ones with --in")
    code, out, err = run("--from", media / "red.png", "--in", media / "red.png", "--to", "visual")
    assert (code, out) == (0, "")
    assert err.splitlines()[-1] == "nothing was found"


def test_a_run_that_does_not_exist_is_named(cmcgan: Run, media: Path, tmp_path: Path) -> None:
    code, _, err = cmcgan("retrieve", "--from", media / "red.png", "--in", media, "-c", tmp_path / "no run")
    assert (code, err.startswith(f"error: {tmp_path / 'no run'} does not exist")) == (1, True)
