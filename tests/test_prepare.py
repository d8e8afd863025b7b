"""`prepare` writes the same dataset with and without interruptions, and lists the files that it cannot use."""

import csv
import errno
import itertools
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from media_fixtures import class_folders, plain, sub_urmp, tone, urmp_piece, write_jpg, write_video, write_wav

from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.prepare import SourceOptions, check, parts, plan, prepare, shards
from cmcgan_core.data.prepare.recording import RawPair, Recording
from cmcgan_core.data.synthetic import DemoSource
from cmcgan_core.errors import DataError
from cmcgan_core.features.representations import analyse
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.media import ffmpeg
from cmcgan_core.media.files import read_picture, read_sound

OPTIONS = SourceOptions()
TAKES = {"train": (0, 1), "validation": (2,)}
SONGS = {
    f"{split}/{label}/{label}{n:02d}": [500, 1000, 1500]
    for split, numbers in TAKES.items()
    for label in ("violin", "tuba")
    for n in numbers
}


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """A Sub-URMP of six songs of three pairs."""
    return sub_urmp(tmp_path_factory.mktemp("source") / "Sub-URMP", SONGS)


@pytest.fixture(scope="module")
def whole(songs, tmp_path_factory):
    """The dataset that an uninterrupted run makes of `songs`."""
    out = tmp_path_factory.mktemp("whole") / "songs"
    prepare(songs, out, None, OPTIONS, workers=1)
    return out


def contents(out):
    """Return the content of every file of a dataset by name, without the name of the dataset (that of the folder)."""
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    files["dataset.toml"] = files["dataset.toml"].replace(f'name = "{out.name}"'.encode(), b"")
    return files


