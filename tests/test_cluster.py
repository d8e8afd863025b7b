"""`--scheduler`: the results of a cluster are those of one process, also if workers die, come late or differ."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import Run
from distributed import Client, LocalCluster
from media_fixtures import tone, write_wav
from PIL import Image

from cmcgan_core.errors import ConfigError, DataError, MediaError
from cmcgan_core.progress import Progress
from cmcgan_core.utils import cluster
from cmcgan_core.utils.cluster import Cluster, Requirements, connect

#: An address where nobody answers: port 1 needs rights that tests do not have.
NOBODY = "tcp://127.0.0.1:1"


@pytest.fixture(scope="module")
def inner() -> Iterator[Cluster]:
    """A cluster with one worker, a thread of this process."""
    with (
        LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address=None) as workers,
        Client(workers, set_as_default=False) as client,
    ):
        yield Cluster(client)


@pytest.fixture
def connected(inner: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `--scheduler` of any address mean `inner`."""

    @contextmanager
    def connect_inner(address: str) -> Iterator[Cluster]:
        # The working directory may have changed.
        yield Cluster(inner._client)

    monkeypatch.setattr(cluster, "connect", connect_inner)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all visible files below a folder, by their relative names."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def write_clips(folder: Path, count: int) -> Path:
    """Write sounds, as many pictures, and a file that is neither."""
    for number in range(count):
        write_wav(folder / f"{number:02d}.wav", tone(0.6, 200 + 20 * number))
        Image.new("RGB", (64, 64), (10 * number, 90, 200 - 9 * number)).save(folder / f"picture {number:02d}.png")
    (folder / "bad.wav").write_bytes(b"no sound")
    return folder


def documents(text: str) -> list[dict[str, Any]]:
    """Return the JSON documents of `generate`, without what differs between two runs."""
    parsed = [json.loads(line) for line in text.splitlines()]
    return [{**item, "seconds": None, "outputs": [Path(p).name for p in item["outputs"]]} for item in parsed]


def double(number: int) -> int:
    return 2 * number


def refuse(number: int) -> int:
    raise MediaError(f"{number}.wav: no such file")


def test_results_come_with_their_positions(inner: Cluster) -> None:
    assert sorted(inner.run(double, [(1,), (5,)], [[], []])) == [(0, 2), (1, 10)]
    assert list(inner.run(double, [], [])) == []


def test_an_error_of_a_task_is_raised_here(inner: Cluster) -> None:
    with pytest.raises(MediaError, match=r"3\.wav: no such file"):
        list(inner.run(refuse, [(3,)], [[]]))


