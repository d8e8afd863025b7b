"""Limits on connections that uvicorn does not offer (its issue 157): time limits, and room for everybody.

uvicorn's `timeout_keep_alive` ends with the first byte of a request, so a request that is never completed stays open.
Its `limit_concurrency` refuses all newcomers once somebody has opened many connections.
"""

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Time in which a client must take a whole response, seconds.
RESPONSE_SECONDS = 300
#: Number of connections. Each may have a file open too, and many systems allow a process 1024 of both.
MAX_CONNECTIONS = 450


class LimitedProtocol(H11Protocol):
    """A connection with time limits.

    If there are more than `MAX_CONNECTIONS`, one is closed: of those of the address that has most, the one on which
    nothing has been completed for the longest time. So nobody can keep others out, and a class behind one router can
    use all connections, because browsers open a closed one again when they need it.

    Attributes:
        request_seconds: time in which a whole request must arrive, headers and body; counted from the opening of the
            connection or from the end of the last response, seconds.
    """

    request_seconds = 20

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit of the first request, and make room for this connection."""
        super().connection_made(transport)
        self._limit = self.loop.call_later(self.request_seconds, transport.abort)
        self._limited_since = self.loop.time()
        if len(self.connections) > MAX_CONNECTIONS:
            counts = Counter(map(_address, self.connections))
            most = max(counts.values())
            crowd = [connection for connection in self.connections if counts[_address(connection)] == most]
            oldest: Any = min(crowd, key=lambda connection: connection._limited_since)  # type: ignore[union-attr]
            oldest.transport.abort()
            self.connections.discard(oldest)

    def data_received(self, data: bytes) -> None:
        """Handle data from the client. If they complete a request, the time limit of the response starts."""
        was_responding = self._is_responding()
        super().data_received(data)
        if self._is_responding() and not was_responding:
            self._restart(RESPONSE_SECONDS)

    def on_response_complete(self) -> None:
        """Start the time limit of the next request, unless the client has still to take a part of this response."""
        super().on_response_complete()
        is_taken = not self._is_responding() and not self.transport.get_write_buffer_size()
        self._restart(self.request_seconds if is_taken else RESPONSE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the time limit."""
        self._limit.cancel()
        super().connection_lost(exc)

    def _restart(self, seconds: float) -> None:
        """Start a time limit in place of the last one."""
        self._limit.cancel()
        self._limit = self.loop.call_later(seconds, self.transport.abort)
        self._limited_since = self.loop.time()

    def _is_responding(self) -> bool:
        """Return whether a whole request has arrived, and its response is not complete."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete


def _address(connection: Any) -> str:
    """Return the IP address of a connection's client."""
    return str(connection.client[0]) if connection.client else ""
