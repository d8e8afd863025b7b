"""Work that one process at a time may do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from cmcgan_core.progress import OnProgress, Progress


@contextmanager
def alone(file: Path, on_progress: OnProgress) -> Iterator[None]:
    """Wait until no other process is in here with the same lock file, and say so.

    Raises:
        OSError: the file cannot be made, or not locked.
    """
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_progress(Progress(f"waiting for another process that holds {file}", 0, None))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
