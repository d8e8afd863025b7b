"""Names, lists and folders: one odd entry is named and never stops the others."""

import csv
import io
import json
import os
import socket
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Run
from media_fixtures import class_folders, plain, tone, write_jpg, write_video, write_wav

from cmcgan_cli import app, console
from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.prepare import SourceOptions, check, prepare
from cmcgan_core.errors import ConfigError, DataError, MediaError
from cmcgan_core.human_eval.draw import RealPair, draw_pairs, open_rated_model, write_pairs
from cmcgan_core.inference.generate.batch import generate_all
from cmcgan_core.inference.generate.plan import OutputOptions, Task, plan
from cmcgan_core.inference.inputs import Input, expand, read_list, split_list
from cmcgan_core.inference.retrieve.files import find_gallery
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.media.files import announced_seconds, read_picture, read_sound, require_file, write_sound
from cmcgan_core.run_folder import find_checkpoint
from cmcgan_core.utils.names import is_ignored, shorten, to_text

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not allow these names")

#: A name that is not UTF-8: an é in Latin-1.
LATIN = os.fsdecode(b"p\xe9")


def plan_folder(folder: Path, out: Path = Path("made")) -> dict[str, Task]:
    """The tasks of a folder, by the names of their inputs."""
    tasks = plan(expand([str(folder)], out), out, OutputOptions(), SamplingOptions())
    return {str(task.source.relative_to(folder)): task for task in tasks}


