"""Measure a rating study under load: what a question costs, how many answers are stored, and slow connections.

The server and the raters run on this machine, over the loopback interface. An answer is a form that is stored on disk,
and the page of the next question; sounds and pictures are requested too if MEDIA is "media". Compare figures of one
run: they depend on how fast the disk commits, which is printed too.

usage: python benchmarks/human_eval_load.py [SECONDS] [MEDIA]      (15 seconds a measurement, without media)
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

import numpy as np

from cmcgan_core.human_eval.create import create_study
from cmcgan_core.human_eval.draw import RatedFolder, RealPair, write_pairs
from cmcgan_core.human_eval.draw import open_rated_model as open_model
from cmcgan_core.human_eval.store import Store
from cmcgan_core.human_eval.study import RatingStudy, StudyPlan

#: Numbers of answers at which the cost of a question is measured.
SIZES = (1_000, 100_000, 1_000_000)
RATERS = 60
SLOW = 1_000


def make_study(root: Path) -> RatingStudy:
    """Create a study of 36 rated pairs and one model: 144 items."""
    rng = np.random.default_rng(0)
    pairs = [
        RealPair(
            f"class{number % 4}/{number}",
            f"class{number % 4}",
            rng.uniform(-0.1, 0.1, 22_050).astype(np.float32),
            rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
        )
        for number in range(40)
    ]
    write_pairs(pairs, root / "samples")
    model = open_model(root / "samples", 0)
    assert isinstance(model, RatedFolder)
    return create_study(root / "study", StudyPlan("ast-aat", per_rater=72), pairs, {"model": model})


def fill(study: RatingStudy, answers: int) -> None:
    """Write this many answers into an empty study, by raters who have answered everything."""
    rng = np.random.default_rng(0)
    with Store(study) as store:
        total = store.total
    database = sqlite3.connect(study.database)
    items = [row[0] for row in database.execute("SELECT id FROM items WHERE role IN ('rated', 'check')")]
    with database:
        for number in range(-(-answers // total)):
            rater = f"r{number:012x}"
            database.execute("INSERT INTO raters VALUES (?, ?, 'en', 0, 0)", (rater, f"{number:064x}"))
            chosen = rng.permutation(items)[:total].tolist()
            rows = [(rater, position, item) for position, item in enumerate(chosen)]
            database.executemany("INSERT INTO assignments VALUES (?, ?, ?, 0, 0, 1)", rows)
            database.executemany("INSERT INTO answers VALUES (?, ?, 0, 1, 1.0, 0, 0.0)", [row[:2] for row in rows])
        counts = database.execute("SELECT count(*), item FROM assignments GROUP BY item").fetchall()
        database.executemany("UPDATE items SET ratings = ? WHERE id = ?", counts)
    database.close()


def measure_questions(study: RatingStudy) -> None:
    """Print what a question costs in studies with more and more answers, without the web pages."""
    print(f"{'answers so far':>16}{'CPU-ms to ask, answer and assign':>36}{'CPU-s to open and check':>26}")
    for size in SIZES:
        copy = RatingStudy(study.root.with_name(f"study {size}"), study.plan)
        shutil.copytree(study.root, copy.root)
        fill(copy, size)
        started = time.process_time()
        with Store(copy) as store:
            opened = time.process_time() - started
            costs = []
            for _ in range(3):
                rater = store.find_rater(store.add_rater("en"))
                assert rater is not None
                while (task := store.next_task(rater)) is not None:
                    started = time.process_time()
                    store.upcoming_task(rater)
                    store.add_answer(rater, task.position, 0, 1, seconds=1.0, replays=0)
                    costs.append(time.process_time() - started)
        print(f"{size:>16,}{1000 * statistics.mean(costs):>36.3f}{opened:>26.3f}", flush=True)
        shutil.rmtree(copy.root)


def measure_commits(folder: Path) -> None:
    """Print how many commits the disk takes in a second, one after the other, as durable as those of a study."""
    database = sqlite3.connect(folder / "commits.db", isolation_level=None)
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE answers (value)"):
        database.execute(statement)
    started = time.monotonic()
    for _ in range(200):
        database.execute("INSERT INTO answers VALUES (1)")
    print(f"single commits: {200 / (time.monotonic() - started):.0f} a second")
    database.close()


class Browser:
    """A rater with one connection, who answers as fast as the server does, and starts again at the end."""

    def __init__(self, port: int, media: bool) -> None:
        self.port = port
        self.media = media
        self.cookie = ""
        self.seconds: list[float] = []

    async def answer_until(self, end: float) -> None:
        """Answer questions until a time of the monotonic clock."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        base, page = await self.join()
        while time.monotonic() < end:
            fields = hidden_fields(page)
            if "position" not in fields:  # all questions are answered
                base, page = await self.join()
                continue
            started = time.monotonic()
            await self.request("POST", f"{base}/answer", {**fields, "value": "1", "seconds": "1"}, 303)
            page = await self.request("GET", f"{base}/rate")
            self.seconds.append(time.monotonic() - started)
            if self.media:
                for name in re.findall(r'data-file="([^"]+)"', page):
                    await self.request("GET", name)
        self.writer.close()

    async def join(self) -> tuple[str, str]:
        """Become a new rater; return the path of the personal link, and the first question."""
        page = await self.request("GET", "/")
        joined = await self.request("POST", "/join", {**hidden_fields(page), "consent": "yes"}, 303)
        base = re.findall(r"location: (/r/[^/]+)/", joined)[0]
        return base, await self.request("GET", f"{base}/rate")

    async def request(self, method: str, path: str, form: dict[str, str] | None = None, status: int = 200) -> str:
        """Send a request, and return the headers and the body of its response."""
        body = urllib.parse.urlencode(form or {})
        self.writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncookie: {self.cookie}\r\ncontent-length: {len(body)}\r\n"
            f"content-type: application/x-www-form-urlencoded\r\n\r\n{body}".encode()
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        if cookie := re.search("set-cookie: ([^;]+)", head):
            self.cookie = cookie[1]
        length = re.search(r"content-length: (\d+)", head)
        content = await self.reader.readexactly(int(length[1]) if length else 0)
        if head.startswith("HTTP/1.1 303") and "/thanks" in head:
            return head
        assert head.startswith(f"HTTP/1.1 {status}"), head
        return head + content.decode("latin-1")


