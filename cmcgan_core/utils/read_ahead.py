"""Read in a thread what is needed next, so that computation does not wait for the disk."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

#: Results that are read before they are needed. One is enough if reading is faster than computing; a second one covers
#: a slow read.
AHEAD = 2


def read_ahead(read: Callable[[A], R], arguments: Iterable[A]) -> Iterator[R]:
    """Yield `read(argument)` for each argument, in order. A thread reads `AHEAD` results ahead.

    An exception in `read` is raised where its result would be yielded.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(1, "read-ahead") as thread:
        try:
            for argument in arguments:
                waiting.append(thread.submit(read, argument))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
