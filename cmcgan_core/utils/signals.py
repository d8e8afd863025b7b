"""Finish the current step before a signal stops the program."""

import signal
import threading
from types import FrameType
from typing import Any


class StopRequest:
    """A context manager that records the first SIGINT or SIGTERM instead of stopping the program.

    The first signal only sets `requested`; the code in the block checks it between two steps. A second signal acts as
    it did before the block. Outside the main thread, where Python does not deliver signals, `requested` stays False.

    Attributes:
        requested: whether a signal has arrived.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Record the signal and restore the previous handlers, so that a second signal stops the program."""
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
