from pathlib import Path

import pytest

from cmcgan_core.errors import ConfigError
from cmcgan_core.inference.inputs import Input, expand, split_list


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Media and other files in nested folders."""
    for name in ("b.wav", "a.JPG", "notes.txt", "deep/c.mp4", "deep/down/b.flac", ".hidden.wav", ".trash/d.wav"):
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "clips"


def names(inputs: list[Input]) -> list[str]:
    return [item.relative.as_posix() for item in inputs]


def test_a_folder_gives_its_media_and_their_relative_paths(clips: Path) -> None:
    inputs = expand([str(clips)])
    assert names(inputs) == ["a.JPG", "b.wav", "deep/c.mp4", "deep/down/b.flac"]
    assert all(item.path == clips / item.relative for item in inputs)


def test_outputs_below_a_searched_folder_are_not_inputs(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clips / "made").mkdir()
    (clips / "made" / "b.png").touch()
    assert names(expand([str(clips)], clips / "made")) == ["a.JPG", "b.wav", "deep/c.mp4", "deep/down/b.flac"]
    monkeypatch.chdir(clips.parent)
    assert len(expand(["clips"], Path())) == 5
    with pytest.raises(ConfigError, match="choose another --out"):
        expand(["clips"], clips)


def test_a_pattern_gives_its_matches_relative_to_its_fixed_part(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(expand([f"{clips}/**/*.flac"])) == ["deep/down/b.flac"]
    assert names(expand([f"{clips}/deep/*"])) == ["c.mp4"]
    monkeypatch.chdir(clips)
    assert names(expand(["*.wav"], Path())) == ["b.wav"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "take [1].wav").touch()
    (tmp_path / "take 1.wav").touch()
    assert names(expand([f"{tmp_path}/take [1].wav"])) == ["take [1].wav"]


def test_a_list_has_one_file_per_line_or_is_separated_by_nul() -> None:
    assert names(expand(["-"], listed="./a/x.wav\nb/y z.png\n\n/c/z.wav\n../d.wav")) == [
        "a/x.wav",
        "b/y z.png",
        "z.wav",
        "d.wav",
    ]
    assert split_list("a\nb.wav\0c.wav\0") == ["a\nb.wav", "c.wav"]


def test_each_file_is_an_input_once_and_need_not_exist(clips: Path) -> None:
    inputs = expand([str(clips / "b.wav"), "missing.wav", str(clips)])
    assert names(inputs) == ["b.wav", "missing.wav", "a.JPG", "deep/c.mp4", "deep/down/b.flac"]


@pytest.mark.parametrize("source", ["{}/deep/*.xyz", "{}/empty"])
def test_a_source_without_media_is_named(clips: Path, source: str) -> None:
    (clips / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no sound, picture or video"):
        expand([source.format(clips)])
