"""A wish to stop, heard between two steps rather than in the middle of one."""

import signal
import threading
from types import FrameType
from typing import Any


class StopRequest:
    """While it is entered, the first SIGINT or SIGTERM sets `requested`; a second one acts as it would have.

    Outside the main thread, where Python delivers no signals, it never sets anything.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