def hidden_fields(page: str) -> dict[str, str]:
    """Return the names and values of a page's hidden form fields."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


async def rate(port: int, seconds: float, media: bool) -> list[float]:
    """Let all raters answer at once; return the time of each answer, seconds."""
    browsers = [Browser(port, media) for _ in range(RATERS)]
    end = time.monotonic() + seconds
    await asyncio.gather(*(browser.answer_until(end) for browser in browsers))
    return sorted(time for browser in browsers for time in browser.seconds)


def open_slow(port: int) -> list[socket.socket]:
    """Open connections that send one byte each."""
    connections = []
    for _ in range(SLOW):
        connections.append(socket.create_connection(("127.0.0.1", port)))
        connections[-1].sendall(b"G")
    return connections


def start_server(study: RatingStudy) -> tuple[subprocess.Popen[bytes], int]:
    """Serve the study on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "cmcgan_cli", "human-eval", "serve", str(study.root), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return server, port
        except OSError:
            time.sleep(0.1)


def cpu_seconds(process: int) -> float:
    """Return the CPU-seconds that a process has used so far, on Linux."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_load(study: RatingStudy, seconds: float, media: bool, slow: bool) -> None:
    """Print answers a second, their times and costs; then stop the server, and count what study.db alone holds."""
    copy = RatingStudy(study.root.with_name("load"), study.plan)
    shutil.copytree(study.root, copy.root)
    server, port = start_server(copy)
    connections = open_slow(port) if slow else []
    before, own = cpu_seconds(server.pid), time.process_time()
    times = asyncio.run(rate(port, seconds, media))
    cpu, own = cpu_seconds(server.pid) - before, time.process_time() - own
    server.send_signal(signal.SIGTERM)
    server.wait()
    for connection in connections:
        connection.close()
    (copy.root / "study.db-wal").unlink(missing_ok=True)
    stored = sqlite3.connect(copy.database).execute("SELECT count(*) FROM answers").fetchone()[0]
    name = f"with {SLOW} slow connections" if slow else "alone"
    print(
        f"{name:<28}{len(times) / seconds:>8.0f}{1000 * times[len(times) // 2]:>12.0f}"
        f"{1000 * times[len(times) * 99 // 100]:>12.0f}{1000 * cpu / len(times):>12.2f}"
        f"{1000 * own / len(times):>12.2f}{stored:>10} of {len(times)}",
        flush=True,
    )
    shutil.rmtree(copy.root)


def main(seconds: str = "15", media: str = "") -> None:
    """Print all measurements."""
    with tempfile.TemporaryDirectory() as name:
        study = make_study(Path(name))
        measure_questions(study)
        measure_commits(Path(name))
        print(
            f"{RATERS} raters{'':<19}{'answers/s':>10}{'median ms':>12}{'99 % ms':>12}{'server':>12}{'raters':>12}"
            f"{'stored':>16}      (server, raters: CPU-ms an answer)"
        )
        for slow in (False, True):
            measure_load(study, float(seconds), media == "media", slow)


if __name__ == "__main__":
    main(*sys.argv[1:])
