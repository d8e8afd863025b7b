"""What a killed process leaves behind is removed by the next command that writes to the folder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from media_fixtures import plain, tone

from cmcgan_core.errors import MediaError
from cmcgan_core.media.files import write_picture, write_sound
from cmcgan_core.media.film import write_film, write_sequence
from cmcgan_core.utils import files
from cmcgan_core.utils.files import TEMPORARY_SUFFIX, atomic_folder, atomic_write, remove_stale, write_text

#: Ends this process as SIGKILL does, in the middle of writing.
KILLED = """
import os, sys
from pathlib import Path
from cmcgan_core.utils.files import atomic_folder, atomic_write
with {function}(Path(sys.argv[1])) as temporary:
    os.kill(os.getpid(), 9)
"""


def leave(path: Path, function: str = "atomic_write") -> Path:
    """Let a process be killed while it writes, and return what it leaves."""
    before = set(path.parent.iterdir())
    assert subprocess.run([sys.executable, "-c", KILLED.format(function=function), path], check=False).returncode == -9
    (left,) = set(path.parent.iterdir()) - before
    return left


@pytest.mark.parametrize("function", ["atomic_write", "atomic_folder"])
def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path, function: str) -> None:
    left = leave(tmp_path / ("ü" * 120 + ".mp4"), function)
    assert left.name.endswith(TEMPORARY_SUFFIX)
    assert left.is_dir() == (function == "atomic_folder")
    write_text(tmp_path / "other.txt", "")
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]


def test_what_is_still_written_and_what_is_not_ours_is_kept(tmp_path: Path) -> None:
    foreign = [tmp_path / name for name in (".x.png.abcdefgh.tmp", "cmcgan.tmp", ".cmcgan")]
    for path in foreign:
        path.touch()
    (tmp_path / f".link{TEMPORARY_SUFFIX}").symlink_to(tmp_path / "cmcgan.tmp")
    os.mkfifo(tmp_path / f".pipe{TEMPORARY_SUFFIX}")
    with atomic_write(tmp_path / "a.txt") as file, atomic_folder(tmp_path / "b") as folder:
        file.write_text("a")
        (folder / "b.txt").write_text("b")
        remove_stale(tmp_path)
        assert (file.exists(), folder.exists()) == (True, True)
    assert (tmp_path / "a.txt").read_text() + (tmp_path / "b" / "b.txt").read_text() == "ab"
    assert all(path.exists() for path in foreign)
    remove_stale(tmp_path / "missing")


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_picture(folder / "x.png", plain((1, 2, 3))),
        lambda folder: write_sound(folder / "x.wav", tone(0.1), 44_100),
        lambda folder: write_film(folder / "x.mp4", [plain((1, 2, 3))] * 3, 10),
        lambda folder: write_film(folder / "x.gif", [plain((1, 2, 3))] * 3, 10),
        lambda folder: write_sequence(folder / "x.frames", [plain((1, 2, 3))] * 3),
    ],
)
def test_a_temporary_file_stays_locked_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    """A writer that replaced the file by another one would lose the lock."""
    locked: list[int] = []
    lock = files._lock

    def remember(handle: int) -> None:
        lock(handle)
        locked.append(os.fstat(handle).st_ino)

    monkeypatch.setattr(files, "_lock", remember)
    write(tmp_path)
    (made,) = tmp_path.iterdir()
    assert made.stat().st_ino in locked


def test_an_older_folder_is_replaced_only_if_asked(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "answers").write_text("yes")
    with pytest.raises(OSError, match="not empty"), atomic_folder(tmp_path / "study"):
        pass
    with atomic_folder(tmp_path / "study", overwrite=True) as folder:
        (folder / "new").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["study", "study/new"]


@pytest.mark.parametrize("moment", ["_open", "_lock"])
def test_a_file_that_another_process_took_for_stale_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    call, calls = getattr(files, moment), []

    def lose_first(argument: object) -> object:
        calls.append(argument)
        if len(calls) == 1:
            for path in tmp_path.iterdir():
                path.unlink()
        return call(argument)

    monkeypatch.setattr(files, moment, lose_first)
    write_text(tmp_path / "a.txt", "a")
    assert len(calls) == 2
    assert (tmp_path / "a.txt").read_text() == "a"


def test_a_full_disk_is_named_whatever_the_library_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    with pytest.raises(RuntimeError, match="System error"), atomic_write(tmp_path / "a.wav"):
        raise RuntimeError("System error.")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=4096))
    with pytest.raises(OSError, match=f"no space left on device, in {tmp_path}"), atomic_write(tmp_path / "a.wav"):
        raise RuntimeError("System error.")
    with pytest.raises(MediaError, match="damaged"), atomic_write(tmp_path / "a.wav"):
        raise MediaError("damaged")
    assert not any(tmp_path.iterdir())


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows as far as Linux can be it: without flock, and without renaming or flushing files that are in use."""

    def is_open(path: Path) -> bool:
        return path.resolve() in [link.resolve() for link in Path("/proc/self/fd").iterdir()]

    def refusing(rename: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def checked(path: Path, target: Path) -> Path:
            if is_open(path):
                raise PermissionError(13, "The process cannot access the file because it is being used", str(path))
            return rename(path, target)

        return checked

    def flush(handle: int) -> None:
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(9, "Bad file descriptor")

    import fcntl

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "replace", refusing(Path.replace))
    monkeypatch.setattr(Path, "rename", refusing(Path.rename))
    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.delattr(os, "O_NOFOLLOW")


@pytest.mark.usefixtures("on_windows")
def test_without_locks_files_are_still_written_whole_and_what_is_left_is_kept(tmp_path: Path) -> None:
    (tmp_path / f".left{TEMPORARY_SUFFIX}").touch()
    write_text(tmp_path / "a.txt", "old")
    write_text(tmp_path / "a.txt", "new")
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "b", overwrite=True) as folder:
            (folder / content).touch()
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "a.txt"):
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == [f".left{TEMPORARY_SUFFIX}", "a.txt", "b", "new"]