def rows(out):
    with (out / "index.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_dataset_has_the_content_of_its_source_files(songs, whole):
    assert not check(whole)
    about = tomllib.loads((whole / "dataset.toml").read_text())
    assert about["counts"] == {"train": {"tuba": 6, "violin": 6}, "test": {"tuba": 3, "violin": 3}}
    assert about["classes"] == ["tuba", "violin"]
    assert (about["pairs"], about["source"], about["root"], about["name"]) == (18, "sub-urmp", "Sub-URMP", "songs")
    index = rows(whole)
    assert [row["id"] for row in index][3:5] == ["tuba01_000.500", "tuba01_001.000"]
    pictures, levels = (np.load(whole / "shards" / f"00000.{kind}.npy") for kind in ("pictures", "spectrograms"))
    for i in (0, 7, 17):
        sound = torch.from_numpy(read_sound(songs / index[i]["sound_file"], 44_100))
        np.testing.assert_allclose(levels[i], analyse(sound, FeatureSettings()).half(), atol=0.07)
        np.testing.assert_array_equal(pictures[i], read_picture(songs / index[i]["picture_file"], 128))
        assert index[i]["checksum"] == parts.checksum(pictures[i], levels[i])
    assert len(open_dataset(whole).split("test")) == 6
    assert not (whole / ".parts").exists()


def test_shards_are_filled_in_order_across_recordings(songs, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_SIZE", 5)
    prepare(songs, tmp_path / "a", None, OPTIONS, workers=1)
    names = [f"{i:05d}.pictures.npy" for i in range(4)]
    arrays = [np.load(tmp_path / "a" / "shards" / name) for name in names]
    assert [len(array) for array in arrays] == [5, 5, 5, 3]
    np.testing.assert_array_equal(np.concatenate(arrays), np.load(whole / "shards" / names[0]))
    assert not check(tmp_path / "a")


def test_an_interrupted_run_resumes_with_the_same_result(songs, whole, tmp_path):
    out = tmp_path / "out"
    seen = []

    def see(progress):
        if progress.stage == "preparing":
            seen.append(progress.done)

    def interrupt(progress):
        see(progress)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(songs, out, None, OPTIONS, workers=1, on_progress=interrupt)
    assert not (out / "dataset.toml").exists()
    (out / ".parts" / ".half a part.x.cmcgan.tmp").write_bytes(b"...")
    prepare(songs, out, None, OPTIONS, workers=1, on_progress=see)
    assert seen[:5] == [0, 1, 2, 3, 3]
    assert contents(out) == contents(whole)


def killed_at(write, songs, out):
    """Prepare in a child process that is killed just before it renames its `write`-th file; return whether it was."""
    child = os.fork()
    if child == 0:
        writes = itertools.count(1)
        os.fsync = lambda _: next(writes) == write and os.kill(os.getpid(), signal.SIGKILL)
        try:
            prepare(songs, out, None, OPTIONS, workers=1)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_at_any_file_resumes_with_the_same_result(songs, whole, tmp_path):
    out = tmp_path / "out"
    # The first four runs write the six parts; each resumes after the last. The others are killed in the later files.
    assert all(killed_at(write, songs, out) for write in (1, 2, 3, 4, 1, 2, 3, 4, 5))
    assert not (out / "dataset.toml").exists()
    prepare(songs, out, None, OPTIONS, workers=1)
    assert contents(out) == contents(whole)


@pytest.mark.slow
def test_a_killed_command_with_two_workers_resumes_with_the_same_result(tmp_path):
    names = [f"train/{label}/{label}{n:02d}" for label in ("violin", "tuba") for n in range(8)]
    songs = sub_urmp(tmp_path / "songs", {name: list(range(500, 9000, 500)) for name in names})
    prepare(songs, tmp_path / "whole", None, OPTIONS, workers=1)
    out = tmp_path / "out"
    main = "from cmcgan_cli.app import main; main()"
    command = [sys.executable, "-c", main, "prepare", str(songs), "--out", str(out), "--workers", "2"]
    for _ in range(3):
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = len(list(out.glob(".parts/*.zip")))
        while running.poll() is None and len(list(out.glob(".parts/*.zip"))) < before + 3:
            time.sleep(0.01)
        running.kill()
        running.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert contents(out) == contents(tmp_path / "whole")


def test_a_complete_dataset_is_kept_and_a_different_one_is_replaced_only_with_overwrite(songs, tmp_path):
    out = tmp_path / "out"
    first = prepare(songs, out, None, OPTIONS, workers=1)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = prepare(songs, out, None, OPTIONS, workers=1)
    assert again.already_complete
    assert again.counts == first.counts
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times
    with pytest.raises(DataError, match=r"hop 0\.5.*--overwrite"):
        prepare(songs, out, None, SourceOptions(hop=1), workers=1)
    report = prepare(songs, out, None, SourceOptions(hop=1), workers=1, overwrite=True)
    assert report.pairs == 12
    assert not check(out)


def test_replacing_a_dataset_deletes_its_judges(songs, tmp_path):
    out = tmp_path / "out"
    prepare(songs, out, None, OPTIONS, workers=1)
    (out / "judges" / "judge-av-0").mkdir(parents=True)
    (out / "judges" / "judge-av-0" / "last.safetensors").write_bytes(b"weights")
    prepare(songs, out, None, OPTIONS, workers=1, overwrite=True)
    assert not (out / "judges").exists()


def test_changed_source_files_make_a_different_dataset(tmp_path):
    songs = sub_urmp(tmp_path / "songs", {"train/oboe/oboe00": [500, 1000]})
    prepare(songs, tmp_path / "out", None, OPTIONS, workers=1)
    write_wav(songs / "chunk/train/oboe/oboe00_1000.wav", tone(0.6))
    with pytest.raises(DataError, match=r"other files.*--overwrite"):
        prepare(songs, tmp_path / "out", None, OPTIONS, workers=1)


def test_a_folder_with_other_files_is_never_written_to(songs, tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(DataError, match=r"other files \(letters.txt\)"):
            prepare(songs, tmp_path, None, OPTIONS, workers=1, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]
    with pytest.raises(DataError, match="is a file"):
        prepare(songs, tmp_path / "letters.txt", None, OPTIONS, workers=1)


class Takes:
    """A source of three recordings without files: a loud one, a silent one, and one that can kill its process."""

    identity = "takes/1"

    def __init__(self, fatal=False):
        self.fatal = fatal

    def detects(self, root):
        return False

    def recordings(self, root, options):
        return [Recording(label, label, pairs=2) for label in ("flute", "oboe", "tuba")], []

    def read_pairs(self, recording, options):
        if self.fatal and recording.id == "tuba":
            os._exit(9)
        level = 10 ** (-61 / 20) if recording.id == "oboe" else 0.5
        for n in range(2):
            yield RawPair(n / 2, tone(0.5, level=level * 2**0.5), plain((1, 2, 3), (128, 128)), "", "")


def test_the_identity_of_a_dataset_depends_on_its_source_its_recordings_and_its_settings():
    flute = Recording("a", "flute")

    def name(identity="takes/1", recording=flute, options=OPTIONS, silence=None):
        source = Takes()
        source.identity = identity
        return parts.part_name(source, recording, options, silence)

    others = [
        name("takes/2"),
        name(recording=Recording("b", "flute")),
        name(recording=Recording("a", "oboe")),
        name(recording=Recording("a", "flute", extra={"where": "x"})),
        name(options=replace(OPTIONS, hop=0.25)),
        name(options=replace(OPTIONS, seed=1)),
        name(options=replace(OPTIONS, settings=replace(OPTIONS.settings, n_fft=1024))),
        name(silence=-60.0),
    ]
    assert len({name(), *others}) == 1 + len(others)
    assert name() == name(recording=replace(flute, split="test", group="g"))


def test_neither_moved_code_nor_a_new_setting_with_a_default_changes_the_identity_of_a_dataset():
    """Datasets that were prepared before are recognised by this hash."""
    assert plan(Path(), DemoSource(), SourceOptions()).content == "d68b0254e446a8b1c03b5114bd5a8fb1"


def test_a_dataset_from_before_a_new_setting_is_complete(tmp_path):
    prepare(tmp_path, tmp_path / "a", Takes(), OPTIONS, workers=1)
    file = tmp_path / "a" / "dataset.toml"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith("max_level")))
    assert prepare(tmp_path, tmp_path / "a", Takes(), OPTIONS, workers=1).already_complete


def test_replacing_a_dataset_removes_what_was_computed_on_it(tmp_path):
    prepare(tmp_path, tmp_path / "a", Takes(), OPTIONS, workers=1)
    for name in ("judges", "evaluations", "mine"):
        (tmp_path / "a" / name).mkdir()
    prepare(tmp_path, tmp_path / "a", Takes(), OPTIONS, workers=1, silence=None, overwrite=True)
    assert {path.name for path in (tmp_path / "a").iterdir() if path.is_dir()} == {"shards", "mine"}


def test_silent_chunks_are_left_out_and_counted(tmp_path):
    report = prepare(tmp_path, tmp_path / "a", Takes(), OPTIONS, workers=1)
    assert (report.counts, report.dropped_silent) == ({"train": {"flute": 2, "tuba": 2}}, 2)
    assert tomllib.loads((tmp_path / "a" / "dataset.toml").read_text())["dropped_silent"] == 2
    assert prepare(tmp_path, tmp_path / "a", Takes(), OPTIONS, workers=1).already_complete
    assert prepare(tmp_path, tmp_path / "b", Takes(), OPTIONS, workers=1, silence=None).pairs == 6
    assert prepare(tmp_path, tmp_path / "c", Takes(), OPTIONS, workers=1, silence=-62).pairs == 6


@pytest.mark.slow
def test_two_workers_give_the_same_result_and_a_dead_worker_is_an_error(tmp_path):
    prepare(tmp_path, tmp_path / "one", Takes(), OPTIONS, workers=1)
    with pytest.raises(DataError, match=r"worker process died.*__main__.*--workers 1"):
        prepare(tmp_path, tmp_path / "dead", Takes(fatal=True), OPTIONS, workers=2)
    prepare(tmp_path, tmp_path / "two", Takes(), OPTIONS, workers=2)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_a_full_disk_is_reported_and_loses_only_unfinished_parts(songs, whole, tmp_path, monkeypatch):
    store, stored = parts._store_array, []

    def full(archive, name, array):
        if len(stored) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        stored.append(name)
        store(archive, name, array)

    monkeypatch.setattr(parts, "_store_array", full)
    with pytest.raises(DataError, match=r"no space left on device.*same command"):
        prepare(songs, tmp_path / "out", None, OPTIONS, workers=1)
    assert len(list((tmp_path / "out" / ".parts").iterdir())) == 2
    monkeypatch.undo()
    prepare(songs, tmp_path / "out", None, OPTIONS, workers=1)
    assert contents(tmp_path / "out") == contents(whole)


def bad_inputs(root):
    """Create a folder of videos: two good ones, and one with each possible fault."""
    for name in ("good", "good too"):
        write_video(root / "violin" / f"{name}.mp4", [plain((99, 50, 50))] * 12, sound=tone(1.2))
    whole = (root / "violin" / "good.mp4").read_bytes()
    for name, data in (("empty", b""), ("text", b"dear diary" * 99), ("cut", whole[: len(whole) // 2])):
        (root / "violin" / f"{name}.mp4").write_bytes(data)
    write_video(root / "violin" / "mute.mp4", [plain((9, 9, 9))] * 12)
    write_video(root / "violin" / "blind.mp4", [], sound=tone(1.2))
    write_video(root / "violin" / "short.mp4", [plain((9, 9, 9))] * 3, sound=tone(0.3))
    (root / "violin" / "dangling.mp4").symlink_to("nowhere.mp4")
    (root / "violin" / "loop.mp4").symlink_to("loop.mp4")
    (root / "violin" / "folder.mp4").mkdir()
    (root / "harp").mkdir()
    return root


def test_damaged_files_are_listed_and_all_others_are_prepared(tmp_path):
    report = prepare(bad_inputs(tmp_path / "videos"), tmp_path / "out", None, OPTIONS, workers=1)
    assert report.pairs == 4
    reasons = dict(report.skipped)
    assert reasons.pop("harp") == "contains no media"
    # How many bytes a film has depends on the version of its encoder.
    assert {file: re.sub(r"\d+,\d+", "N", reason.split(" (")[0]) for file, reason in reasons.items()} == {
        "violin/empty.mp4": "the file is empty",
        "violin/text.mp4": "cannot be decoded",
        "violin/cut.mp4": "is cut off: it has N of the N bytes that its header announces",
        "violin/mute.mp4": "has no sound",
        "violin/blind.mp4": "has no pictures",
        "violin/short.mp4": "is shorter than one chunk of 0.5 s",
        "violin/dangling.mp4": "is a link to a file that does not exist",
        "violin/loop.mp4": "too many levels of symbolic links",
    }
    with (tmp_path / "out" / "skipped.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(report.skipped)
    again = prepare(tmp_path / "videos", tmp_path / "out", None, OPTIONS, workers=1)
    assert again.skipped == report.skipped


def test_a_file_that_crashes_its_decoder_loses_only_its_own_pairs(tmp_path, monkeypatch):
    root = class_folders(tmp_path / "set", ["drum"], sounds=2)
    write_wav(root / "recordings" / "drum" / "click.wav", np.ones(1, np.float32), rate=192_000)
    decode = ffmpeg.decode_sound

    def decode_sound(path):
        if path.name == "take 0.wav":
            raise MemoryError("Unable to allocate 256. GiB")
        return decode(path)

    monkeypatch.setattr(ffmpeg, "decode_sound", decode_sound)
    report = prepare(root, tmp_path / "out", None, OPTIONS, workers=1)
    assert report.pairs == 2
    assert dict(report.skipped) == {
        "recordings/drum/click.wav": "holds no sound",
        "recordings/drum/take 0.wav": "cannot be decoded (unable to allocate 256. GiB)",
    }


def test_a_source_with_damaged_files_only_is_an_error(tmp_path):
    (tmp_path / "in" / "violin").mkdir(parents=True)
    (tmp_path / "in" / "violin" / "a.mp4").write_bytes(b"")
    with pytest.raises(DataError, match=r"no pairs could be made.*the file is empty"):
        prepare(tmp_path / "in", tmp_path / "out", None, OPTIONS, workers=1)
    with pytest.raises(DataError, match="gives no recordings as classes: violin"):
        prepare(tmp_path / "in", tmp_path / "out", "classes", OPTIONS, workers=1)


@pytest.mark.parametrize(
    ("options", "others"),
    [
        ({"hop": 0.0}, {}),
        ({"hop": -1.0}, {}),
        ({"hop": math.nan}, {}),
        ({"hop": math.inf}, {}),
        ({"hop": 1e305}, {}),
        ({"seed": 2**63}, {}),
        ({}, {"split": (0, 0.5, 0.5)}),
        ({}, {"split": (1, -0.1, 0.1)}),
        ({}, {"split": (1, math.nan, 0)}),
        ({}, {"split": (math.inf, 1, 1)}),
        ({}, {"silence": math.nan}),
    ],
)
def test_impossible_options_are_refused(songs, tmp_path, options, others):
    with pytest.raises(DataError, match="not possible"):
        prepare(songs, tmp_path / "out", None, SourceOptions(**options), workers=1, **others)
    assert not (tmp_path / "out").exists()


def test_an_infinite_silence_level_and_the_largest_seed_are_accepted(songs, tmp_path):
    options = SourceOptions(seed=2**63 - 1)
    prepare(songs, tmp_path / "out", None, options, silence=-math.inf, workers=1)
    assert prepare(songs, tmp_path / "out", None, options, silence=-math.inf, workers=1).already_complete


def test_pieces_of_urmp_become_pairs_of_all_players(tmp_path):
    for name, parts_ in (("01_Jupiter_vn_vc", ["vn", "vc"]), ("05_Entertainer_tpt_tpt", ["tpt", "tpt"])):
        urmp_piece(tmp_path / "URMP", name, parts_)
    report = prepare(tmp_path / "URMP", tmp_path / "out", None, OPTIONS, workers=1)
    assert report.counts == {"train": {"cello": 2, "trumpet": 4, "violin": 2}}
    planned = plan(tmp_path / "URMP", None, OPTIONS)
    assert (planned.counts, planned.source) == (report.counts, "urmp")


def test_a_plan_predicts_the_dataset_and_writes_nothing(tmp_path):
    root = class_folders(tmp_path / "set", ["violin", "drum"], sounds=5, seconds=2.2)
    before = sorted(tmp_path.rglob("*"))
    planned = plan(root, None, OPTIONS)
    assert sorted(tmp_path.rglob("*")) == before
    report = prepare(root, tmp_path / "out", None, OPTIONS, workers=1)
    assert planned.counts == report.counts
    size = sum(path.stat().st_size for path in (tmp_path / "out" / "shards").iterdir())
    assert planned.size_bytes == pytest.approx(size, rel=0.01)


def test_check_distinguishes_missing_and_damaged_files(whole, tmp_path):
    def damaged(change):
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(whole, out)
        change(out)
        return check(out)

    def flip(out):
        path = out / "shards" / "00000.pictures.npy"
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(data)

    def shorten(out):
        path = out / "shards" / "00000.spectrograms.npy"
        path.write_bytes(path.read_bytes()[:-100])

    def drop_row(out):
        lines = (out / "index.csv").read_text().splitlines(keepends=True)
        (out / "index.csv").write_text("".join(lines[:-1]))

    def edit(path, old, new):
        path.write_text(path.read_text().replace(old, new, 1))

    assert damaged(lambda out: None) == []
    assert damaged(lambda out: (out / "index.csv").unlink()) == ["missing: index.csv"]
    assert damaged(lambda out: (out / "shards" / "00000.spectrograms.npy").unlink()) == [
        "missing: shards/00000.spectrograms.npy"
    ]
    (fault,) = damaged(flip)
    assert fault.startswith("damaged: shards/00000: 1 of 18 pairs")
    assert "violin02_001.500" in fault
    assert damaged(shorten)[0].startswith("damaged: shards/00000.spectrograms.npy")
    assert any("17 pairs" in fault for fault in damaged(drop_row))
    assert damaged(lambda out: edit(out / "index.csv", ",tuba,", ""))[0].startswith("damaged: index.csv (line 2 has")
    (fault,) = damaged(lambda out: edit(out / "dataset.toml", "pairs = 18", ""))
    assert re.match(r"damaged: dataset\.toml \(it lacks pairs\).*--overwrite", fault)
    assert damaged(lambda out: (out / "shards" / "00000.spectrograms.npy").write_bytes(b""))[0].startswith(
        "damaged: shards"
    )
    with pytest.raises(DataError, match="cmcgan prepare"):
        check(tmp_path)


@pytest.mark.parametrize("size", [(8, 8), (400, 3)])
def test_pictures_of_odd_sizes_are_used(tmp_path, size):
    root = class_folders(tmp_path / "set", ["drum"], sounds=1, pictures=0)
    picture = plain((10, 200, 30), size)
    write_jpg(root / "photos" / "drum" / "é ü.jpg", picture)
    assert prepare(root, tmp_path / "out", None, OPTIONS, workers=1).pairs == 2
    np.testing.assert_allclose(np.load(tmp_path / "out/shards/00000.pictures.npy")[0, 64, 64], (10, 200, 30), atol=4)


def test_the_path_of_the_source_can_have_any_characters(tmp_path):
    root = sub_urmp(tmp_path / "mein Ordner ü 音", {"train/oboe/oboe00": [500]})
    assert prepare(root, tmp_path / "über out", None, OPTIONS, workers=1).pairs == 1
    assert not check(Path(tmp_path / "über out"))
