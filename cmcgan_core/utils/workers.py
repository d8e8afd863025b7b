"""Run many tasks in parallel processes.

Each process is spawned, computes with one thread, and ends when this process ends. Torch is imported only where it
computes, because a process that only waits for others does not need it.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from cmcgan_core.errors import DataError

T = TypeVar("T")


def run_in_processes(
    function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[tuple[int, T]]:
    """Call `function(*task)` for each task, and yield the task's position and result as each task ends.

    With one worker or one task no process is started: this process does the work, with one thread. If anything is
    raised, Ctrl-C included, the processes are terminated at once.

    Args:
        function: the function; it must be importable by the processes.
        tasks: the arguments of each call.
        workers: the largest number of processes.

    Raises:
        DataError: a process died.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        with _one_thread():
            for position, task in enumerate(tasks):
                yield position, function(*task)
        return
    with _pool(workers) as pool:
        with interrupts_ignored():
            futures = {pool.submit(function, *task): position for position, task in enumerate(tasks)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise DataError(
                "a worker process died, perhaps for lack of memory (or, in a script, for lack of an "
                '`if __name__ == "__main__":` around the call); finished work is kept: run the same '
                f"command again with --workers {max(1, workers // 2)}"
            ) from error


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of spawned processes; terminate them at once if the block raises."""
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise


def _begin() -> None:
    """Set up a worker process."""
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait until the parent process ends, then end this process."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Ignore SIGINT in the block, so that processes started in it inherit this.

    A terminal sends Ctrl-C to the worker processes too. They ignore it; this process terminates them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread in the block, as in a worker process, so that results do not depend on `workers`."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