def test_a_path_that_a_worker_cannot_see_is_an_error(inner: Cluster, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot see .*missing; give all machines the same files"):
        next(inner.run(double, [(1,)], [[tmp_path / "missing"]]))
    # A worker that joins late is checked with its first task.
    with pytest.raises(ConfigError, match=r"worker .* cannot see .*missing"):
        list(inner.run(double, [(1,), (2,)], [[], [tmp_path / "missing"]]))


def test_a_worker_with_another_version_is_an_error(inner: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = Requirements.of_this_process().versions
    monkeypatch.setattr(inner, "_requirements", Requirements(Path.cwd(), {**versions, "torch": "2.0.1"}))
    with pytest.raises(ConfigError, match=r"has torch .*, but this machine has 2\.0\.1; install the same version"):
        next(inner.run(double, [(1,)], [[]]))


def test_prepare_writes_the_bytes_of_one_process(connected: None, cmcgan: Run, tmp_path: Path) -> None:
    command = ["prepare", "demo", "--pairs", 52, "--quiet", "--out"]
    assert cmcgan(*command, tmp_path / "one" / "set", "--workers", 1)[0] == 0
    assert cmcgan(*command, tmp_path / "many" / "set", "--scheduler", "host:1")[0] == 0
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_generate_and_classify_give_the_results_of_one_process(connected: None, cmcgan: Run, tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", 3)
    for name, options in (("one", ()), ("many", ("--scheduler", "host:1"))):
        for command in ("generate", "classify"):
            out = ("--out", tmp_path / name) if command == "generate" else ()
            code, said, errors = cmcgan(command, clips, "-c", "box", "--json", "--quiet", *out, *options)
            assert code == 1
            assert "bad.wav" in errors
            (tmp_path / f"{command}-{name}.json").write_text(said)
    made = contents(tmp_path / "one")
    assert len(made) == 3 + 3 * 3
    assert contents(tmp_path / "many") == made
    one, many = (documents((tmp_path / f"generate-{name}.json").read_text()) for name in ("one", "many"))
    assert many == one
    assert (tmp_path / "classify-many.json").read_text() == (tmp_path / "classify-one.json").read_text()


def test_generate_resumes_and_replaces_nothing(connected: None, cmcgan: Run, tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", 2)
    (tmp_path / "made").mkdir()
    (tmp_path / "made/01.wav").write_bytes(b"mine")
    command = ["generate", clips, "-c", "box", "--json", "--out", tmp_path / "made", "--scheduler", "host:1"]
    first = documents(cmcgan(*command)[1])
    assert [item["skipped"] for item in first] == [False] * 5
    assert [item["skipped"] for item in documents(cmcgan(*command)[1])] == [not item["error"] for item in first]
    assert (tmp_path / "made/01.wav").read_bytes() == b"mine"


class Recorder:
    """Stands for a cluster: notes the inputs of each task, ends the tasks in reverse, and gives the inputs back."""

    def __init__(self) -> None:
        self.chunks: list[list[Any]] = []

    def run(self, function: object, tasks: list[tuple[Any, ...]], paths: object) -> Iterator[tuple[int, list[Any]]]:
        self.chunks = [chunk for _, chunk, *_ in tasks]
        yield from reversed(list(enumerate(self.chunks)))


def test_results_are_in_the_order_of_the_inputs_and_long_inputs_are_tasks_of_their_own() -> None:
    from cmcgan_core.inference.cluster import WorkerModel, classify_on_cluster
    from cmcgan_core.inference.sampling import SamplingOptions

    inputs = [(Path(name),) for name in [*(f"{n}.png" for n in range(18)), "film.mp4", "a.wav", "b.wav"]]
    for every, sizes in ((None, [16, 2, 1, 2]), (0.5, [16, 2, 1, 1, 1])):
        recorder, seen = Recorder(), list[Progress]()
        results = classify_on_cluster(
            cast("Cluster", recorder), WorkerModel(Path("x")), inputs, SamplingOptions(), every, on_progress=seen.append
        )
        assert list(results) == inputs
        assert [len(chunk) for chunk in recorder.chunks] == sizes
        assert [progress.done for progress in seen] == list(itertools.accumulate(reversed(sizes)))


def test_a_chunk_that_runs_again_is_not_reported_as_skipped(tmp_path: Path) -> None:
    from cmcgan_core import load
    from cmcgan_core.inference.cluster import _restartable
    from cmcgan_core.inference.generate.batch import generate_all
    from cmcgan_core.inference.generate.plan import OutputOptions, plan
    from cmcgan_core.inference.inputs import expand
    from cmcgan_core.inference.sampling import SamplingOptions

    write_wav(tmp_path / "a.wav", tone(0.6, 300))
    output, sampling = OutputOptions(), SamplingOptions()
    tasks = plan(expand([str(tmp_path / "a.wav")]), tmp_path / "made", output, sampling)
    sent, trained = _restartable(tasks, output), load("box", "cpu").trained
    for _ in range(2):  # the second attempt finds what the first one wrote
        assert [result.skipped for result in generate_all(trained, tasks, sampling, sent)] == [False]
    assert _restartable(tasks, output) == output


def test_an_address_where_nobody_answers_is_an_error(cmcgan: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "SCHEDULER_PATIENCE", 0.2)
    for address in (NOBODY, "no address", "http://host"):
        code, _, errors = cmcgan("prepare", "demo", "--scheduler", address)
        assert code == 1
        assert f"no scheduler answers at {address}" in errors
        assert "dask scheduler" in errors


def test_without_dask_the_command_to_install_it_is_named(cmcgan: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, _, errors = cmcgan("prepare", "demo", "--scheduler", NOBODY)
    assert (code, errors) == (1, "error: --scheduler needs Dask; install it with: pip install 'cmcgan[dask]'\n")


def test_workers_are_of_the_cluster_or_of_this_machine(cmcgan: Run) -> None:
    code, _, errors = cmcgan("prepare", "demo", "--scheduler", NOBODY, "--workers", 2)
    assert code == 2
    assert "--workers" in errors


def test_doctor_compares_the_workers_with_this_machine(
    connected: None, inner: Cluster, cmcgan: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cmcgan_core import doctor

    monkeypatch.setattr(doctor, "connect", cluster.connect)
    found = {item["name"]: item for item in json.loads(cmcgan("doctor", "--scheduler", "host:1", "--json")[1])}
    assert found["workers"]["value"] == "1 of host:1"
    assert found["workers"]["fault"] is None
    assert found["distributed"]["value"]
    monkeypatch.setattr(Cluster, "check_workers", lambda self: {"tcp://a": "has torch 2.0", "tcp://b": None})
    (workers,) = (item for item in doctor.run_checks("host:1") if item.name == "workers")
    assert workers.fault == "worker tcp://a has torch 2.0"


class Machines:
    """A scheduler and workers on this machine, as separate processes with another working directory than the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        log = folder / "scheduler.log"
        wait_until(lambda: "Scheduler at" in log.read_text(), "the scheduler starts")
        self.address = re.findall(r"Scheduler at:\s+(\S+)", log.read_text())[0]

    def _start(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
        with (self._folder / f"{kind}.log").open("ab") as log:
            process = subprocess.Popen(command, stderr=log, stdout=log, cwd=self._folder)
        self._processes.append(process)
        return process

    def add_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker that nobody restarts."""
        local = str(self._folder / "local")
        return self._start(
            "worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", local
        )

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def wait_until(holds: Callable[[], bool], what: str) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError(f"timed out until {what}")


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    (tmp_path / "machines").mkdir()
    started = Machines(tmp_path / "machines")
    yield started
    started.stop()


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cmcgan_cli", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A background job ignores SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def parts(out: Path) -> int:
    return len(list((out / ".parts").glob("*.zip")))


@pytest.mark.slow
def test_a_killed_and_a_late_worker_change_nothing_in_prepare(machines: Machines, cmcgan: Run, tmp_path: Path) -> None:
    command = ["prepare", "demo", "--pairs", 200, "--quiet", "--out"]
    assert cmcgan(*command, tmp_path / "one/set", "--workers", 1)[0] == 0
    out, victim = tmp_path / "many/set", machines.add_worker()
    running = start(*command, out, "--scheduler", machines.address)
    wait_until(lambda: parts(out) > 5, "the worker has written some parts")
    machines.add_worker()
    victim.kill()
    assert running.communicate()[1] == ""
    assert running.returncode == 0
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert not list(out.glob(".parts"))


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["scheduler", "ctrl-c", "kill"])
def test_prepare_resumes_after_the_scheduler_or_the_command_ended(
    machines: Machines, cmcgan: Run, tmp_path: Path, ends: str
) -> None:
    command = ["prepare", "demo", "--pairs", 200, "--quiet", "--out"]
    out = tmp_path / "many/set"
    machines.add_worker()
    running = start(*command, out, "--scheduler", machines.address)
    wait_until(lambda: parts(out) > 5, "the worker has written some parts")
    if ends == "scheduler":
        machines.scheduler.kill()
    else:
        running.send_signal(signal.SIGINT if ends == "ctrl-c" else signal.SIGKILL)
    errors = running.communicate()[1]
    assert (running.returncode, errors) == {
        "scheduler": (
            1,
            "error: the scheduler is gone; finished work is kept: start the scheduler and its workers, then run the "
            "same command again\n",
        ),
        "ctrl-c": (130, "stopped; finished recordings are kept; the same command resumes\n"),
        "kill": (-signal.SIGKILL, ""),
    }[ends]
    assert 5 < parts(out) < 190
    if ends == "scheduler":
        assert cmcgan(*command, out, "--workers", 1)[0] == 0
    else:
        assert start(*command, out, "--scheduler", machines.address).wait() == 0
    assert cmcgan(*command, tmp_path / "one/set", "--workers", 1)[0] == 0
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


@pytest.mark.slow
def test_a_killed_and_a_late_worker_change_nothing_in_generate(
    machines: Machines, cmcgan: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clips(Path("clips"), 20)
    command = ["generate", "clips", "-c", "box", "--json", "--quiet", "--out"]
    code, one, _ = cmcgan(*command, "one")
    assert code == 1  # bad.wav
    victim = machines.add_worker()
    running = start(*command, "many", "--scheduler", machines.address)
    wait_until(lambda: len(contents(Path("many"))) > 3, "the worker has written some results")
    victim.kill()
    machines.add_worker()
    many, errors = running.communicate()
    assert running.returncode == 1, errors
    assert contents(Path("many")) == contents(Path("one"))
    assert documents(many) == documents(one)


@pytest.mark.slow
def test_a_cluster_of_this_machine_needs_no_address(cmcgan: Run, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    command = ["prepare", "demo", "--pairs", 52, "--quiet", "--out"]
    assert cmcgan(*command, tmp_path / "one/set", "--workers", 1)[0] == 0
    assert cmcgan(*command, tmp_path / "many/set", "--scheduler", "local")[0] == 0
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


@pytest.mark.slow
def test_a_task_that_ends_every_worker_is_an_error(machines: Machines) -> None:
    for _ in range(4):
        machines.add_worker()
    with pytest.raises(DataError, match="a task ended several workers"), connect(machines.address) as connected:
        list(connected.run(os._exit, [(1,)], [[]]))


@pytest.mark.slow
def test_a_scheduler_without_workers_is_an_error(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "WORKER_PATIENCE", 0.5)
    with (
        pytest.raises(ConfigError, match=f"no workers; start some with: dask worker {machines.address}"),
        connect(machines.address),
    ):
        pass
