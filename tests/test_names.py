"""Names that come from data never lead out of a folder."""

from pathlib import Path

import numpy as np
import pytest
from conftest import write_dataset

from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.prepare.pipeline import plan
from cmcgan_core.data.prepare.recording import Recording, SourceOptions
from cmcgan_core.data.prepare.shards import check
from cmcgan_core.errors import DataError
from cmcgan_core.human_eval.draw import RealPair, write_pairs
from cmcgan_core.utils import names
from cmcgan_core.utils.names import name_fault, path_below

BAD = [
    "../home/pictures",
    "/x",
    "..",
    ".",
    "",
    " ",
    "a/b",
    "a\\b",
    "a\nb",
    "a\0b",
    "a\x7fb",
    "\u2028",
    "\udce9",
    "ä" * 101,
]
GOOD = ["cello", "double bass", "Flöte", "二胡", "a.b", "...", "it's (1)", "x:y", ".hidden", "100 %", "क्ष"]


@pytest.mark.parametrize("name", BAD)
def test_bad_names_are_refused(tmp_path, name):
    assert name_fault(name)
    with pytest.raises(DataError, match="cannot be a name in"):
        path_below(tmp_path, name)


@pytest.mark.parametrize("name", GOOD)
def test_ordinary_names_are_allowed(tmp_path, name):
    assert path_below(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("x:y", "contains :, which Windows does not allow"),
        ('"who?"', 'contains " \\?, which'),
        ("a.", "ends with a dot or a space"),
        ("...", "ends with a dot"),
        ("a ", "ends with a dot or a space"),
        ("con", "is the name of a device"),
        ("Aux .tar.gz", "is the name of a device"),
        ("COM¹.wav", "is the name of a device"),
        ("contrabass", None),
        ("com10", None),
        (".hidden", None),
        ("Flöte 1.a", None),
    ],
)
def test_on_windows_its_own_rules_hold_too(tmp_path, monkeypatch, name, fault):
    assert path_below(tmp_path, name) == tmp_path / name
    monkeypatch.setattr(names, "WINDOWS", True)
    if fault is None:
        assert path_below(tmp_path, name) == tmp_path / name
    else:
        with pytest.raises(DataError, match=f"cannot be a name in .*: it {fault}"):
            path_below(tmp_path, name)


def rename_class(data: Path, name: str) -> Path:
    """Replace the class cello of a dataset, in all of its files."""
    for file in (data / "dataset.toml", data / "index.csv"):
        quoted = f'"{name}"' if file.suffix == ".toml" else f",{name},"
        file.write_text(file.read_text().replace('"cello"' if file.suffix == ".toml" else ",cello,", quoted))
    return data


@pytest.mark.parametrize("name", ["../home/pictures", "/x", "", ".."])
def test_datasets_with_bad_classes_are_refused(tmp_path, name, cmcgan):
    data = rename_class(write_dataset(tmp_path / "data"), name)
    with pytest.raises(DataError, match=r"dataset\.toml cannot be read \(the class .* see: cmcgan prepare --check"):
        open_dataset(data)
    assert any(repr(name) in fault for fault in check(data))
    code, _, said = cmcgan("human-eval", "inputs", data, "--out", tmp_path / "a" / "b")
    assert code == 1
    assert "dataset.toml" in said
    assert not list(tmp_path.rglob("*.wav"))


def test_check_finds_a_bad_class_that_only_the_index_has(tmp_path):
    data = write_dataset(tmp_path / "data")
    (data / "index.csv").write_text((data / "index.csv").read_text().replace(",cello,", ",../x,"))
    (fault,) = check(data)
    assert "index.csv" in fault
    assert "'../x'" in fault


def test_classes_with_spaces_and_letters_of_all_scripts_can_be_used(tmp_path):
    assert open_dataset(rename_class(write_dataset(tmp_path / "data"), "Flöte 二胡")).classes[0] == "Flöte 二胡"


@pytest.mark.parametrize("label", ["../x", "/x", "a/b"])
def test_labels_that_cannot_name_a_folder_are_refused_with_their_line(tmp_path, label):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mp4").write_bytes(b"")
    (tmp_path / "labels.csv").write_text(f'file,label\na.mp4,"{label}"\n')
    with pytest.raises(DataError, match=r"labels\.csv, line 2: the class .* rename it"):
        plan(tmp_path / "films", None, SourceOptions(labels=tmp_path / "labels.csv"))


def test_classes_of_sources_that_cannot_name_a_folder_are_refused(tmp_path):
    class Source:
        identity = "test/1"

        def recordings(self, root, options):
            return [Recording(name, name, pairs=1) for name in ("flute", "a/../b")], []

    with pytest.raises(DataError, match=r"the class 'a/\.\./b' contains a slash or a backslash; rename it"):
        plan(tmp_path, Source(), SourceOptions())


@pytest.mark.parametrize(("label", "name"), [("../out", "a"), ("/tmp", "a"), ("a", "x/\n")])
def test_pairs_are_never_written_outside_their_folder(tmp_path, label, name):
    pair = RealPair(f"{label}/{name}", label, np.zeros(100, np.float32), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="cannot be a name in"):
        write_pairs([pair], tmp_path / "out")
    assert not list(tmp_path.rglob("*.*"))
