"""Write files atomically, lock them against other processes, and explain errors of the file system."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from cmcgan_core.errors import CmcganError
from cmcgan_core.progress import OnProgress, Progress
from cmcgan_core.utils.system import WINDOWS

#: Free space in bytes below which a failure to write is taken for lack of space.
LEAST_FREE = 1 << 16
#: What to do once the cause of an error is gone, for messages.
RUN_AGAIN = "run the same command again"
#: The file whose lock says that a process is at work in a folder, see `claimed`.
LOCK_NAME = ".lock"
#: The end of the names of temporary files and folders. It tells that they are ours.
TEMPORARY_SUFFIX = ".cmcgan.tmp"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file next to `path`, and rename it to `path` when the block ends without an error.

    If the block raises, the temporary file is deleted. A reader, or a later run after a crash, therefore sees either
    the old file or the complete new one. Missing parent folders are created. Temporary files that killed processes left
    in the folder are removed.
    """
    with _temporary(path, _make_file) as temporary:
        yield temporary
        with temporary.open("r+b") as written:  # Windows flushes no file that is only read
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)


@contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder next to `path`, and rename it to `path` when the block ends without an error.

    See `atomic_write`.

    Args:
        path: the folder to write.
        overwrite: whether a folder that is at `path` by then is deleted.

    Raises:
        OSError: there is a folder at `path` that is not empty, or the folder cannot be written.
    """
    with _temporary(path, _make_folder) as temporary:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if overwrite and path.exists():
            with _temporary(path, _make_folder) as old:
                path.rename(old / "replaced")
                temporary.rename(path)
        else:
            temporary.rename(path)


def remove_folder(path: Path) -> None:
    """Remove a folder and everything in it. If the process is killed, the rest is removed as `remove_stale` says.

    Raises:
        OSError: the folder cannot be moved; then it is complete.
    """
    with _temporary(path, _make_folder) as old:
        path.rename(old / "removed")


def remove_stale(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in a folder.

    Whoever writes a temporary file holds a lock on it, which the system releases when the process ends in any way. So
    what can be locked is not used any more. What cannot be removed is left. On Windows everything is left.
    """
    if WINDOWS:
        return
    try:
        with os.scandir(folder) as entries:
            found = [entry.path for entry in entries if entry.name.endswith(TEMPORARY_SUFFIX)]
    except OSError:
        return
    for name in found:
        with suppress(OSError):
            handle = _open(name)
            try:
                _lock(handle)
                _remove(Path(name))
            finally:
                os.close(handle)


@contextmanager
def _temporary(path: Path, make: Callable[[Path], str]) -> Iterator[Path]:
    """Yield a temporary file or folder next to `path`, locked while the block runs; delete it if it is left.

    Args:
        path: what it becomes.
        make: makes it, and returns its name.

    Raises:
        OSError: no space is left. Libraries that write files often do not say so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale_once(path.parent)
    temporary, handle = _make_locked(path, make)
    try:
        yield temporary
    except Exception as error:
        if not isinstance(error, CmcganError) and shutil.disk_usage(path.parent).free < LEAST_FREE:
            raise OSError(errno.ENOSPC, f"no space left on device, in {path.parent}") from error
        raise
    finally:
        if handle is not None:
            os.close(handle)
        _remove(temporary)


def _make_locked(path: Path, make: Callable[[Path], str]) -> tuple[Path, int | None]:
    """Return a new temporary file or folder, and the open file that holds its lock; None on Windows."""
    if WINDOWS:
        return Path(make(path)), None
    while True:  # until no other process takes it for stale before it is locked
        temporary = Path(make(path))
        try:
            handle = _open(str(temporary))
        except FileNotFoundError:
            continue
        try:
            _lock(handle)
        except BlockingIOError:
            pass
        except OSError:  # this file system has no locks, so nothing in it is removed as stale
            return temporary, handle
        else:
            if temporary.exists():
                return temporary, handle
        os.close(handle)


def _make_file(path: Path) -> str:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=TEMPORARY_SUFFIX)
    os.close(handle)
    return name


def _make_folder(path: Path) -> str:
    return tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path), suffix=TEMPORARY_SUFFIX)


def _prefix(path: Path) -> str:
    """Return the start of a temporary name. A character takes at most four bytes, and a name has at most 255."""
    return f".{path.name[:50]}."


def _open(name: str) -> int:
    """Open a temporary file or folder for `_lock`, but neither a link nor a pipe."""
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)


def _lock(handle: int) -> None:
    """Lock an open file until it is closed.

    Raises:
        BlockingIOError: another process, or another open file of this one, holds the lock.
        OSError: the file system has no locks.
    """
    import fcntl  # Windows has none

    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove(temporary: Path) -> None:
    """Remove a temporary file or folder, if it is still there."""
    if is_folder(temporary):
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        temporary.unlink(missing_ok=True)


@lru_cache(maxsize=1024)
def _remove_stale_once(folder: Path) -> None:
    """Call `remove_stale` once for each folder, because a command may write many files into it."""
    remove_stale(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8, LF) atomically. Paths in it keep their bytes, even if these are not UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape", newline="\n")


def exists(path: Path) -> bool:
    """Return whether a path exists. Unlike `Path.exists`, it is False for names that the system refuses."""
    return os.path.exists(path)  # noqa: PTH110


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder. Unlike `Path.is_dir`, it is False for names that the system refuses."""
    return os.path.isdir(path)  # noqa: PTH112


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
    """Keep other processes out of a folder while the block runs, by the lock of the file `LOCK_NAME`; never wait.

    The operating system releases the lock of a process that dies, so a lock file that is left blocks nobody. The
    folder is created if it is missing.

    Args:
        folder: the folder.
        error_type: the class of the errors.
        next_step: what to do once the folder can be used, for example `RUN_AGAIN`.

    Raises:
        CmcganError: of type `error_type`, if another process is at work in the folder, or it cannot be written.
    """
    with explain_write_errors(folder, error_type, next_step):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_NAME)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise error_type(f"another process is at work in {folder}; when it has ended, {next_step}") from error
    try:
        yield
    finally:
        lock.release()


def is_claimed(folder: Path) -> bool:
    """Return whether a process is at work in a folder, see `claimed`. False if the lock cannot be tried."""
    if not exists(folder / LOCK_NAME):
        return False
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


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
        next_step: what to do once the cause is fixed, for example `RUN_AGAIN`.

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
