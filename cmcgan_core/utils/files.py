"""Write files atomically, lock them against other processes, and explain errors of the file system."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from cmcgan_core.errors import CmcganError
from cmcgan_core.progress import OnProgress, Progress


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file next to `path`, and rename it to `path` when the block ends without an error.

    If the block raises, the temporary file is deleted. A reader, or a later run after a crash, therefore sees either
    the old file or the complete new one. Missing parent folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:60]}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8, LF) atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _umask() -> int:
    """Return the process's file mode mask. The only way to read it is to set it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def exclusive_lock(file: Path, on_progress: OnProgress) -> Iterator[None]:
    """Hold a lock file while the block runs, so that only one process runs it at a time.

    Args:
        file: the lock file.
        on_progress: called once if another process holds the lock and this one has to wait.

    Raises:
        OSError: the file cannot be created or locked.
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


@contextmanager
def claimed(folder: Path, error_type: type[CmcganError], next_step: str) -> Iterator[None]:
    """Keep other processes out of a folder while the block runs, by the lock file `.lock`; never wait.

    The operating system releases the lock of a process that dies, so a lock file that is left blocks nobody. The
    folder is created if it is missing.

    Args:
        folder: the folder.
        error_type: the class of the errors.
        next_step: what to do once the folder can be used, for example "run the same command again".

    Raises:
        CmcganError: of type `error_type`, if another process is at work in the folder, or it cannot be written.
    """
    with explain_write_errors(folder, error_type, next_step):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise error_type(f"another process is at work in {folder}; when it has ended, {next_step}") from error
    try:
        yield
    finally:
        lock.release()


def error_reason(error: Exception, path: Path | None = None) -> str:
    """Return the message of an exception, starting in lower case, for use inside a longer message.

    Args:
        error: the exception. For an error of the operating system or of FFmpeg, only its description is used.
        path: a file whose name is removed from the message, because the longer message names it already.
    """
    text = str(getattr(error, "strerror", None) or error)
    if path is not None:
        text = text.replace(f" {str(path)!r}", "")
    return text[:1].lower() + text[1:] or type(error).__name__


@contextmanager
def explain_write_errors(path: Path, error_type: type[CmcganError], next_step: str) -> Iterator[None]:
    """Turn a failure to write in the block into an error that names the path and the next step.

    Args:
        path: the file or folder that the block writes.
        error_type: the class of the error that is raised.
        next_step: what to do once the cause is fixed, for example "run the same command again".

    Raises:
        CmcganError: of type `error_type`, if the block raises an `OSError` or a `SafetensorError`.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise error_type(
            f"{path} cannot be written ({error_reason(error)}); what was saved before is kept: fix the cause, then "
            f"{next_step}"
        ) from error
