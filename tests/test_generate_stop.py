"""A folder whose conversion is killed twice is completed, and nothing in it is made twice."""

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
        # Whoever runs the tests in the background has told them to ignore SIGINT, and they would hand that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - there are no threads
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def made(tmp_path: Path) -> dict[str, tuple[int, int]]:
    """Finished results, with what changes if they are written again."""
    stats = {path.name: path.stat() for path in (tmp_path / "made").rglob("[!.]*.png")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_what_was_stopped_twice_is_completed(tiny_run: Path, tmp_path: Path, how: signal.Signals) -> None:
    for number in range(CLIPS):
        name = f"{number % 5}/{number:03d}.wav"
        write_wav(tmp_path / "clips" / name, tone(0.6, 200 + 10 * number) * np.float32(0.5))
    before: dict[str, tuple[int, int]] = {}
    for wanted in (30, 90):
        process = start(tmp_path, tiny_run)
        while len(made(tmp_path)) < wanted and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(how)
        _, said = process.communicate()
        if how == signal.SIGINT:
            assert process.returncode == 130
            assert "the same command goes on where this one was" in said
            assert "Traceback" not in said
        now = made(tmp_path)
        assert wanted <= len(now) < CLIPS
        assert before.items() <= now.items()
        before = now
    process = start(tmp_path, tiny_run)
    out, _ = process.communicate()
    results = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 0
    assert len(results) == CLIPS
    assert sum(result["skipped"] for result in results) == len(before)
    assert before.items() <= made(tmp_path).items()
    assert sorted(made(tmp_path)) == [f"{number:03d}.png" for number in range(CLIPS)]
