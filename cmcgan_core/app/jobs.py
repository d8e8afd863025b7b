"""The queue: one job at a time, in the order in which they came.

Everything is limited, so that memory and disk stay constant however long the page is used: the jobs that wait, the time
of a job, and the results that are kept. The files of the oldest finished jobs are deleted.
"""

import itertools
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType

from cmcgan_core.app.orders import Order
from cmcgan_core.app.outcomes import Outcome
from cmcgan_core.errors import CmcganError, Interrupted, MediaError
from cmcgan_core.progress import OnProgress, Progress

LOG = logging.getLogger(__name__)
#: Largest number of jobs that wait or are being uploaded.
MAX_WAITING = 8
#: Largest number of finished jobs whose results are kept.
MAX_KEPT = 24
#: Largest size of all kept results with their inputs, bytes. The newest results are kept even if they are larger.
MAX_KEPT_BYTES = 2 * 2**30
#: Longest time that a job may take, seconds.
MAX_JOB_SECONDS = 1800


class QueueFullError(CmcganError):
    """Too many jobs wait."""


class State(StrEnum):
    """The state of a job."""

    UPLOADING = "uploading"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self in (State.DONE, State.FAILED, State.CANCELLED)


@dataclass
class Job:
    """An order, and its state. Only the queue changes it.

    Attributes:
        id: a random name, which nobody can guess.
        order: what was asked for.
        folder: folder of its files.
        state: its state.
        progress: the last report of its progress.
        outcome: what came of it, once it is done.
        error: why it failed, or "".
        cancelling: whether it is to stop at its next report of progress.
        size: size of its files in bytes, once it has ended.
    """

    id: str
    order: Order
    folder: Path
    state: State = State.UPLOADING
    progress: Progress | None = None
    outcome: Outcome = field(default_factory=Outcome)
    error: str = ""
    cancelling: bool = False
    size: int = 0

    @property
    def source(self) -> Path:
        """Path of the file that was sent with the order."""
        return self.folder / "given" / self.order.name

    @property
    def made(self) -> Path:
        """Path of the folder of the results."""
        return self.folder / "made"

    @property
    def files(self) -> tuple[Path, ...]:
        """The given file, and the files of the outcome."""
        return (self.source, *self.outcome.files)


#: Does a job. It reports its progress several times, and stops when the report raises an exception.
Work = Callable[[Job, OnProgress], Outcome]


class JobQueue:
    """Does jobs in a thread. A context manager: at the end, the running job is stopped.

    Args:
        folder: folder for the files of all jobs.
        work: does a job.
    """

    def __init__(self, folder: Path, work: Work) -> None:
        self._folder = folder
        self._work = work
        self._jobs: dict[str, Job] = {}  # in the order in which they came
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def __enter__(self) -> "JobQueue":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._closing = True
            for job in self._jobs.values():
                job.cancelling = True
            self._changed.notify()
        self._thread.join()

    def find(self, job_id: str) -> Job | None:
        """Return a job, or None if there is none or it has been deleted."""
        with self._changed:
            return self._jobs.get(job_id)

    def count_before(self, job: Job) -> int:
        """Return the number of jobs that will be done before a waiting job."""
        with self._changed:
            before = itertools.takewhile(lambda other: other is not job, self._jobs.values())
            return sum(not other.state.is_final for other in before)

    def reserve(self, order: Order) -> Job:
        """Reserve a place for a job whose file will be written to its `source`; then call `start` or `discard`.

        Raises:
            QueueFullError: too many jobs wait.
        """
        with self._changed:
            if sum(job.state in (State.UPLOADING, State.WAITING) for job in self._jobs.values()) >= MAX_WAITING:
                raise QueueFullError("too many jobs wait; try again when some of them are done")
            number = secrets.token_hex(16)
            job = self._jobs[number] = Job(number, order, self._folder / number)
        job.source.parent.mkdir(parents=True)
        return job

    def start(self, job: Job) -> None:
        """Put a job into the queue."""
        with self._changed:
            job.state = State.WAITING
            self._changed.notify()

    def discard(self, job: Job) -> None:
        """Forget a job whose file did not arrive."""
        with self._changed:
            del self._jobs[job.id]
        shutil.rmtree(job.folder, ignore_errors=True)

    def cancel(self, job: Job) -> None:
        """Stop a job. One that runs stops at its next report of progress."""
        with self._changed:
            job.cancelling = True
            if job.state is State.WAITING:
                self._end(job, State.CANCELLED)

    def _run(self) -> None:
        """Do jobs until the queue is closed."""
        while (job := self._next()) is not None:
            state = self._do(job)
            with self._changed:
                self._end(job, state)

    def _next(self) -> Job | None:
        """Wait for the next job, and return it; None if the queue is closed."""
        with self._changed:
            while True:
                if self._closing:
                    return None
                for job in self._jobs.values():
                    if job.state is State.WAITING:
                        job.state = State.RUNNING
                        return job
                self._changed.wait()

    def _do(self, job: Job) -> State:
        """Do a job, and return the state that it ends in. An exception, whichever it is, does not stop the queue."""
        end = time.monotonic() + MAX_JOB_SECONDS

        def on_progress(progress: Progress) -> None:
            job.progress = progress
            if job.cancelling:
                raise Interrupted("cancelled")
            if time.monotonic() > end:
                minutes = MAX_JOB_SECONDS // 60
                raise MediaError(f"{job.order.name}: takes more than {minutes} minutes; use cmcgan generate")

        try:
            job.outcome = self._work(job, on_progress)
        except Interrupted:
            return State.CANCELLED
        except CmcganError as error:
            # The visitor knows the files by their names only.
            job.error = str(error).replace(f"{job.source.parent}{os.sep}", "").replace(f"{job.made}{os.sep}", "")
            return State.FAILED
        except Exception:
            LOG.exception("a job failed: %s", job.order)
            job.error = "this is a fault of cmcgan; the terminal in which it was started says more"
            return State.FAILED
        return State.CANCELLED if job.cancelling else State.DONE

    def _end(self, job: Job, state: State) -> None:
        """Set the last state of a job. Files are deleted: those of a job that is not done, and those of the oldest."""
        if state is not State.DONE:
            shutil.rmtree(job.folder, ignore_errors=True)
        job.size = sum(path.stat().st_size for path in job.folder.rglob("*") if path.is_file())
        job.state = state
        self._delete_oldest()

    def _delete_oldest(self) -> None:
        """Delete the oldest jobs that have ended, as long as too much is kept."""
        ended = [job for job in self._jobs.values() if job.state.is_final]
        while len(ended) > 1 and (len(ended) > MAX_KEPT or sum(job.size for job in ended) > MAX_KEPT_BYTES):
            oldest = ended.pop(0)
            del self._jobs[oldest.id]
            shutil.rmtree(oldest.folder, ignore_errors=True)
