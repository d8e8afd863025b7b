"""The queue of the page: order, limits, cancelling, and faults that must not stop it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cmcgan_core.app import jobs
from cmcgan_core.app.jobs import Job, JobQueue, QueueFullError, State
from cmcgan_core.app.orders import Action, Order
from cmcgan_core.app.outcomes import Outcome
from cmcgan_core.errors import MediaError
from cmcgan_core.progress import OnProgress, Progress

STEP = Progress("working", 1, 2)


class Worker:
    """Work that waits until it is let go, and reports its progress before and after."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.at_work = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.fault: Callable[[Job], Exception] | None = None

    def __call__(self, job: Job, on_progress: OnProgress) -> Outcome:
        self.begun.append(job.order.name)
        on_progress(STEP)
        self.at_work.release()
        assert self.go.acquire(timeout=20)
        if self.fault:
            raise self.fault(job)
        on_progress(STEP)
        job.made.mkdir()
        (job.made / "result").write_bytes(b"x" * 100)
        return Outcome(label=job.order.name)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def queue(worker: Worker, tmp_path: Path) -> Iterator[JobQueue]:
    with JobQueue(tmp_path, worker) as queue:
        yield queue
        worker.go.release(100)


def add(queue: JobQueue, name: str) -> Job:
    job = queue.reserve(Order(Action.PICTURES, f"{name}.wav", "box", 1, 0, 0.5))
    job.source.write_bytes(b"sound")
    queue.start(job)
    return job


def wait(*ended: Job) -> None:
    """Wait until jobs have ended."""
    for _ in range(2000):
        if all(job.state.is_final for job in ended):
            return
        threading.Event().wait(0.01)
    raise AssertionError([job.state for job in ended])


def test_jobs_are_done_one_at_a_time_in_their_order(queue: JobQueue, worker: Worker) -> None:
    added = [add(queue, name) for name in "abc"]
    assert worker.at_work.acquire(timeout=20)
    assert worker.begun == ["a.wav"]
    assert [job.state for job in added] == [State.RUNNING, State.WAITING, State.WAITING]
    assert [queue.count_before(job) for job in added] == [0, 1, 2]
    worker.go.release(3)
    wait(*added)
    assert worker.begun == ["a.wav", "b.wav", "c.wav"]
    assert [job.outcome.label for job in added] == worker.begun


def test_a_full_queue_refuses_a_job_until_there_is_room(
    queue: JobQueue, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MAX_WAITING", 2)
    first = add(queue, "a")
    assert worker.at_work.acquire(timeout=20)
    add(queue, "b")
    upload = queue.reserve(first.order)  # a place is taken before the file has arrived
    with pytest.raises(QueueFullError):
        add(queue, "d")
    queue.discard(upload)
    assert not upload.folder.exists()
    add(queue, "d")


def test_a_waiting_job_that_is_cancelled_is_never_begun(queue: JobQueue, worker: Worker) -> None:
    first, second = add(queue, "a"), add(queue, "b")
    assert worker.at_work.acquire(timeout=20)
    queue.cancel(second)
    assert second.state is State.CANCELLED
    assert not second.folder.exists()
    worker.go.release(2)
    wait(first, add(queue, "c"))
    assert worker.begun == ["a.wav", "c.wav"]


def test_a_running_job_stops_at_its_next_report_and_leaves_nothing(queue: JobQueue, worker: Worker) -> None:
    job = add(queue, "a")
    assert worker.at_work.acquire(timeout=20)
    queue.cancel(job)
    worker.go.release()
    wait(job)
    assert job.state is State.CANCELLED
    assert not job.folder.exists()


def test_a_job_that_fails_says_why_and_the_next_one_is_done(queue: JobQueue, worker: Worker) -> None:
    faults: list[Callable[[Job], Exception]] = [lambda job: MediaError(f"{job.source}: is empty"), lambda _: OSError()]
    errors = []
    for worker.fault in faults:
        worker.go.release()
        wait(job := add(queue, "a"))
        assert job.state is State.FAILED
        errors.append(job.error)
    assert errors[0] == "a.wav: is empty"  # without the folder
    assert "fault of cmcgan" in errors[1]
    worker.fault = None
    worker.go.release()
    wait(job := add(queue, "b"))
    assert job.state is State.DONE


def test_a_job_that_takes_too_long_is_stopped(queue: JobQueue, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_JOB_SECONDS", -1)
    job = add(queue, "a")
    wait(job)
    assert job.state is State.FAILED
    assert "cmcgan generate" in job.error


@pytest.mark.parametrize("limit", ["MAX_KEPT", "MAX_KEPT_BYTES"])
def test_the_oldest_results_are_deleted(
    queue: JobQueue, worker: Worker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str
) -> None:
    monkeypatch.setattr(jobs, limit, {"MAX_KEPT": 2, "MAX_KEPT_BYTES": 250}[limit])
    worker.go.release(5)
    added = [add(queue, name) for name in "abcde"]
    wait(*added)
    kept = [job.folder for job in added if queue.find(job.id)]
    assert len(kept) == 2
    assert kept == [job.folder for job in added[-2:]]
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_jobs_that_are_cancelled_while_another_one_runs_do_not_pile_up(
    queue: JobQueue, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MAX_KEPT", 2)
    add(queue, "a")
    assert worker.at_work.acquire(timeout=20)
    cancelled = [add(queue, "b") for _ in range(5)]
    for job in cancelled:
        queue.cancel(job)
    assert [job for job in cancelled if queue.find(job.id)] == cancelled[-2:]


def test_the_end_stops_the_running_job(tmp_path: Path) -> None:
    at_work = threading.Event()

    def work(job: Job, on_progress: OnProgress) -> Outcome:
        while True:
            on_progress(STEP)
            at_work.set()

    with JobQueue(tmp_path, work) as queue:
        job = add(queue, "a")
        assert at_work.wait(timeout=20)
    assert job.state is State.CANCELLED
