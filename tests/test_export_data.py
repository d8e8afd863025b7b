"""Exports hold every value of a dataset, other tools read them, and an interrupted export resumes."""

import io
import json
import os
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import CLASSES, COUNTS, Run
from media_fixtures import class_folders
from PIL import Image

from cmcgan_core.data.dataset import PairDataset, open_dataset
from cmcgan_core.data.export import export_dataset, plan_export
from cmcgan_core.data.prepare import SourceOptions, check, prepare
from cmcgan_core.data.prepare.tars import scan_tar
from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.progress import Progress

OPTIONS = SourceOptions()


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a folder by name."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def members_of(tar: Path) -> dict[str, bytes]:
    """Return the content of every file of a tar file by name."""
    with tarfile.open(tar) as opened:
        return {entry.name: opened.extractfile(entry).read() for entry in opened}


def assert_same_pair(picture: np.ndarray, spectrogram: np.ndarray, dataset: PairDataset, item: int) -> None:
    stored = dataset.read([item])
    np.testing.assert_array_equal(picture, stored.pictures[0])
    np.testing.assert_array_equal(spectrogram, stored.spectrograms[0])


def test_shards_hold_every_pair(prepared: Path, tmp_path: Path) -> None:
    report = export_dataset(prepared, tmp_path / "out", "webdataset", pairs_per_file=20, workers=1)
    names = [f"train-00000{i}.tar" for i in range(3)] + ["validation-000000.tar", "test-000000.tar"]
    assert sorted(p.name for p in (tmp_path / "out").glob("*.tar")) == sorted(names)
    assert [shard.pairs for shard in report.shards] == [20, 20, 8, 9, 12]
    test = open_dataset(prepared).split("test")
    members = members_of(tmp_path / "out" / "test-000000.tar")
    assert list(members)[:3] == ["00000057.png", "00000057.npy", "00000057.json"]
    for item, pair in enumerate(test.pairs):
        png, npy, about = (members[f"{57 + item:08d}.{suffix}"] for suffix in ("png", "npy", "json"))
        assert_same_pair(np.asarray(Image.open(io.BytesIO(png))), np.load(io.BytesIO(npy)), test, item)
        assert json.loads(about) == {**pair._asdict(), "class": CLASSES.index(pair.label)}


def test_an_export_says_what_it_holds(prepared: Path, tmp_path: Path) -> None:
    report = export_dataset(prepared, tmp_path / "out", "webdataset", pairs_per_file=30, workers=1)
    about = json.loads((tmp_path / "out" / "cmcgan.json").read_text())
    assert about["classes"] == list(CLASSES)
    assert about["features"]["bins"] == 128
    assert {s: sum(f["pairs"] for f in files) for s, files in about["splits"].items()} == {
        split: 3 * count for split, count in COUNTS.items()
    }
    index = json.loads((tmp_path / "out" / "train.wids.json").read_text())
    sizes = {p.name: p.stat().st_size for p in (tmp_path / "out").glob("train-*.tar")}
    shards = [{"url": name, "nsamples": n, "filesize": sizes[name]} for name, n in zip(sizes, (30, 18), strict=True)]
    assert sorted(index["shardlist"], key=lambda shard: shard["url"]) == sorted(shards, key=lambda shard: shard["url"])
    assert index["wids_version"] == 1
    assert sum(shard.bytes for shard in report.shards) == sum(
        p.stat().st_size for p in (tmp_path / "out").glob("*.tar")
    )