def deny(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let a folder be unreadable, also for root, who may read all folders."""
    scan, list_ = os.scandir, os.listdir

    def check_name(name: object) -> None:
        if str(name) == str(folder):
            raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", lambda name=".": check_name(name) or scan(name))
    monkeypatch.setattr(os, "listdir", lambda name=".": check_name(name) or list_(name))


# Names that are not text


def test_media_with_any_name_are_read_and_written(tmp_path: Path) -> None:
    sound, film = tmp_path / f"{LATIN}.wav", tmp_path / f"{LATIN}.mp4"
    write_sound(sound, tone(0.6), 44_100)
    write_video(tmp_path / "film.mp4", [plain((9, 9, 9))] * 5, sound=tone(0.5)).rename(film)
    assert len(read_sound(sound, 44_100)) == len(tone(0.6))
    assert announced_seconds(film) == pytest.approx(0.5, abs=0.1)
    assert {file.name for file in tmp_path.iterdir()} == {sound.name, film.name}


@pytest.mark.parametrize("layout", ["classes", "videos"])
def test_a_source_whose_names_are_not_text_gives_a_dataset(tmp_path: Path, layout: str) -> None:
    root, out = tmp_path / os.fsdecode(b"s\xfct"), tmp_path / os.fsdecode(b"d\xe4ta")
    label = os.fsdecode(b"fl\xf6te")
    for name, grey in ((label, 50), ("tuba", 90)):
        if layout == "classes":
            write_jpg(root / "photos" / name / f"{LATIN}.jpg", plain((grey, 0, 0)))
            (root / "recordings" / name).mkdir(parents=True)
            write_sound(root / "recordings" / name / f"{LATIN}.wav", tone(1.1), 44_100)
            (root / "recordings" / name / f"{LATIN} 2.wav").write_text("broken")
        else:
            film = write_video(tmp_path / "film.mp4", [plain((grey, 0, 0))] * 12, sound=tone(1.2))
            (root / name).mkdir(parents=True)
            film.rename(root / name / f"{LATIN}.mp4")
            (root / name / f"{LATIN} 2.mp4").write_text("broken")
    report = prepare(root, out, None, SourceOptions(), workers=1)
    assert not check(out)
    dataset = open_dataset(out)
    assert dataset.classes == ("fl%F6te", "tuba")
    assert report.counts.keys() <= {"train", "validation", "test"}
    assert all("p%E9" in pair.sound_file and "p%E9" in pair.id for pair in dataset.pairs)
    for file in ("index.csv", "skipped.csv", "dataset.toml"):
        assert "%E9" in (out / file).read_text(encoding="utf-8") or file == "dataset.toml"
    assert json.loads(json.dumps(report.to_dict()))["skipped"][0]["file"].count("%E9") == 1
    again = prepare(root, out, None, SourceOptions(), workers=1)
    assert again.already_complete
    assert again.skipped == report.skipped


def test_labels_name_videos_whose_names_are_not_text(tmp_path: Path) -> None:
    write_video(tmp_path / "v" / "film.mp4", [plain((9, 9, 9))] * 12, sound=tone(1.2)).rename(
        tmp_path / "v" / f"{LATIN}.mp4"
    )
    (tmp_path / "labels.csv").write_bytes(b"file,label\np\xe9.mp4,horn\n")
    options = SourceOptions(labels=tmp_path / "labels.csv")
    prepare(tmp_path / "v", tmp_path / "out", None, options, workers=1)
    assert open_dataset(tmp_path / "out").pairs[0].recording == "p%E9.mp4"


def test_names_as_text_stay_distinct() -> None:
    names = [
        LATIN,
        "p%E9",
        "p%25E9",
        "p%2525E9",
        "pé",
        "p%e9",
        "50 % off",
        "p%",
        "p%41",
        os.fsdecode(b"%\xe9"),
        "%25%E9",
    ]
    texts = [to_text(name) for name in names]
    assert len(set(texts)) == len(names)
    assert all(text.encode() for text in texts)
    assert texts[4:8] == names[4:8]
    assert to_text("a\rb\nc%0D") == "a%0Db%0Ac%250D"


# Names that are too long


def test_a_name_that_leaves_no_room_for_a_suffix_is_named_and_the_others_are_made(tmp_path: Path) -> None:
    long = "b" * 251 + ".jpg"
    write_jpg(tmp_path / "in" / "good.jpg", plain((1, 2, 3)))
    (tmp_path / "in" / long).write_bytes((tmp_path / "in" / "good.jpg").read_bytes())
    tasks = plan(expand([str(tmp_path / "in")]), tmp_path / "made", OutputOptions(), SamplingOptions())
    box = load_checkpoint(find_checkpoint(Path("box")), torch.device("cpu"))
    bad, good = generate_all(box, tasks, SamplingOptions(), OutputOptions())
    assert "longer than 255 bytes" in bad.error
    assert long in bad.error
    assert (good.error, len(good.outputs)) == ("", 3)


def test_a_name_that_no_file_system_takes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(Path("good.wav"), tone(0.6))
    names = ["x" * 300 + ".wav", "y/" * 3000 + "a.wav", "x" * 300]
    tasks = plan(expand([*names, "good.wav"], Path("made")), Path("made"), OutputOptions(), SamplingOptions())
    assert [bool(task.error) for task in tasks] == [True, True, True, False]
    assert "file name too long" in tasks[0].error


def test_a_pair_whose_name_is_too_long_is_written(tmp_path: Path) -> None:
    names = [f"horn/{'ü' * 120}{end}" for end in ("a", "b")]
    pairs = [RealPair(name, "horn", tone(0.5), plain((1, 2, 3))) for name in names]
    write_pairs(pairs, tmp_path / "out")
    assert len(draw_pairs(tmp_path / "out", 9, 0)) == 2
    assert shorten(Path("a/short.wav")) == Path("a/short.wav")


# Lists


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"\xef\xbb\xbfa.wav\r\nb c.wav\r\n", ["a.wav", "b c.wav"]),
        ("a\u2028b.wav\na\x85b\x0bc.wav\na\rb.wav\n".encode(), ["a\u2028b.wav", "a\x85b\x0bc.wav", "a\rb.wav"]),
        (b"a\nb.wav\0c\r\n.wav\0", ["a\nb.wav", "c\r\n.wav"]),
        (b"p\xe9.wav\n", [f"{LATIN}.wav"]),
        (
            b".\n./a.wav\n./.DS_Store\n./__MACOSX/a.wav\n./._a.wav\n./.hidden/b.wav\n",
            [".", "./a.wav", "./.hidden/b.wav"],
        ),
        (b"", []),
    ],
)
def test_a_list_is_split_at_the_ends_of_lines_or_at_nul_only(data: bytes, names: list[str]) -> None:
    assert split_list(read_list(data)) == names


@pytest.mark.parametrize("data", ["a.wav\nb.wav\n".encode(coding) for coding in ("utf-16", "utf-16-le", "utf-16-be")])
def test_a_list_in_utf_16_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"UTF-16.*iconv"):
        read_list(data)


def test_a_folder_in_a_list_is_named_and_the_others_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(Path("a/good.wav"), tone(0.6))
    Path("notes.txt").touch()
    listed = ".\n./a\n./a/good.wav\n./notes.txt\n..\n/\n./missing.wav\n"
    tasks = plan(expand(["-"], listed=listed), Path("made"), OutputOptions(), SamplingOptions())
    errors = {str(task.source): task.error for task in tasks}
    assert errors["a/good.wav"] == ""
    assert [errors[name] for name in (".", "a", "/")] == [
        f"{name}: is a directory, not a file" for name in (".", "a", "/")
    ]
    assert "neither a sound" in errors["notes.txt"]
    assert len(errors) == 7


def test_equal_names_in_several_folders_keep_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/x.wav", "b/x.wav", "b/deep/x.wav", "c/y.wav"):
        write_wav(tmp_path / name, tone(0.6))

    def outputs(*sources: str, listed: str = "") -> list[str]:
        tasks = plan(expand(sources, listed=listed), Path("made"), OutputOptions(), SamplingOptions())
        assert not any(task.error for task in tasks)
        return sorted(str(task.paths[0].relative_to("made")) for task in tasks)

    listed = "".join(f"{tmp_path}/{name}\n" for name in ("a/x.wav", "b/x.wav", "c/y.wav"))
    assert outputs("-", listed=listed) == ["a/x.png", "b/x.png", "y.png"]
    monkeypatch.chdir(tmp_path / "c")
    assert outputs("-", listed="../a/x.wav\n../b/x.wav\ny.wav\n") == ["a/x.png", "b/x.png", "y.png"]
    assert outputs("../a/x.wav", "../b/deep/x.wav") == ["a/x.png", "b/deep/x.png"]
    assert outputs("../a", "../b") == ["a/x.png", "b/x.png", "deep/x.png"]
    assert outputs("../a/x.wav", "../c/../a/x.wav") == ["x.png"]


# Names that differ only in case


def test_names_that_differ_only_in_case_are_named_and_the_others_are_made(tmp_path: Path) -> None:
    for name in ("deep/A.WAV", "deep/a.wav", "b.wav", "x.wav", "x.flac", "x.wav.aiff"):
        write_wav(tmp_path / "good.wav", tone(0.6)).rename(
            (tmp_path / name).parent.mkdir(exist_ok=True) or tmp_path / name
        )
    tasks = plan_folder(tmp_path)
    assert "differs only in case" in tasks["deep/a.wav"].error
    assert "differs only in case" in tasks["deep/A.WAV"].error
    made = {name: task.paths[0].name for name, task in tasks.items() if not task.error}
    assert made == {"b.wav": "b.png", "x.wav": "x.wav.png", "x.flac": "x.flac.png", "x.wav.aiff": "x.wav.aiff.png"}


def test_composed_and_decomposed_names_are_two_files(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        write_wav(tmp_path / f"{unicodedata.normalize(form, 'é')}.wav", tone(0.6))
    assert len({task.paths for task in plan_folder(tmp_path).values()}) == 2


def test_an_output_that_would_replace_an_input_is_named_and_the_others_are_made(tmp_path: Path) -> None:
    for name in ("same.wav", "other.wav"):
        write_wav(tmp_path / name, tone(0.6))
    write_jpg(tmp_path / "same.png", plain((1, 2, 3)))
    inputs = [Input(tmp_path / name, Path(name)) for name in ("same.wav", "same.png", "other.wav")]
    errors = [task.error for task in plan(inputs, tmp_path, OutputOptions(), SamplingOptions())]
    assert ["which is an input" in error for error in errors] == [True, True, False]
    assert errors[2] == ""


# Folders


@pytest.fixture
def clutter(tmp_path: Path) -> Path:
    """Class folders with what operating systems, and our own commands, add to them."""
    root = class_folders(tmp_path / "set", ["horn"], sounds=2, pictures=2)
    for name in (
        "__MACOSX/recordings/horn/._take 0.wav",
        "__MACOSX/recordings/horn/take 0.wav",
        "recordings/horn/._take 0.wav",
        "recordings/.DS_Store",
        "photos/horn/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg",
        "photos/horn/.thumbnails/0.png",
        "lost+found/x.wav",
        "photos/horn/generated.lms.png",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"Mac OS X")
    return root


def test_files_that_systems_make_are_ignored_everywhere(clutter: Path, tmp_path: Path) -> None:
    names = ["photos/horn/0.png", "photos/horn/1.png", "recordings/horn/take 0.wav", "recordings/horn/take 1.wav"]
    assert [item.relative.as_posix() for item in expand([str(clutter)])] == names
    assert [item.relative.as_posix() for item in expand([f"{clutter}/**/*.wav"])] == names[2:]
    assert find_gallery([str(clutter)]).files == [clutter / name for name in names]
    assert prepare(clutter, tmp_path / "out", None, SourceOptions(), workers=1).skipped == ()
    assert open_rated_model(clutter, 0).available("recordings/horn/take 0") == ("sound",)
    assert not is_ignored(["DS_Store.wav", "MACOSX"])


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(tmp_path / "set", ["horn", "drum"], sounds=2, pictures=2)
    secret = root / "recordings" / "drum"
    deny(monkeypatch, secret)
    tasks = plan_folder(root)
    assert tasks["recordings/drum"].error == f"{secret}: the folder cannot be read (permission denied)"
    assert not tasks["recordings/horn/take 0.wav"].error
    assert [item.path for item in expand([str(secret)])] == [secret]
    skipped = prepare(root, tmp_path / "out", None, SourceOptions(), workers=1).skipped
    assert ("recordings/drum", "the folder cannot be read (permission denied)") in skipped
    with pytest.raises(DataError, match="drum: the folder cannot be read"):
        draw_pairs(root, 4, 0)


@pytest.mark.parametrize("pattern", ["**/*.wav", "*/*/*.wav", "recordings/*/*.wav", "recordings/drum/*.wav", "**"])
def test_a_folder_that_cannot_be_read_is_named_where_a_pattern_searches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    root = class_folders(tmp_path / "set", ["horn", "drum"], sounds=1, pictures=1)
    secret = root / "recordings" / "drum"
    deny(monkeypatch, secret)
    found = [item.path for item in expand([f"{root}/{pattern}"])]
    assert found.count(secret) == 1
    assert (root / "recordings" / "horn" / "take 0.wav" in found) == (pattern != "recordings/drum/*.wav")
    tasks = plan(expand([f"{root}/{pattern}"]), Path("made"), OutputOptions(), SamplingOptions())
    errors = {task.source: task.error for task in tasks if task.error}
    assert errors == {secret: f"{secret}: the folder cannot be read (permission denied)"}


def test_a_folder_that_a_pattern_does_not_search_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(tmp_path / "set", ["horn", "drum"], sounds=1, pictures=1)
    deny(monkeypatch, root / "recordings" / "drum")
    assert [item.path.name for item in expand([f"{root}/*/horn/*.wav"])] == ["take 0.wav"]


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", ["x.wav", "x.jpg", "x.mp4"])
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_fifo, "is not a regular file"),
        (make_socket, "is not a regular file"),
        (link_to_device, "is not a regular file"),
        (link_to_itself, "too many levels of symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "is a link to a file that does not exist"),
    ],
)
def test_what_is_no_file_is_named_and_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], reason: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    write_wav(tmp_path / "good.wav", tone(0.6))
    tasks = plan_folder(tmp_path)
    assert tasks["good.wav"].error == ""
    assert name in tasks
    for read in (require_file, lambda path: read_sound(path, 44_100), read_picture, announced_seconds):
        with pytest.raises(MediaError, match=reason):
            read(tmp_path / name)


@pytest.mark.parametrize("make", [make_fifo, link_to_itself])
def test_prepare_lists_what_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    root = class_folders(tmp_path / "set", ["horn"], sounds=2, pictures=2)
    make(root / "recordings" / "horn" / "x.wav")
    make(root / "photos" / "horn" / "x.jpg")
    skipped = dict(prepare(root, tmp_path / "out", None, SourceOptions(), workers=1).skipped)
    assert set(skipped) == {"recordings/horn/x.wav", "photos/horn/x.jpg"}


def test_each_folder_is_read_once_and_links_do_not_lead_out(tmp_path: Path) -> None:
    write_wav(tmp_path / "set" / "a" / "x.wav", tone(0.1))
    write_wav(tmp_path / "elsewhere" / "y.wav", tone(0.1))
    write_wav(tmp_path / "z.wav", tone(0.1))
    for name, target in (("a/loop", ".."), ("b", "a"), ("up", "../.."), ("more", "../elsewhere")):
        (tmp_path / "set" / name).symlink_to(target)
    names = [item.relative.as_posix() for item in expand([str(tmp_path / "set")])]
    assert names == ["a/x.wav", "more/y.wav"]


# Rating studies


def test_pairs_with_equal_names_in_several_folders_are_all_written(tmp_path: Path) -> None:
    names = [f"horn/day {day}/take" for day in range(4)] + ["horn/take"]
    write_pairs([RealPair(name, "horn", tone(0.5), plain((9, 9, 9))) for name in names], tmp_path / "pairs")
    assert sorted(pair.name for pair in draw_pairs(tmp_path / "pairs", 9, 0)) == sorted(names)
    for name in ("../take", "/tmp/take"):
        with pytest.raises(DataError, match="cannot be a name in"):
            write_pairs([RealPair(name, "", tone(0.5), plain((9, 9, 9)))], tmp_path / "pairs")


def test_names_of_pairs_are_text(tmp_path: Path) -> None:
    write_sound(tmp_path / f"{LATIN}.wav", tone(0.5), 44_100)
    write_jpg(tmp_path / "picture.jpg", plain((1, 2, 3))).rename(tmp_path / f"{LATIN}.jpg")
    assert [pair.name for pair in draw_pairs(tmp_path, 1, 0)] == ["p%E9"]


# The command line


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "--from", ""),
        ("classify", "--from", "a.wav", "--from", ""),
        ("retrieve", "--from", "a.wav", "--in", ""),
        ("retrieve", "--from", "", "--in", "a"),
    ],
)
def test_an_empty_name_is_a_wrong_command_line(cmcgan: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = cmcgan(*arguments)
    assert (code, out) == (2, "")
    assert "an empty name is no input" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "--from", "a.wav", "--out", ""),
        ("generate", "--from", "a.wav", "--out="),
        ("prepare", ""),
        ("train", "data", "-o", ""),
        ("compare", "data", "run", ""),
        ("human-eval", "serve", ""),
    ],
)
def test_an_empty_path_is_not_the_current_folder(cmcgan: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = cmcgan(*arguments)
    assert (code, out) == (2, "")
    assert "an empty name is no file or folder" in err


@pytest.fixture
def dry_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, bytes]]:
    """`cmcgan generate --dry-run` in an empty folder: exit code, and standard output in an encoding as bytes."""
    monkeypatch.chdir(tmp_path)

    def call(names: list[bytes], listed: bytes = b"", encoding: str = "utf-8") -> tuple[int, bytes]:
        sources = [argument for name in names for argument in ("--from", os.fsdecode(name))]
        monkeypatch.setattr(sys, "argv", ["cmcgan", "generate", *sources, "--dry-run", "--out", "made"])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
        stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(SystemExit) as end:
            app.main()
        return int(end.value.code or 0), stdout.buffer.getvalue()  # type: ignore[attr-defined]

    return call


def test_paths_are_printed_as_they_are(dry_run: Callable[..., tuple[int, bytes]]) -> None:
    odd = [b"take:violin:1", b"tab\tcr\ra", b"p\xe9", b"[red]a[b]", "é  ü".encode(), b"x" * 200]
    for name in odd:
        write_sound(Path(os.fsdecode(name) + ".wav"), tone(0.6), 44_100)
    printed = b"".join(name + b".wav -> made/" + name + b".png\n" for name in odd)
    names = [name + b".wav" for name in odd]
    assert dry_run(names) == (0, printed)
    assert dry_run(names, encoding="ascii") == (0, printed)


def test_a_list_on_standard_input_is_read_as_bytes(
    dry_run: Callable[..., tuple[int, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    write_sound(Path(f"{LATIN}.wav"), tone(0.6), 44_100)
    printed = b"p\xe9.wav -> made/p\xe9.png\n. -> .: is a directory, not a file\n"
    assert dry_run([b"-"], b"\xef\xbb\xbfp\xe9.wav\r\n.\n") == (1, printed), "one entry cannot be used"
    assert dry_run([b"-"], "a.wav\n".encode("utf-16")) == (1, b"")
    assert capsys.readouterr().err.startswith("error: the list of files is UTF-16")


def test_json_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit_json({"path": Path("é:violin:\t") / LATIN})
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text) == {"path": f"é:violin:\t/{LATIN}"}


def test_rows_of_csv_can_hold_any_name(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["a,b", "a\rb", "a\nb", 'a"b', "é"]
    console.print_row(names)
    text = capsys.readouterr().out
    assert next(csv.reader(io.StringIO(text, newline=""))) == names
    assert text.endswith("\n")
    assert not text.endswith("\r\n")


def test_messages_show_control_characters_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    console.err.cache_clear()
    console.note("a\x1b[31m\tb\r:violin:\nc")
    assert capsys.readouterr().err == "a\\x1b[31m\\tb\\r:violin:\nc\n"


def test_a_full_disk_behind_standard_output_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cmcgan", "--version"])
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as end:
            app.main()
        assert end.value.code == 1
    assert capsys.readouterr().err == "error: the output cannot be written (no space left on device)\n"


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_closed_stream_is_an_empty_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_sound(Path("x.wav"), tone(0.6), 44_100)
    monkeypatch.setattr(sys, "argv", ["cmcgan", "generate", "--from", "x.wav", "--dry-run"])
    monkeypatch.setattr(sys, name, None)
    with pytest.raises(SystemExit) as end:
        app.main()
    assert not end.value.code
