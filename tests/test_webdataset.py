"""`prepare` reads WebDataset shards of others and its own exports, names what is damaged, and uses the rest."""

import io
import json
import os
import shutil
import tarfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Run
from media_fixtures import RATE, plain, tone, write_video
from PIL import Image

from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.export import export_dataset
from cmcgan_core.data.prepare import SourceOptions, check, plan, prepare
from cmcgan_core.data.prepare.sources import find_source
from cmcgan_core.data.prepare.tars import scan_tar
from cmcgan_core.data.prepare.webdataset import WebDataset
from cmcgan_core.errors import DataError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.utils.names import from_text, to_text

OPTIONS = SourceOptions()


def wav(seconds: float = 0.5, hertz: float = 440, kind: str = "WAV") -> bytes:
    content = io.BytesIO()
    soundfile.write(content, tone(seconds, hertz), RATE, format=kind)
    return content.getvalue()


def picture(colour: tuple[int, int, int] = (200, 30, 30), kind: str = "JPEG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(plain(colour)).save(content, kind)
    return content.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    """Write a tar file; create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def sample(key: str, label: str, **about: object) -> dict[str, bytes]:
    """Return the files of a sample with the class in its JSON file."""
    return {f"{key}.jpg": picture(), f"{key}.json": json.dumps({"label": label, **about}).encode(), f"{key}.wav": wav()}


def prepare_shards(root: Path, out: Path, **about: object):
    """Return the report of `prepare`, and the pairs of the dataset."""
    report = prepare(root, out, None, SourceOptions(**about), workers=1)
    assert not check(out)
    return report, list(open_dataset(out).pairs)


def test_pictures_sounds_and_classes_are_found_by_their_suffixes(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "s" / "000.tar",
        {
            **{"a.JPG": picture(), "a.wav": wav(), "a.cls": b"flute\n"},
            **{"b.png": picture((0, 0, 255), "PNG"), "b.flac": wav(kind="FLAC"), "b.txt": b"tuba"},
            **{"c.webp": picture((0, 255, 0), "WEBP"), "c.mp3": wav(0.6, kind="MP3"), "c.json": b'{"class": 7}'},
            **{"d.jpeg": picture(), "d.ogg": wav(0.6, kind="OGG"), "d.json": b'{"label": "viola", "class": 3}'},
            **{"README.txt": b"not a sample", "__meta__.json": b"{}", "nested/": b"", "a.mask.png": b"?"},
        },
    )
    assert find_source(tmp_path / "s") == "webdataset"
    report, pairs = prepare_shards(tmp_path / "s", tmp_path / "out")
    assert [(pair.recording, pair.label) for pair in pairs] == [
        ("000.tar/a", "flute"),
        ("000.tar/b", "tuba"),
        ("000.tar/c", "7"),
        ("000.tar/d", "viola"),
    ]
    assert [pair.sound_file for pair in pairs] == [f"000.tar/{name}" for name in ("a.wav", "b.flac", "c.mp3", "d.ogg")]
    assert not report.skipped
    pictures = open_dataset(tmp_path / "out").read(range(4))[0]
    assert pictures.mean((1, 2)).argmax(1).tolist() == [0, 2, 1, 0]


def test_a_sound_becomes_the_spectrogram_that_its_file_gives(tmp_path: Path) -> None:
    for label, hertz in (("flute", 880), ("tuba", 110)):
        folder = tmp_path / "folders" / label
        folder.mkdir(parents=True)
        (folder / "take.wav").write_bytes(wav(1.1, hertz))
        (folder / "take.png").write_bytes(picture((hertz % 256, 9, 9), "PNG"))
        members = {"k.wav": wav(1.1, hertz), "k.png": picture((hertz % 256, 9, 9), "PNG"), "k.cls": label.encode()}
        write_tar(tmp_path / "tars" / f"{label}.tar", members)
    prepare(tmp_path / "folders", tmp_path / "a", None, OPTIONS, workers=1)
    prepare(tmp_path / "tars", tmp_path / "b", None, OPTIONS, workers=1)
    for first, second in zip(*(open_dataset(tmp_path / name).read(range(4)) for name in "ab"), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_video_gives_a_frame_for_each_chunk(tmp_path: Path) -> None:
    frames = [plain((25 * i, 0, 0), (64, 48)) for i in range(10)]
    video = write_video(tmp_path / "v.mp4", frames, sound=tone(1.0, 500)).read_bytes()
    members = {"v.mp4": video, "v.json": b'{"label": "viola", "recording": "r", "start": 30}'}
    write_tar(tmp_path / "s" / "0.tar", members)
    _, pairs = prepare_shards(tmp_path / "s", tmp_path / "out")
    assert [(pair.id, pair.start, pair.picture_file) for pair in pairs] == [
        ("r_030.000", 30.0, "0.tar/v.mp4"),
        ("r_030.500", 30.5, "0.tar/v.mp4"),
    ]
    red = open_dataset(tmp_path / "out").read(range(2))[0][..., 0].mean((1, 2))
    assert red[1] > red[0] + 60


@pytest.mark.parametrize(
    ("keys", "recordings"),
    [
        # What is in front of a number is the recording.
        (["x_1:flute", "x_2:flute", "y_1:tuba"], ["x", "x", "y"]),
        # A name of a class, of several classes, or of all samples is none.
        (["flute_1:flute", "flute_2:flute", "tuba_1:tuba"], ["0.tar/flute_1", "0.tar/flute_2", "0.tar/tuba_1"]),
        (["s_1:flute", "s_2:tuba", "t_1:tuba"], ["0.tar/s_1", "0.tar/s_2", "t"]),
        (["s_1:flute", "s_2:flute"], ["0.tar/s_1", "0.tar/s_2"]),
        (["a/00:flute", "a/01:tuba"], ["0.tar/a/00", "0.tar/a/01"]),
    ],
)
def test_the_recording_is_found_in_the_key(tmp_path: Path, keys: list[str], recordings: list[str]) -> None:
    members: dict[str, bytes] = {}
    for entry in keys:
        members |= sample(*entry.split(":"))
    write_tar(tmp_path / "s" / "0.tar", members)
    planned = plan(tmp_path / "s", None, OPTIONS).recordings
    assert [recording.id for recording in planned for _ in recording.extra["samples"]] == recordings


def test_samples_of_a_recording_share_a_split_and_follow_one_another(tmp_path: Path) -> None:
    # The samples of each recording are spread over the shards, as in shuffled sets.
    for shard in range(4):
        members: dict[str, bytes] = {}
        for take in range(6):
            label = "flute" if take % 2 else "tuba"
            members |= sample(f"{shard}{take}", label, recording=f"take {take}", player=f"p{take}")
        write_tar(tmp_path / "s" / f"{shard}.tar", members)
    report, pairs = prepare_shards(tmp_path / "s", tmp_path / "out")
    assert (report.recordings, len(pairs)) == (6, 24)
    assert all(len({pair.split for pair in pairs if pair.recording == f"take {n}"}) == 1 for n in range(6))
    assert {pair.split for pair in pairs} >= {"train", "test"}
    assert [pair.start for pair in pairs if pair.recording == "take 3"] == [0, 0.5, 1, 1.5]
    assert {pair.player for pair in pairs if pair.recording == "take 3"} == {"p3"}


def test_starts_order_the_samples_and_a_second_one_is_named(tmp_path: Path) -> None:
    starts = {"a": 4, "b": 1.5, "c": 1.5}
    members: dict[str, bytes] = {}
    for key, start in starts.items():
        members |= sample(key, "flute", recording="r", start=start)
    write_tar(tmp_path / "s.tar", members)
    report, pairs = prepare_shards(tmp_path / "s.tar", tmp_path / "out")
    assert [(pair.id, pair.sound_file) for pair in pairs] == [
        ("r_001.500", "s.tar/b.wav"),
        ("r_004.000", "s.tar/a.wav"),
    ]
    assert report.skipped == (("s.tar/c", "1.5 s of its recording is there already"),)


def test_one_recording_of_two_classes_stays_in_one_split(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for n in range(8):
        for label in ("flute", "tuba"):
            members |= sample(f"{n}{label}", label, recording=f"duo {n}")
    write_tar(tmp_path / "s" / "0.tar", members)
    _, pairs = prepare_shards(tmp_path / "s", tmp_path / "out")
    assert {pair.recording for pair in pairs} >= {"duo 0 flute", "duo 0 tuba"}
    assert all(len({pair.split for pair in pairs if pair.recording.startswith(f"duo {n} ")}) == 1 for n in range(8))


def test_names_of_shards_and_json_files_fix_the_split(tmp_path: Path) -> None:
    write_tar(tmp_path / "s" / "train-000.tar", sample("a", "flute") | sample("b", "tuba", split="val"))
    write_tar(tmp_path / "s" / "test" / "000.tar", sample("c", "flute") | sample("d", "tuba", split="new-rooms"))
    _, pairs = prepare_shards(tmp_path / "s", tmp_path / "out")
    assert {pair.sound_file[-5]: pair.split for pair in pairs} == {
        "a": "train",
        "b": "validation",
        "c": "test",
        "d": "new-rooms",
    }


def test_samples_that_cannot_be_used_are_named(tmp_path: Path, cmcgan: Run) -> None:
    good = sample("good", "flute")
    bad = {
        **{"silent.jpg": picture(), "silent.cls": b"flute"},
        **{"blind.wav": wav(), "blind.cls": b"flute"},
        **{"two.wav": wav(), "two.flac": wav(kind="FLAC"), "two.jpg": picture(), "two.cls": b"flute"},
        **{"classless.wav": wav(), "classless.jpg": picture()},
        **{"list.wav": wav(), "list.jpg": picture(), "list.json": b'{"label": ["a", "b"]}'},
        **{"path.wav": wav(), "path.jpg": picture(), "path.cls": b"../flute"},
        **{"json.wav": wav(), "json.jpg": picture(), "json.json": b"{"},
        **{"start.wav": wav(), "start.jpg": picture(), "start.json": b'{"label": "a", "start": -1}'},
        **{"split.wav": wav(), "split.jpg": picture(), "split.json": b'{"label": "a", "split": ".."}'},
        **{"half.wav": wav(), "half.jpg": picture(), "half.json": b'{"label": "a", "recording": "\\ud800"}'},
        **{"noise.wav": b"RIFF?", "noise.jpg": picture(), "noise.cls": b"flute"},
        **{"torn.wav": wav(), "torn.jpg": picture()[:100], "torn.cls": b"flute"},
        **{"short.wav": wav(0.2), "short.jpg": picture(), "short.cls": b"flute"},
        **{"lms.npy": b"?", "lms.png": picture(kind="PNG"), "lms.cls": b"flute"},
    }
    write_tar(tmp_path / "s" / "0.tar", good | bad)
    code, _, said = cmcgan("prepare", tmp_path / "s", "--out", tmp_path / "out", "--workers", 1)
    assert code == 1
    reasons = {entry.file: entry.reason for entry in prepare(tmp_path / "s", tmp_path / "out", None, OPTIONS).skipped}
    for name, reason in {
        "silent": "has no sound",
        "blind": "has no picture",
        "two": "has several sounds: .flac, .wav",
        "classless": "has no class",
        "list": "has no class",
        "path": "has the class '../flute', which contains a slash",
        "json": "has a .json that cannot be read",
        "start": "has a start of -1",
        "split": "has the split '..', which means a folder",
        "half": "surrogates not allowed",
        "noise.wav": "cannot be decoded",
        "torn.jpg": "is not a picture that can be decoded",
        "short.wav": "is shorter than one chunk of 0.5 s",
        "lms": "has no sound but a spectrogram, which needs the cmcgan.json of its export",
    }.items():
        assert reason in reasons[f"0.tar/{name}"], name
        assert f"skipped 0.tar/{name}: " in said
    assert len(reasons) == len({name.split(".")[0] for name in bad})
    assert [pair.sound_file for pair in open_dataset(tmp_path / "out").pairs] == ["0.tar/good.wav"]


def damage(path: Path, how: str) -> None:
    """Damage a tar file of several samples."""
    content = path.read_bytes()
    with tarfile.open(path) as tar:
        middle = tar.getmembers()[6].offset  # the header of the third sample
    changed = {
        "cut in a file": content[: middle + 1000],
        "cut between files": content[:middle],
        "a header": content[:middle] + b"\xff" * 512 + content[middle + 512 :],
        "compressed": b"\x1f\x8b\x08" + content,
        "no tar": b"\x7fELF" * 1000,
        "empty": b"",
    }
    path.write_bytes(changed[how])


@pytest.mark.parametrize(
    ("how", "left", "reason"),
    [
        ("cut in a file", 2, "is damaged or cut"),
        ("cut between files", 2, "has no end, so it may be cut"),
        ("a header", 2, "is damaged at byte"),
        ("compressed", 0, "is compressed; decompress it first"),
        ("no tar", 0, "is no tar file"),
        ("empty", 0, "is empty"),
    ],
)
def test_a_damaged_shard_is_named_and_the_rest_is_used(tmp_path: Path, how: str, left: int, reason: str) -> None:
    write_tar(tmp_path / "s" / "a.tar", sample("0", "flute") | sample("1", "flute") | sample("2", "tuba"))
    write_tar(tmp_path / "s" / "b.tar", sample("3", "tuba"))
    damage(tmp_path / "s" / "a.tar", how)
    report, pairs = prepare_shards(tmp_path / "s", tmp_path / "out")
    assert len(pairs) == left + 1
    assert reason in dict(report.skipped)["a.tar"]


def test_every_cut_of_a_shard_is_noticed(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {f"{n}.{suffix}": bytes(700) for n in range(2) for suffix in ("jpg", "wav")})
    content = path.read_bytes()
    with tarfile.open(path) as tar:
        end = tar.getmembers()[-1].offset + 512 + 1024
    for length in range(0, end, 37):
        path.write_bytes(content[:length])
        samples, fault = scan_tar(path)
        assert fault
        assert all(m.offset + m.size <= length for one in samples for m in one.members.values())
    path.write_bytes(content[: end + 512])
    assert scan_tar(path).fault is None


def test_names_in_a_shard_lead_nowhere(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for key in ("../../evil", "/tmp/evil", "./plain"):
        members |= sample(key, "flute")
    shard = write_tar(tmp_path / "deep" / "s" / "0.tar", members)
    with tarfile.open(shard, "a") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo("link.wav")
            link.type, link.linkname = kind, "/etc/passwd"
            tar.addfile(link)
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    report, pairs = prepare_shards(shard.parent, tmp_path / "out")
    assert [pair.sound_file for pair in pairs] == ["0.tar/../../evil.wav", "0.tar//tmp/evil.wav", "0.tar/plain.wav"]
    assert not report.skipped
    assert {p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(tmp_path / "out")} == before


def test_an_interrupted_run_resumes_with_the_same_result(tmp_path: Path) -> None:
    for shard in range(3):
        members: dict[str, bytes] = {}
        for take in range(4):
            members |= sample(f"take{take}_{shard}", "flute" if take % 2 else "tuba")
        write_tar(tmp_path / "s" / f"{shard}.tar", members)
    seen: list[int] = []

    def interrupt(progress) -> None:
        seen.append(progress.done)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "s", tmp_path / "a" / "out", None, OPTIONS, workers=1, on_progress=interrupt)
    for name in "ab":
        prepare(tmp_path / "s", tmp_path / name / "out", None, OPTIONS, workers=1)
    files = [
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in "ab"
    ]
    assert files[0] == files[1]
    assert [pair.start for pair in open_dataset(tmp_path / "a" / "out").pairs][:3] == [0, 0.5, 1]


def test_one_shard_is_a_source_too(tmp_path: Path, cmcgan: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tar(tmp_path / "some.tar", sample("a", "flute") | sample("b", "tuba"))
    monkeypatch.chdir(tmp_path)
    assert cmcgan("prepare", "some.tar", "--workers", 1, "-q")[0] == 0
    assert len(open_dataset(tmp_path / "prepared" / "some").pairs) == 2
    (tmp_path / "some.txt").write_text("")
    code, _, said = cmcgan("prepare", "some.txt")
    assert (code, "is a file; give the folder" in said) == (1, True)


@pytest.fixture
def exported(prepared: Path, tmp_path: Path) -> Path:
    """The small prepared dataset as WebDataset shards."""
    export_dataset(prepared, tmp_path / "shards", "webdataset", pairs_per_file=20, workers=1)
    return tmp_path / "shards"


def test_an_export_keeps_its_splits_and_its_pairs(prepared: Path, exported: Path, tmp_path: Path) -> None:
    report, pairs = prepare_shards(exported, tmp_path / "out")
    assert not report.skipped
    original = open_dataset(prepared)
    names = ("split", "label", "recording", "start", "sound_file", "picture_file")
    assert [[getattr(p, n) for n in names] for p in pairs] == [[getattr(p, n) for n in names] for p in original.pairs]
    for read, stored in zip(*(d.read(range(69)) for d in (open_dataset(tmp_path / "out"), original)), strict=True):
        np.testing.assert_array_equal(read, stored)


def test_one_shard_of_an_export_is_a_source_too(prepared: Path, exported: Path, tmp_path: Path) -> None:
    report, pairs = prepare_shards(exported / "test-000000.tar", tmp_path / "out")
    assert (len(pairs), report.skipped) == (12, ())
    np.testing.assert_array_equal(
        open_dataset(tmp_path / "out").read(range(12))[0], open_dataset(prepared).read(range(57, 69))[0]
    )


def test_an_export_with_other_features_is_refused(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="spectrograms of the representation lms; give --representation lms"):
        prepare(exported, tmp_path / "out", None, SourceOptions(FeatureSettings("cqt")), workers=1)
    with pytest.raises(DataError, match="with other feature settings than these"):
        prepare(exported, tmp_path / "out", None, SourceOptions(FeatureSettings(n_fft=1024)), workers=1)


def test_what_an_export_has_lost_is_named(exported: Path, tmp_path: Path) -> None:
    content = json.loads((exported / "cmcgan.json").read_text())
    (exported / "cmcgan.json").write_text(json.dumps({**content, "content": "0123"}))
    assert plan(exported, None, OPTIONS).content == "0123"
    (exported / "test-000000.tar").unlink()
    damaged = exported / "train-000001.tar"
    os.truncate(damaged, damaged.stat().st_size // 2)
    shutil.copy(exported / "train-000000.tar", exported / "train-000000 (1).tar")
    report = prepare(exported, tmp_path / "out", None, OPTIONS, workers=1)
    reasons = [(entry.file, entry.reason) for entry in report.skipped]
    assert ("test-000000.tar", "is missing; cmcgan.json names it") in reasons
    assert ("train-000000 (1).tar", "is not one of the shards that cmcgan.json names") in reasons
    assert any(file == "train-000001.tar" and "is damaged or cut" in reason for file, reason in reasons)
    assert any(file == "train-000001.tar" and "cmcgan.json says 20" in reason for file, reason in reasons)
    assert 38 < report.pairs < 57
    # It is not the dataset that was exported any more.
    assert open_dataset(tmp_path / "out").content not in ("", "0123")
    assert prepare(exported, tmp_path / "out", None, OPTIONS, workers=1).already_complete


@pytest.mark.parametrize(("suffix", "reason"), [("png", "differs from its checksum"), ("npy", "has a damaged spec")])
def test_a_changed_pair_of_an_export_is_named(tmp_path: Path, suffix: str, reason: str) -> None:
    write_tar(tmp_path / "source" / "0.tar", sample("a", "flute", split="train") | sample("b", "tuba", split="train"))
    prepare(tmp_path / "source", tmp_path / "data", None, OPTIONS, workers=1)
    export_dataset(tmp_path / "data", tmp_path / "shards", "webdataset", workers=1)
    shard = tmp_path / "shards" / "train-000000.tar"
    with tarfile.open(shard) as tar:
        members = {entry.name: tar.extractfile(entry).read() for entry in tar}
    other = io.BytesIO()
    Image.new("RGB", (128, 128)).save(other, "PNG")
    members[f"00000001.{suffix}"] = other.getvalue()
    write_tar(shard, members)
    report, pairs = prepare_shards(tmp_path / "shards", tmp_path / "out")
    assert [pair.label for pair in pairs] == ["flute"]
    assert len(report.skipped) == 1
    assert report.skipped[0].file == "train-000000.tar/00000001"
    assert reason in report.skipped[0].reason


@pytest.mark.parametrize("content", ["{", "{}", '{"format": 99}', '{"format": 1, "to": "webdataset"}', "[]"])
def test_a_damaged_description_is_an_error(exported: Path, tmp_path: Path, content: str) -> None:
    (exported / "cmcgan.json").write_text(content)
    with pytest.raises(DataError, match=r"cmcgan\.json (cannot be read|has format)"):
        prepare(exported, tmp_path / "out", None, OPTIONS, workers=1)


@pytest.mark.parametrize("name", ["take 1", "p\udce9.wav", "50%41", "%E9", "%25", "a\nb", "%", "%2525", "Ω%e9"])
def test_from_text_undoes_to_text(name: str) -> None:
    assert from_text(to_text(name)) == name
    assert to_text(from_text(to_text(name))) == to_text(name)


def test_mutants_of_shards_end_in_a_dataset_or_a_sentence(exported: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_tar(tmp_path / "s" / "0.tar", sample("a", "flute", recording="r", start=1) | sample("b", "tuba"))
    for file in (tmp_path / "s" / "0.tar", exported / "test-000000.tar", exported / "cmcgan.json"):
        whole = file.read_bytes()
        for number in range(20):
            content = bytearray(whole)
            # Half of the changes are at the start, in a header or in a text, where they do most.
            for place in rng.integers(600 if number % 2 else len(whole), size=3):
                content[place] = rng.integers(256)
            file.write_bytes(content)
            with suppress(DataError):
                plan(file.parent, None, OPTIONS)
                for recording in WebDataset().recordings(file.parent, OPTIONS)[0][:3]:
                    list(WebDataset().read_pairs(recording, OPTIONS))
        file.write_bytes(whole)