def test_the_same_dataset_gives_the_same_bytes(prepared: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_dataset(prepared, tmp_path / name, "webdataset", pairs_per_file=30, workers=1)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


@pytest.mark.slow
def test_several_processes_give_the_same_bytes(prepared: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        export_dataset(prepared, tmp_path / str(workers), "webdataset", pairs_per_file=30, workers=workers)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_prepare_reads_an_export_back(tmp_path: Path) -> None:
    # Names with a percent sign are escaped in the index, and must not be escaped again.
    source = class_folders(tmp_path / "source", ["Flöte", "tuba"], sounds=5)
    (source / "recordings" / "tuba" / "take 0.wav").rename(source / "recordings" / "tuba" / "50%41 %E9 \udce9.wav")
    prepare(source, tmp_path / "first", None, OPTIONS, workers=1)
    export_dataset(tmp_path / "first", tmp_path / "shards", "webdataset", pairs_per_file=7, workers=1)
    report = prepare(tmp_path / "shards", tmp_path / "second", None, OPTIONS, workers=1)
    assert not report.skipped
    assert not check(tmp_path / "second")
    first, second = files_of(tmp_path / "first"), files_of(tmp_path / "second")
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} == {"dataset.toml"}
    assert open_dataset(tmp_path / "first").content == open_dataset(tmp_path / "second").content != ""
    assert prepare(tmp_path / "shards", tmp_path / "second", None, OPTIONS, workers=1).already_complete


def interrupt_after(files: int):
    """Return an `on_progress` that interrupts an export when it has written this number of files."""
    reports: list[int] = []

    def on_progress(progress: Progress) -> None:
        reports.append(progress.done)
        if len(reports) > files:
            raise KeyboardInterrupt

    return on_progress


def test_an_interrupted_export_resumes_with_the_same_result(prepared: Path, tmp_path: Path) -> None:
    out, done = tmp_path / "out", []
    with pytest.raises(KeyboardInterrupt):
        export_dataset(prepared, out, "webdataset", pairs_per_file=20, workers=1, on_progress=interrupt_after(2))
    assert not (out / "cmcgan.json").exists()
    kept = {p.name: p.stat().st_mtime_ns for p in out.glob("*.tar")}
    assert kept.keys() == {"train-000000.tar", "train-000001.tar"}
    (out / ".train-000002.tar.x.cmcgan.tmp").write_bytes(b"half")
    export_dataset(
        prepared,
        out,
        "webdataset",
        pairs_per_file=20,
        workers=1,
        on_progress=lambda progress: done.append(progress.done),
    )
    assert done == [40, 48, 57, 69]
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept
    export_dataset(prepared, tmp_path / "whole", "webdataset", pairs_per_file=20, workers=1)
    assert files_of(out) == files_of(tmp_path / "whole")


def test_only_an_own_folder_is_written(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("")
    for name, message in (("file", "is a file"), ("foreign", r"contains other files \(thesis\.tex\)")):
        with pytest.raises(DataError, match=message):
            export_dataset(prepared, tmp_path / name, "webdataset")
    out = tmp_path / "out"
    assert not export_dataset(prepared, out, "webdataset", workers=1).already_complete
    before = files_of(out)
    assert export_dataset(prepared, out, "webdataset", workers=1).already_complete
    with pytest.raises(DataError, match="with other settings; delete it"):
        export_dataset(prepared, out, "webdataset", pairs_per_file=5)
    (out / "cmcgan.json").rename(out / ".cmcgan.json")
    with pytest.raises(DataError, match="unfinished export of other data or settings"):
        export_dataset(prepared, out, "webdataset", pairs_per_file=5)
    (out / ".cmcgan.json").rename(out / "cmcgan.json")
    assert files_of(out) == before


def test_a_damaged_dataset_is_not_exported(tmp_path: Path) -> None:
    prepare(class_folders(tmp_path / "source", ["flute", "tuba"]), tmp_path / "data", None, OPTIONS, workers=1)
    shard = tmp_path / "data" / "shards" / "00000.pictures.npy"
    os.truncate(shard, shard.stat().st_size - 1)
    with shard.open("ab") as file:
        file.write(b"\x99")
    with pytest.raises(DataError, match=r"pair .* differs from its checksum; see: cmcgan prepare --check"):
        export_dataset(tmp_path / "data", tmp_path / "out", "webdataset", workers=1)


def test_pairs_without_a_split_are_refused(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "data")
    index = (tmp_path / "data" / "index.csv").read_text()
    (tmp_path / "data" / "index.csv").write_text(index.replace(",train,", ",,", 1))
    with pytest.raises(DataError, match="has pairs without a split"):
        plan_export(tmp_path / "data", "webdataset")


def test_a_missing_package_is_named(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'cmcgan\[hf\]'"):
        export_dataset(prepared, tmp_path / "out", "hf")
    assert not (tmp_path / "out").exists()


def test_the_command_line(cmcgan: Run, prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, text, _ = cmcgan("export-data", prepared, out, "--to", "webdataset", "--dry-run")
    assert (code, text.splitlines()) == (
        0,
        ["train: 48 pairs in 1 file", "validation: 9 pairs in 1 file", "test: 12 pairs in 1 file"],
    )
    assert not out.exists()
    code, text, _ = cmcgan("export-data", prepared, out, "--to", "webdataset", "--json", "-q", "--workers", 1)
    assert code == 0
    document = json.loads(text)
    assert (document["pairs"], document["splits"]["test"]["pairs"], document["already_complete"]) == (69, 12, False)
    code, text, said = cmcgan("export-data", prepared, out, "--to", "webdataset", "--workers", 1)
    assert code == 0
    assert "69 pairs in 3 files" in text
    assert "nothing was done" in said
    assert cmcgan("export-data", prepared, out, "--to", "zip")[0] == 2
    code, _, said = cmcgan("export-data", tmp_path / "missing", out, "--to", "webdataset")
    assert (code, "is not a prepared dataset" in said) == (1, True)


def test_the_library_webdataset_reads_the_shards(prepared: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    export_dataset(prepared, tmp_path / "out", "webdataset", pairs_per_file=20, workers=1)
    shards = str(tmp_path / "out" / "train-{000000..000002}.tar")
    train = open_dataset(prepared).split("train")
    read = list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))
    assert len(read) == len(train)
    for item, sample in enumerate(read):
        assert_same_pair(sample["png"], sample["npy"], train, item)
        assert sample["json"]["id"] == train.pairs[item].id
        assert sample["__key__"] == f"{item:08d}"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The package `datasets`, offline and with a cache of its own."""
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hub"))
    return datasets


def rename_split(data: Path, old: str, new: str) -> None:
    """Rename a split of a dataset."""
    index = (data / "index.csv").read_text()
    (data / "index.csv").write_text(index.replace(f",{old},", f",{new},"))


def test_hugging_face_datasets_reads_the_parquet_files(hub, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "data")
    rename_split(tmp_path / "data", "validation", "new-players")
    export_dataset(tmp_path / "data", tmp_path / "out", "hf", pairs_per_file=20, workers=1)
    loaded = hub.load_dataset(str(tmp_path / "out"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 48, "new_players": 9, "test": 12}
    features = loaded["test"].features
    assert features["image"] == hub.Image()
    assert features["spectrogram"] == hub.Array2D((128, 44), "float16")
    assert features["label"].names == list(CLASSES)
    dataset = open_dataset(tmp_path / "data").split("train")
    for item, row in enumerate(loaded["train"].with_format("numpy")):
        assert_same_pair(row["image"], row["spectrogram"], dataset, item)
        assert row["label"] == dataset.labels[item]
        assert (row["id"], row["recording"], row["start"]) == (*dataset.pairs[item][0:4:3], dataset.pairs[item].start)
    streamed = hub.load_dataset(str(tmp_path / "out"), split="test", streaming=True)
    assert sum(1 for _ in streamed) == 12


def test_hugging_face_datasets_reads_the_tar_shards(hub, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "data")
    rename_split(tmp_path / "data", "validation", "train-2")
    export_dataset(tmp_path / "data", tmp_path / "out", "webdataset", pairs_per_file=20, workers=1)
    loaded = hub.load_dataset(str(tmp_path / "out"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 48, "train_2": 9, "test": 12}
    dataset = open_dataset(tmp_path / "data").split("train")
    for item in (0, 30, 47):
        row = loaded["train"][item]
        assert_same_pair(np.asarray(row["png"]), np.array(row["npy"], np.float16), dataset, item)
        assert row["json"]["label"] == dataset.pairs[item].label


def test_the_same_dataset_gives_the_same_parquet_files(prepared: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for name in ("a", "b"):
        export_dataset(prepared, tmp_path / name, "hf", pairs_per_file=30, workers=1)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_the_header_of_the_card_is_yaml(prepared: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    yaml = pytest.importorskip("yaml")
    shutil.copytree(prepared, tmp_path / "data")
    for name in ("index.csv", "dataset.toml"):
        text = (tmp_path / "data" / name).read_text()
        (tmp_path / "data" / name).write_text(text.replace("cello", "no: 'ñ' #1"))
    export_dataset(tmp_path / "data", tmp_path / "out", "hf", workers=1)
    header = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---\n")[1])
    features = {feature["name"]: feature["dtype"] for feature in header["dataset_info"]["features"]}
    assert features["label"]["class_label"]["names"] == {"0": "no: 'ñ' #1", "1": "flute", "2": "tuba"}
    assert [split["num_examples"] for split in header["dataset_info"]["splits"]] == [48, 9, 12]
    assert header["configs"][0]["data_files"][0] == {"split": "train", "path": "data/train-*"}


def test_two_splits_of_one_name_are_refused(prepared: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    shutil.copytree(prepared, tmp_path / "data")
    rename_split(tmp_path / "data", "validation", "new-players")
    rename_split(tmp_path / "data", "test", "new players")
    with pytest.raises(DataError, match="have the same name in this layout"):
        plan_export(tmp_path / "data", "hf")


def test_an_exported_shard_is_a_sound_tar_file(prepared: Path, tmp_path: Path) -> None:
    export_dataset(prepared, tmp_path / "out", "webdataset", workers=1)
    samples, fault = scan_tar(tmp_path / "out" / "train-000000.tar")
    assert (len(samples), fault) == (48, None)
