"""Layouts are detected, read as they are published, and split without leaks."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media_fixtures import RATE, class_folders, plain, sub_urmp, tone, urmp_piece, write_jpg, write_video, write_wav

from cmcgan_core.data.prepare.sources import SOURCES, RawPair, Recording, Skipped, SourceOptions, find_source
from cmcgan_core.data.prepare.splits import assign_splits
from cmcgan_core.errors import DataError

REAL = Path(__file__).parents[2] / "shared" / "data"
OPTIONS = SourceOptions()
RATIO = (0.7, 0.1, 0.2)
#: The 44 pieces of URMP by tune and parts, as its folders name them.
PIECES = """\
01_Jupiter_vn_vc 02_Sonata_vn_vn 03_Dance_fl_cl 04_Allegro_fl_fl 05_Entertainer_tpt_tpt 06_Entertainer_sax_sax
07_GString_tpt_tbn 08_Spring_fl_vn 09_Jesus_tpt_vn 10_March_tpt_sax 11_Maria_ob_vc 12_Spring_vn_vn_vc 13_Hark_vn_vn_va
14_Waltz_fl_fl_cl 15_Surprise_tpt_tpt_tbn 16_Surprise_tpt_tpt_sax 17_Nocturne_vn_fl_cl 18_Nocturne_vn_fl_tpt
19_Pavane_cl_vn_vc 20_Pavane_tpt_vn_vc 21_Rejouissance_cl_tbn_tba 22_Rejouissance_sax_tbn_tba 23_Rejouissance_cl_sax_tba
24_Pirates_vn_vn_va_vc 25_Pirates_vn_vn_va_sax 26_King_vn_vn_va_vc 27_King_vn_vn_va_sax 28_Fugue_fl_ob_cl_bn
29_Fugue_fl_fl_ob_cl 30_Fugue_fl_fl_ob_sax 31_Slavonic_tpt_tpt_hn_tbn 32_Fugue_vn_vn_va_vc 33_Elise_tpt_tpt_hn_tbn
34_Fugue_tpt_tpt_hn_tbn 35_Rondeau_vn_vn_va_db 36_Rondeau_vn_vn_va_vc 37_Rondeau_fl_vn_va_cl 38_Jerusalem_vn_vn_va_vc_db
39_Jerusalem_vn_vn_va_sax_db 40_Miserere_fl_fl_ob_cl_bn 41_Miserere_fl_fl_ob_sax_bn 42_Arioso_tpt_tpt_hn_tbn_tba
43_Chorale_tpt_tpt_hn_tbn_tba 44_K515_vn_vn_va_va_vc""".split()  # noqa: SIM905


def read(name, root, options=OPTIONS):
    """Return the recordings by id, their pairs by id, and all skipped files."""
    source = SOURCES.get(name)
    recordings, skipped = source.recordings(root, options)
    pairs = {}
    for recording in recordings:
        entries = list(source.read_pairs(recording, options))
        pairs[recording.id] = [pair for pair in entries if isinstance(pair, RawPair)]
        skipped += [entry for entry in entries if isinstance(entry, Skipped)]
    return {recording.id: recording for recording in recordings}, pairs, skipped


def test_sub_urmp_is_read_as_published(tmp_path):
    sub_urmp(tmp_path, {"train/violin/violin00": [500, 1000], "validation/double_bass/double_bass01": [500]})
    assert find_source(tmp_path) == "sub-urmp"
    recordings, pairs, skipped = read("sub-urmp", tmp_path)
    assert not skipped
    assert {name: (r.label, r.split, r.pairs) for name, r in recordings.items()} == {
        "violin00": ("violin", "train", 2),
        "double_bass01": ("double_bass", "test", 1),
    }
    first, second = pairs["violin00"]
    assert (first.start, second.start) == (0.5, 1.0)
    assert first.sound.shape == (22_050,)
    assert first.picture.shape == (128, 128, 3)
    assert second.sound_file == "chunk/train/violin/violin00_1000.wav"
    assert second.picture_file == "img/train/violin/violin00_1000.jpg"
    np.testing.assert_allclose(second.picture[64, 64], [25, 168, 90], atol=4)


def test_sub_urmp_keeps_the_chunks_on_the_grid_of_the_hop(tmp_path):
    sub_urmp(tmp_path, {"test/tuba/tuba01": list(range(700, 1900, 100))})
    assert [p.start for p in read("sub-urmp", tmp_path)[1]["tuba01"]] == [0.7, 1.2, 1.7]
    assert len(read("sub-urmp", tmp_path, SourceOptions(hop=0.1))[1]["tuba01"]) == 12


def test_sub_urmp_lists_unusable_files_and_loses_nothing_else(tmp_path):
    sub_urmp(tmp_path, {"train/oboe/oboe00": [500, 1000, 1500, 2000, 2500], "validation/oboe/oboe00": [500]})
    chunk, img = tmp_path / "chunk/train/oboe", tmp_path / "img/train/oboe"
    (chunk / "oboe00_500.wav").unlink()
    (img / "oboe00_1000.jpg").unlink()
    (chunk / "oboe00_1500.wav").write_text("no sound")
    write_wav(chunk / "oboe00_2000.wav", tone(0.4))
    write_wav(chunk / "odd name.wav", tone(0.5))
    write_jpg(img / "odd name.jpg", plain((1, 2, 3)))
    _, pairs, skipped = read("sub-urmp", tmp_path)
    assert [p.start for p in pairs["oboe00"]] == [2.5]
    reasons = dict(skipped)
    assert "has no sound" in reasons["img/train/oboe/oboe00_500.jpg"]
    assert "has no picture" in reasons["chunk/train/oboe/oboe00_1000.wav"]
    assert "cannot be decoded" in reasons["chunk/train/oboe/oboe00_1500.wav"]
    assert "shorter than one chunk" in reasons["chunk/train/oboe/oboe00_2000.wav"]
    assert "is not named" in reasons["chunk/train/oboe/odd name.wav"]
    assert "another split" in reasons["chunk/validation/oboe/oboe00_*.wav"]
    assert len(skipped) == 6


def test_urmp_gives_each_player_their_own_sound_and_strip(tmp_path):
    urmp_piece(tmp_path, "15_Surprise_tpt_tpt_tbn", ["tpt", "tpt", "tpt"])
    urmp_piece(tmp_path, "16_Surprise_tpt_tpt_sax", ["tpt", "tpt", "sax"])
    assert find_source(tmp_path) == "urmp"
    recordings, pairs, skipped = read("urmp", tmp_path)
    assert not skipped
    assert [r.label for r in recordings.values()] == ["trumpet", "trumpet", "trombone", "trumpet", "trumpet", "sax"]
    assert {r.group for r in recordings.values()} == {"Surprise"}
    for k in (1, 2, 3):
        first, second = pairs[f"15_Surprise_tpt_tpt_tbn-{k}"]
        assert (first.start, second.start) == (0, 0.5)
        assert int(second.picture[:, 20:-20].mean()) == pytest.approx(40 * k, abs=4)
        assert np.abs(np.fft.rfft(second.sound)).argmax() * 2 == pytest.approx(220 * 2**k, abs=2)
        assert second.sound_file == f"15_Surprise_tpt_tpt_tbn/AuSep_{k}_tpt_15_Surprise.wav"
        assert second.picture_file == "15_Surprise_tpt_tpt_tbn/Vid_15_Surprise_tpt_tpt_tbn.mp4"


def test_urmp_lists_pieces_and_parts_with_missing_files(tmp_path):
    urmp_piece(tmp_path, "01_Jupiter_vn_vc", ["vn", "vc"])
    urmp_piece(tmp_path, "02_Sonata_vn_kazoo", ["vn", "kazoo"])
    next(urmp_piece(tmp_path, "03_Dance_fl_cl", ["fl", "cl"]).glob("*.mp4")).unlink()
    next((tmp_path / "01_Jupiter_vn_vc").glob("AuSep_2*")).unlink()
    (tmp_path / "Supplementary").mkdir()
    _, pairs, skipped = read("urmp", tmp_path)
    assert list(pairs) == ["01_Jupiter_vn_vc-1"]
    assert dict(skipped) == {
        "01_Jupiter_vn_vc/AuSep_2_vc_*.wav": "is missing",
        "02_Sonata_vn_kazoo": "'kazoo' is not an instrument of URMP",
        "03_Dance_fl_cl": "has no video",
    }


def test_class_folders_in_both_layouts(tmp_path):
    inis = class_folders(tmp_path / "inis", ["violin", "drum"])
    for kind in ("recordings", "photos"):
        for path in (inis / kind).rglob("*.*"):
            target = tmp_path / "own" / path.parent.name / kind / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target) if path.suffix == ".png" else target.write_bytes(path.read_bytes())
    assert find_source(tmp_path / "own") == "classes"
    recordings, pairs, skipped = read("classes", tmp_path / "own")
    assert not skipped
    assert sorted(r.label for r in recordings.values()) == ["drum"] * 4 + ["violin"] * 4
    assert [len(p) for p in pairs.values()] == [2] * 8
    assert all(p.picture_file.startswith(recordings[name].label) for name in pairs for p in pairs[name])
    # The photos were moved out of this folder.
    assert find_source(class_folders(inis, ["drum"])) == "classes"
    recordings, _, skipped = read("classes", inis)
    assert {r.label for r in recordings.values()} == {"drum"}
    assert skipped == [("violin", "the class has sounds but no pictures")]


@pytest.mark.parametrize("layout", ["{split}/{label}/{name}", "{split}/{kind}/{label}/{name}"])
def test_folders_named_after_splits_fix_the_splits_of_class_folders(tmp_path, layout):
    for split in ("Train", "val", "TEST"):
        for label in ("violin", "drum"):
            for kind, name, write, data in (
                ("s", "a.wav", write_wav, tone(0.6)),
                ("p", "a.png", write_jpg, plain((9, 9, 9))),
            ):
                write(tmp_path / layout.format(split=split, kind=kind, label=label, name=name), data)
    write_wav(tmp_path / layout.format(split="TEST", kind="s", label="mute", name="a.wav"), tone(0.6))
    write_wav(tmp_path / "stray.wav", tone(0.6))
    recordings, pairs, skipped = read("classes", tmp_path)
    assert sorted((r.label, r.split) for r in recordings.values()) == [
        (label, split) for label in ("drum", "violin") for split in ("test", "train", "validation")
    ]
    assert all(p.picture_file.split("/")[0] == name.split("/")[0] for name, entries in pairs.items() for p in entries)
    assert dict(skipped) == {
        "stray.wav": "is not in a class folder",
        "TEST/mute": "the class has sounds but no pictures",
    }


def test_folders_named_after_splits_fix_the_splits_of_videos(tmp_path):
    for name in ("train/violin/a.mp4", "train/tuba/b.mp4", "test/violin/c.mp4", "test/d.mp4"):
        write_video(tmp_path / name, [plain((50, 50, 50))])
    (tmp_path / "test" / "tuba").mkdir()
    recordings, faults = SOURCES.get("videos").recordings(tmp_path, OPTIONS)
    assert [(r.label, r.split) for r in recordings] == [("violin", "test"), ("tuba", "train"), ("violin", "train")]
    assert [skip.file for skip in faults] == ["test/d.mp4", "test/tuba"]
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\ntest/d.mp4,viola\ntrain/violin/a.mp4,viola\n")
    recordings, _ = SOURCES.get("videos").recordings(tmp_path, SourceOptions(labels=labels))
    assert [(r.label, r.split) for r in recordings] == [("viola", "test"), ("viola", "train")]


def test_a_class_can_be_named_like_a_split_if_other_classes_are_not(tmp_path):
    for label in ("train", "plane"):
        write_video(tmp_path / label / "a.mp4", [plain((50, 50, 50))])
    recordings, _ = SOURCES.get("videos").recordings(tmp_path, OPTIONS)
    assert {(r.label, r.split) for r in recordings} == {("train", None), ("plane", None)}


@pytest.mark.parametrize(("sounds", "pictures"), [(3, 9), (7, 4), (4, 4), (1, 3), (5, 1)])
def test_no_picture_is_in_two_splits(tmp_path, sounds, pictures):
    class_folders(tmp_path, ["violin", "drum"], sounds, pictures, seconds=2.6)
    recordings, pairs, _ = read("classes", tmp_path)
    splits = dict(zip(recordings, assign_splits(list(recordings.values()), RATIO, seed=3), strict=True))
    served = defaultdict(set)
    for name, entries in pairs.items():
        for pair in entries:
            served[pair.picture_file].add(splits[name])
    assert all(len(s) == 1 for s in served.values())
    assert {r.label for r in recordings.values() if splits[r.id] == "train"} == {"violin", "drum"}


def test_pairing_by_class_is_drawn_by_the_seed_and_uses_every_picture(tmp_path):
    class_folders(tmp_path, ["drum"], sounds=1, pictures=5, seconds=5.1)

    def names(seed):
        return [
            p.picture_file for p in read("classes", tmp_path, SourceOptions(seed=seed))[1]["recordings/drum/take 0.wav"]
        ]

    assert names(0) == names(0)
    assert names(0) != names(1)
    assert len(names(0)) == 10
    assert len(set(names(0)[:5])) == 5


def test_class_folders_list_empty_folders_and_damaged_files(tmp_path):
    class_folders(tmp_path, ["drum", "harp"], sounds=2, pictures=2)
    (tmp_path / "photos" / "tuba").mkdir()
    (tmp_path / "recordings" / "stray.wav").write_bytes(b"")
    (tmp_path / "photos" / "drum" / "0.png").write_bytes(b"no picture")
    write_wav(tmp_path / "recordings" / "harp" / "take 0.wav", tone(0.3))
    _, pairs, skipped = read("classes", tmp_path)
    assert dict(skipped) == {
        "recordings/stray.wav": "is not in a class folder",
        "tuba": "the class has neither sounds nor pictures",
        "photos/drum/0.png": dict(skipped)["photos/drum/0.png"],
        "recordings/harp/take 0.wav": "is shorter than one chunk of 0.5 s",
    }
    # Both drum takes have two pairs each and share the readable picture. One of the harp takes is too short.
    assert sum(map(len, pairs.values())) == 6


def test_no_sound_is_lost_with_damaged_pictures(tmp_path):
    class_folders(tmp_path, ["drum"], sounds=6, pictures=6)
    for number in range(5):
        (tmp_path / "photos" / "drum" / f"{number}.png").write_bytes(b"no picture")
    _, pairs, skipped = read("classes", tmp_path)
    assert len(skipped) == 5
    assert {name: len(entries) for name, entries in pairs.items()} == {
        f"recordings/drum/take {number}.wav": 2 for number in range(6)
    }


def test_a_class_without_a_readable_picture_is_listed(tmp_path):
    class_folders(tmp_path, ["drum", "harp"], pictures=1)
    (tmp_path / "photos" / "drum" / "0.png").write_bytes(b"no picture")
    _, pairs, skipped = read("classes", tmp_path)
    assert ("drum", "the class has no picture that can be read") in skipped
    assert all("harp" in name for name in pairs)


def test_two_classes_with_almost_the_same_name_are_refused(tmp_path):
    class_folders(tmp_path, ["violin", "Violin "])
    with pytest.raises(DataError, match=r"'Violin ' and 'violin'"):
        read("classes", tmp_path)


def test_folders_with_links_to_themselves_are_read_once(tmp_path):
    class_folders(tmp_path, ["drum"])
    (tmp_path / "photos" / "drum" / "again").symlink_to(tmp_path / "photos", target_is_directory=True)
    assert len(read("classes", tmp_path)[0]) == 4


def test_a_folder_of_videos_by_class(tmp_path):
    write_video(tmp_path / "solo cello" / "Übung 1.mp4", [plain((50, 50, 50))] * 13, sound=tone(1.3))
    write_video(tmp_path / "flute" / "deep" / "mute.mp4", [plain((50, 50, 50))] * 13)
    write_video(tmp_path / "flute" / "blind.mp4", [], sound=tone(1.3))
    write_video(tmp_path / "flute" / "short.mp4", [plain((50, 50, 50))] * 2, sound=tone(0.2))
    (tmp_path / "harp").mkdir()
    assert find_source(tmp_path) == "videos"
    recordings, pairs, skipped = read("videos", tmp_path)
    assert recordings["flute/deep/mute.mp4"].label == "flute"
    assert [p.start for p in pairs.pop("solo cello/Übung 1.mp4")] == [0, 0.5]
    assert not any(pairs.values())
    assert dict(skipped) == {
        "harp": "contains no media",
        "flute/deep/mute.mp4": "has no sound",
        "flute/blind.mp4": "has no pictures",
        "flute/short.mp4": "is shorter than one chunk of 0.5 s",
    }


def test_labels_of_a_flat_folder_of_videos(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        write_video(tmp_path / "videos" / name, [plain((50, 50, 50))] * 6, sound=tone(0.6))
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label,note\na.mp4,violin,x\nb.mp4,flute,\nz.mp4,flute,\n")
    recordings, _, skipped = read("videos", tmp_path / "videos", SourceOptions(labels=labels))
    assert {name: r.label for name, r in recordings.items()} == {"a.mp4": "violin", "b.mp4": "flute"}
    assert dict(skipped) == {
        "c.mp4": "has no label in labels.csv",
        "z.mp4": "has a label, but is not a video in the folder",
    }
    assert {file for file, _ in read("videos", tmp_path / "videos")[2]} == {"a.mp4", "b.mp4", "c.mp4"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name,class\na.mp4,violin\n", "file,label"),
        ("file,label\na.mp4,x\na.mp4,y\n", "line 3.*two labels"),
        ("file,label\na.mp4,\n", "line 2.*no label"),
        ("file,label\na\xff", "has no label"),
    ],
)
def test_an_invalid_table_of_labels_is_refused(tmp_path, text, fault):
    write_video(tmp_path / "a.mp4", [plain((5, 5, 5))])
    (tmp_path / "labels.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=fault):
        read("videos", tmp_path, SourceOptions(labels=tmp_path / "labels.csv"))


def test_labels_are_refused_where_folders_name_the_classes(tmp_path):
    class_folders(tmp_path, ["drum"])
    with pytest.raises(DataError, match="--labels"):
        read("classes", tmp_path, SourceOptions(labels=tmp_path / "labels.csv"))


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda p: p, "no such file"),
        (lambda p: p.mkdir(), "is empty"),
        (lambda p: p.write_text("x"), "is a file"),
        (lambda p: write_wav(p / "a.wav", tone(0.1)), "none of the known layouts"),
    ],
)
def test_a_root_that_cannot_be_read_is_an_error(tmp_path, make, fault):
    make(tmp_path / "root")
    with pytest.raises(DataError, match=f"root.*{fault}"):
        find_source(tmp_path / "root")


def test_splits_are_exact_if_every_group_has_one_class():
    recordings = [Recording(f"{label}{n}", label) for label in ("cello", "flute") for n in range(20)]
    recordings += [
        Recording("tuba0", "tuba"),
        *(Recording(f"oboe{n}", "oboe") for n in range(2)),
        *(Recording(f"horn{n}", "horn") for n in range(3)),
    ]
    counts = defaultdict(int)
    for recording, split in zip(recordings, assign_splits(recordings, RATIO, seed=1), strict=True):
        counts[recording.label, split] += 1
    assert counts == {
        ("cello", "train"): 14,
        ("cello", "validation"): 2,
        ("cello", "test"): 4,
        ("flute", "train"): 14,
        ("flute", "validation"): 2,
        ("flute", "test"): 4,
        ("tuba", "train"): 1,
        ("oboe", "train"): 1,
        ("oboe", "test"): 1,
        ("horn", "train"): 1,
        ("horn", "validation"): 1,
        ("horn", "test"): 1,
    }


def test_splits_depend_on_the_seed_and_keep_fixed_splits():
    recordings = [Recording(str(n), "cello") for n in range(30)]
    assert assign_splits(recordings, RATIO, 0) == assign_splits(recordings, RATIO, 0)
    assert assign_splits(recordings, RATIO, 0) != assign_splits(recordings, RATIO, 1)
    fixed = [replace(recording, split="test") for recording in recordings]
    assert set(assign_splits(fixed, RATIO, 0)) == {"test"}
    assert set(assign_splits(recordings, (1, 0, 0), 0)) == {"train"}


@pytest.mark.parametrize("seed", range(5))
def test_urmp_has_every_instrument_in_train_and_test_and_no_tune_in_two_splits(tmp_path, seed):
    recordings = []
    for piece in PIECES:
        _, tune, *parts = piece.split("_")
        recordings += [Recording(f"{piece}-{k}", part, group=tune) for k, part in enumerate(parts)]
    splits = assign_splits(recordings, RATIO, seed)
    by_tune, by_label = defaultdict(set), defaultdict(set)
    for recording, split in zip(recordings, splits, strict=True):
        by_tune[recording.group].add(split)
        by_label[recording.label].add(split)
    assert all(len(splits) == 1 for splits in by_tune.values())
    assert len(by_label) == 13
    assert all({"train", "test"} <= splits for splits in by_label.values())
    assert 0.5 < splits.count("train") / len(splits) < 0.8


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not available")
def test_the_real_sub_urmp_sample():
    recordings, pairs, skipped = read("sub-urmp", REAL / "sub_urmp_sample")
    assert not skipped
    assert len({r.label for r in recordings.values()}) == 13
    assert sum(map(len, pairs.values())) == 118


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not available")
def test_a_real_video(tmp_path):
    (tmp_path / "space").symlink_to(REAL / "video", target_is_directory=True)
    _, pairs, skipped = read("videos", tmp_path)
    assert not skipped
    (entries,) = pairs.values()
    assert [p.start for p in entries] == [n / 2 for n in range(26)]
    assert all(p.sound.shape == (RATE // 2,) for p in entries)
