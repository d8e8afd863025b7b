"""A conversion of a folder that is killed twice is completed, and no result is generated twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from media_fixtures import tone, write_wav

CLIPS = 200


def start(tmp_path: Path, run: Path) -> "subprocess.Popen[str]":
    arguments = ["generate", "--from", "clips", "--out", "made", "-c", str(run), "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "cmcgan_cli", *arguments],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # Tests that run in the background ignore SIGINT, and the child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - there are no threads
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(tmp_path: Path) -> dict[str, tuple[int, int]]:
    """The inode and the time of each finished result; both change if it is written again."""
    stats = {path.name: path.stat() for path in (tmp_path / "made").rglob("[!.]*.png")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


@pytest.mark.slow
@pytest.mark.parametrize("stop_signal", [signal.SIGKILL, signal.SIGINT])
def test_a_conversion_that_was_stopped_twice_is_completed(
    tiny_run: Path, tmp_path: Path, stop_signal: signal.Signals
) -> None:
    for number in range(CLIPS):
        name = f"{number % 5}/{number:03d}.wav"
        write_wav(tmp_path / "clips" / name, tone(0.6, 200 + 10 * number) * np.float32(0.5))
    before: dict[str, tuple[int, int]] = {}
    for target in (30, 90):
        process = start(tmp_path, tiny_run)
        while len(finished(tmp_path)) < target and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(stop_signal)
        _, errors = process.communicate()
        if stop_signal == signal.SIGINT:
            assert process.returncode == 130
            assert "stopped; the same command resumes" in errors
            assert "Traceback" not in errors
        now = finished(tmp_path)
        assert target <= len(now) < CLIPS
        assert before.items() <= now.items()
        before = now
    process = start(tmp_path, tiny_run)
    out, _ = process.communicate()
    results = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 0
    assert len(results) == CLIPS
    assert sum(result["skipped"] for result in results) == len(before)
    assert before.items() <= finished(tmp_path).items()
    assert sorted(finished(tmp_path)) == [f"{number:03d}.png" for number in range(CLIPS)]
