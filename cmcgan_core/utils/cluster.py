"""Run many tasks on a Dask cluster, whose workers are processes of several machines, or of this one.

Tasks and results are small messages. Files are not sent: all workers must see them at the same paths as this process.
If a worker dies, its unfinished tasks run again on others, so a task must give the same result if it runs twice. Dask
is imported only here, when a cluster is used.
"""

import logging
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cmcgan_core import __version__
from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.utils.files import RUN_AGAIN, error_reason, exists
from cmcgan_core.utils.packages import package_version
from cmcgan_core.utils.workers import interrupts_ignored

if TYPE_CHECKING:
    from distributed import Client, Worker

T = TypeVar("T")

#: The address that means a cluster of processes on this machine, one for each core.
LOCAL = "local"
#: How long a scheduler may take to answer, in seconds.
SCHEDULER_PATIENCE = 3
#: How long the first worker may take to appear, in seconds.
WORKER_PATIENCE = 30
#: How workers are started, for messages.
START_WORKER = "dask worker {} --nthreads 1"


@dataclass(frozen=True)
class Requirements:
    """What a worker needs, so that it gives the same results as the process that sends the tasks.

    Attributes:
        folder: the working directory of that process.
        versions: the versions of Python and of packages, by name.
    """

    folder: Path
    versions: dict[str, str]

    @classmethod
    def of_this_process(cls) -> "Requirements":
        """Return the requirements of tasks that this process sends."""
        versions = {"python": platform.python_version(), "torch": package_version("torch"), "cmcgan": __version__}
        return cls(Path.cwd(), versions)

    def find_fault(self, worker: "Worker", paths: Iterable[Path]) -> str | None:
        """Return why a worker cannot run a task that uses some paths, or None. Called on the worker."""
        for name, version in Requirements.of_this_process().versions.items():
            if version != self.versions[name]:
                return f"has {name} {version}, but this machine has {self.versions[name]}; install the same version"
        if worker.state.nthreads != 1:
            return f"has {worker.state.nthreads} threads; start it with: {START_WORKER.format('ADDRESS')}"
        missing = next((path for path in (self.folder, *paths) if not exists(self.folder / path)), None)
        if missing is not None:
            return f"cannot see {missing}; give all machines the same files at the same places"
        return None


class Cluster:
    """The workers of a Dask scheduler, see `connect`."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._requirements = Requirements.of_this_process()

    def check_workers(self, paths: Sequence[Path] = ()) -> dict[str, str | None]:
        """Return for each present worker, by its address, why it cannot run tasks that use some paths, or None."""
        answers = self._client.run(_find_fault, self._requirements, paths, on_error="return")
        return {address: _explain(answer) for address, answer in answers.items()}

    def run(
        self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], paths: Sequence[Sequence[Path]]
    ) -> Iterator[tuple[int, T]]:
        """Call `function(*task)` for each task, and yield the task's position and result as each task ends.

        Each call uses one thread of torch. It runs in the working directory of this process, so relative paths mean the
        same files. If the iterator is closed, Ctrl-C included, tasks that have not begun are cancelled.

        Args:
            function: the function; it must be importable by the workers.
            tasks: the arguments of each call.
            paths: the existing files and folders that each task needs.

        Raises:
            ConfigError: a worker differs from this process, or does not see a path.
            DataError: the scheduler is gone, or a task ended several workers.
        """
        from distributed import KilledWorker, as_completed
        from distributed.comm import CommClosedError

        checked = self.check_workers(paths[0]) if tasks else {}
        if faults := [f"worker {address} {fault}" for address, fault in checked.items() if fault]:
            raise ConfigError("; ".join(faults))
        futures = {
            self._client.submit(_call, self._requirements, needed, function, task, pure=False): position
            for position, (task, needed) in enumerate(zip(tasks, paths, strict=True))
        }
        try:
            for future in as_completed(list(futures), loop=self._client.loop):
                result = future.result()
                # A result that nobody refers to is deleted on the worker.
                yield futures.pop(future), result
        except KilledWorker as error:
            raise DataError(
                "a task ended several workers, perhaps for lack of memory; finished work is kept: start fewer workers "
                f"on each machine, then {RUN_AGAIN}"
            ) from error
        except (CancelledError, CommClosedError) as error:  # the second if a result was just being fetched
            raise DataError(
                f"the scheduler is gone; finished work is kept: start the scheduler and its workers, then {RUN_AGAIN}"
            ) from error
        finally:
            if self._client.status == "running":
                self._client.cancel(list(futures))


@contextmanager
def connect(address: str) -> Iterator[Cluster]:
    """Connect to a scheduler, and wait until it has a worker.

    Args:
        address: the address of a scheduler, for example tcp://host:8786; `LOCAL` starts one on this machine, with
            workers that end with the block.

    Raises:
        ConfigError: the package distributed is missing, no scheduler answers, or it has no workers.
    """
    try:
        from distributed import Client
        from distributed.comm import resolve_address
    except ImportError as error:
        raise ConfigError("--scheduler needs Dask; install it with: pip install 'cmcgan[dask]'") from error
    # What goes wrong becomes an error here; Dask's logs would repeat it with tracebacks.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if address == LOCAL:
        with _local_cluster() as cluster, Client(cluster, set_as_default=False) as client:
            yield Cluster(client)
        return
    try:
        resolve_address(address)  # an address that is not valid raises here, where no client waits for an answer
        client = Client(address, timeout=SCHEDULER_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no scheduler answers at {address} ({error_reason(error)}); start one with: dask scheduler"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKER_PATIENCE)
        except TimeoutError as error:
            command = START_WORKER.format(address)
            raise ConfigError(f"the scheduler at {address} has no workers; start some with: {command}") from error
        yield Cluster(client)


@contextmanager
def _local_cluster() -> Iterator[Any]:
    """Start a scheduler and one worker process for each core, without a limit of memory, as `workers` does."""
    from distributed import LocalCluster

    with interrupts_ignored():
        cluster = LocalCluster(
            os.cpu_count(),
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
    with cluster:
        yield cluster


def _find_fault(requirements: Requirements, paths: Sequence[Path], dask_worker: "Worker") -> str | None:
    """Return why this worker cannot run a task; Dask fills in the last argument."""
    return requirements.find_fault(dask_worker, paths)


def _explain(answer: str | Exception | None) -> str | None:
    """Return what a worker answered to `_find_fault`; it may have been unable to call it."""
    if isinstance(answer, Exception):
        return f"cannot run cmcgan ({answer}); install cmcgan {__version__} there"
    return answer


def _call(requirements: Requirements, paths: Sequence[Path], function: Callable[..., T], task: tuple[Any, ...]) -> T:
    """Run a task on this worker. It is checked here too, because it may have joined after the others were checked."""
    import torch
    from distributed import get_worker

    worker = get_worker()
    if fault := requirements.find_fault(worker, paths):
        raise ConfigError(f"worker {worker.address} {fault}")
    os.chdir(requirements.folder)
    torch.set_num_threads(1)
    return function(*task)
