"""A lock file keeps other processes out, and a process that waits for it says so."""

import subprocess
import sys
from pathlib import Path

import pytest
from media_fixtures import class_folders

from cmcgan_core.data.prepare import SourceOptions, prepare
from cmcgan_core.errors import DataError
from cmcgan_core.evaluation.judges import one_trainer
from cmcgan_core.progress import Progress, silent
from cmcgan_core.utils.files import exclusive_lock

#: A script that holds a lock until its standard input ends.
HOLDING = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(file: Path) -> subprocess.Popen[str]:
    """Start another process that holds a lock."""
    command = [sys.executable, "-c", HOLDING, str(file)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_waiting_for_a_lock_is_reported(tmp_path: Path) -> None:
    process, reports = hold(tmp_path / "lock"), []

    def release(progress: Progress) -> None:
        reports.append((progress.stage, process.poll()))
        process.communicate("")

    with exclusive_lock(tmp_path / "lock", release):
        assert process.returncode == 0
    ((stage, running),) = reports
    assert str(tmp_path / "lock") in stage
    assert running is None
    with exclusive_lock(tmp_path / "lock", release):
        assert len(reports) == 1


def test_judges_can_be_used_in_a_folder_that_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    with one_trainer(tmp_path / "data", silent):
        entered = True
    assert entered


def test_two_preparations_of_one_folder_are_refused(tmp_path: Path) -> None:
    root, out = class_folders(tmp_path / "set", ["horn"], sounds=2, pictures=2), tmp_path / "out"
    out.mkdir()
    process = hold(out / ".lock")
    with pytest.raises(DataError, match=r"another process is at work in .*out; when it has ended, run the same"):
        prepare(root, out, None, SourceOptions(), workers=1)
    assert [path.name for path in out.iterdir()] == [".lock"]
    process.kill()
    process.wait()
    assert prepare(root, out, None, SourceOptions(), workers=1).pairs == 4  # a lock that is left blocks nobody
