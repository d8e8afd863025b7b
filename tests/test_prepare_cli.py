"""`cmcgan prepare` prints what it made, lists what it skipped, and sets its exit code."""

import json

import pytest
from media_fixtures import class_folders, sub_urmp
from typer.testing import CliRunner

from cmcgan_cli.app import app
from cmcgan_core.data import prepare as preparation


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """A Sub-URMP of six songs of three pairs."""
    names = [f"train/{label}/{label}{n:02d}" for label in ("violin", "tuba") for n in range(3)]
    return sub_urmp(tmp_path_factory.mktemp("source") / "Sub-URMP", {name: [500, 1000, 1500] for name in names})


def test_the_command_prints_a_table_or_one_json_document(songs, tmp_path):
    runner = CliRunner()
    arguments = ["prepare", str(songs), "--out", str(tmp_path / "out"), "--workers", "1"]
    result = runner.invoke(app, [*arguments, "--dry-run", "--json"])
    assert json.loads(result.stdout)["pairs"] == 18
    assert not (tmp_path / "out").exists()
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0
    assert "18 pairs of 6 recordings" in result.stdout
    result = runner.invoke(app, [*arguments, "--json"])
    assert json.loads(result.stdout)["already_complete"] is True
    assert result.exit_code == 0
    result = runner.invoke(app, ["prepare", "--check", str(tmp_path / "out"), "--json"])
    assert json.loads(result.stdout) == {"dataset": str(tmp_path / "out"), "ok": True, "faults": []}
    (tmp_path / "out" / "index.csv").unlink()
    result = runner.invoke(app, ["prepare", "--check", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "missing: index.csv" in result.stdout


def test_demo_is_the_demonstration_set_unless_a_folder_has_that_name(songs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["prepare", "demo", "--dry-run", "--json"]
    rendered = json.loads(CliRunner().invoke(app, command).stdout)
    assert (rendered["source"], len(rendered["counts"]["train"])) == ("DemoSource", 13)
    assert 4900 < rendered["pairs"] <= 5000
    (tmp_path / "demo").symlink_to(songs)
    assert json.loads(CliRunner().invoke(app, command).stdout)["pairs"] == 18


def test_the_command_lists_skipped_files_on_stderr_and_exits_1(tmp_path):
    songs = sub_urmp(tmp_path / "songs", {"train/oboe/oboe00": list(range(500, 14000, 500))})
    for n in range(500, 13000, 500):
        (songs / f"chunk/train/oboe/oboe00_{n}.wav").unlink()
    for already_complete in (False, True):
        result = CliRunner().invoke(app, ["prepare", str(songs), "--out", str(tmp_path / "out"), "--quiet", "--json"])
        assert result.exit_code == 1
        assert json.loads(result.stdout)["already_complete"] is already_complete
        assert len(json.loads(result.stdout)["skipped"]) == 25
        assert result.stderr.count("has no sound") == 20
        assert "and 5 more, see skipped.csv" in result.stderr


def test_brackets_in_names_are_printed_as_they_are(tmp_path):
    root = class_folders(tmp_path / "my [set]", ["sax [alto]"], sounds=2)
    (root / "photos" / "[red] tuba").mkdir()
    for more in (["--dry-run"], []):
        result = CliRunner().invoke(app, ["prepare", str(root), "--out", str(tmp_path / "[out]"), *more])
        assert "sax [alto]" in result.stdout
        assert "skipped [red] tuba: the class" in result.stderr
    assert "[out]: 4 pairs" in result.stdout


def test_ctrl_c_prints_how_to_resume(songs, tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(preparation, "prepare", interrupted)
    result = CliRunner().invoke(app, ["prepare", str(songs), "--out", str(tmp_path / "out")])
    assert result.exit_code == 130
    assert "finished recordings are kept; the same command resumes" in result.stderr


def test_a_wrong_split_is_a_wrong_command_line(songs):
    assert CliRunner().invoke(app, ["prepare", str(songs), "--split", "0.7,0.3"]).exit_code == 2


def test_scene_and_pairs_choose_the_demonstration_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts = {}
    for scene in ("studio", "rooms"):
        arguments = ["prepare", "demo", "--scene", scene, "--pairs", "312", "--dry-run", "--json"]
        counts[scene] = json.loads(CliRunner().invoke(app, arguments).stdout)["counts"]
    assert list(counts["studio"]) == ["train", "validation", "test", "new-players", "new-rooms"]
    assert list(counts["rooms"]) == ["train", "validation", "test"]
    assert {sum(sum(classes.values()) for classes in splits.values()) for splits in counts.values()} == {312}


@pytest.mark.parametrize(("option", "value"), [("--scene", "rooms"), ("--pairs", "312"), ("--soundfont", "a.sf2")])
def test_options_of_the_demonstration_set_are_refused_for_a_folder(songs, option, value):
    result = CliRunner().invoke(app, ["prepare", str(songs), option, value])
    assert result.exit_code == 2
    assert "this option needs the SOURCE demo" in result.stderr
