"""Connections of the explorer: those that send no request are closed, and strangers leave room for its own page."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

WAIT = 10.0
"""Seconds that a request may take to arrive, from the connection or its first byte to its last."""
STRANGERS = 400
"""Open connections that have not shown the token; a further one closes the oldest of them."""


class Connections:
    """The open connections of one server, by client (address and port); the oldest first."""

    def __init__(self, wait: float = WAIT, strangers: int = STRANGERS) -> None:
        self.wait, self._most = wait, strangers
        self._strangers: dict[Any, Connection] = {}

    def add(self, connection: Connection) -> None:
        """Count a new connection as a stranger's."""
        self._strangers[connection.client] = connection
        if len(self._strangers) > self._most:
            self._strangers.pop(next(iter(self._strangers))).close()

    def forget(self, client: Any) -> None:
        """Count a client no more: it has shown the token, or is gone."""
        self._strangers.pop(client, None)

    def protocol(self, *args: Any, **kwargs: Any) -> Connection:
        """Return the protocol of a new connection, as uvicorn asks for it."""
        return Connection(self, *args, **kwargs)


class Connection(H11Protocol):
    """A connection that is closed when a request takes too long to arrive."""

    def __init__(self, all_of_them: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._all = all_of_them
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._begin()
        self._all.add(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes; the wait ends with those that complete a request."""
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._end()
        elif self._timer is None:
            self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of it."""
        self._end()
        self._all.forget(self.client)
        super().connection_lost(exc)

    def close(self) -> None:
        """Close it, whatever it is waiting for."""
        self.transport.abort()

    def _begin(self) -> None:
        self._timer = self.loop.call_later(self._all.wait, self.close)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
