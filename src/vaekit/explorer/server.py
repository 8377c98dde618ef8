"""Serving the page on this machine alone."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vaekit.errors import UserError
from vaekit.explorer.graphs import session_of
from vaekit.explorer.live import Live
from vaekit.explorer.session import LIVE_POINTS, MOST_POINTS, Session
from vaekit.runs.base import RunBase

PORT = 8765


def require_web() -> None:
    """Raise UserError if the extra `web` is not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(f"the explorer needs {error.name}; install it with: pip install 'vaekit[web]'") from None


def listen(port: int) -> list[socket.socket]:
    """Return sockets that listen at `port` (0: any free one) of 127.0.0.1 and, where there is one, of ::1."""
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: ports go from 1 to 65535 (0 takes any that is free)")
    first = _bind(socket.AF_INET, "127.0.0.1", port)
    chosen = first.getsockname()[1]
    try:
        return [first, _bind(socket.AF_INET6, "::1", chosen)]
    except (UserError, OSError):
        return [first]  # no IPv6 here, or another program has that address: IPv4 is what is announced


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    # With the protocol named, asyncio switches Nagle's delay off; without it each small answer waits 40 ms for the
    # acknowledgement of its own headers.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name != "nt":  # there it would let two programs share a port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(128)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} is in use by another program; choose one with --port, or --port 0") from None
        if error.errno == errno.EACCES:
            raise UserError(f"port {port} may not be used here; choose one above 1023 with --port") from None
        raise
    return made


class Explorer:
    """A server for one run. `run` serves until interrupted; `start` and `stop` serve from a thread of their own.

    `url` is the page's address with the `token` of this start, without which nothing is answered; `home` is the
    address alone. `wait` is how many seconds a request may take to arrive. `live` is the training of a run that has
    not ended.
    """

    def __init__(
        self, session: Session, port: int = 0, *, live: Live | None = None, wait: float = 10.0, **guard: float
    ) -> None:
        require_web()
        import uvicorn

        from vaekit.explorer.app import make_app
        from vaekit.explorer.connections import Connections
        from vaekit.explorer.guard import Guard

        self.sockets = listen(port)
        self.port: int = self.sockets[0].getsockname()[1]
        self.token = secrets.token_urlsafe(24)
        self.home = f"http://127.0.0.1:{self.port}/"
        self.url = f"{self.home}?token={self.token}"
        connections: Any = Connections(wait)
        _ = session.facts  # what the page asks for first is ready when the address is told
        config = uvicorn.Config(
            Guard(make_app(session, live), self.port, self.token, connections.forget, **guard),
            http=connections.protocol,
            log_config=None,
            log_level="error",  # not advice on websockets, which there are none of
            access_log=False,
            server_header=False,
            ws="none",
            timeout_keep_alive=60,
            timeout_graceful_shutdown=2,
            limit_concurrency=512,
        )
        self.server: Any = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Serve until Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            self.server.run(sockets=self.sockets)

    def start(self) -> Explorer:
        """Serve in the background."""
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": self.sockets}, daemon=True)
        self._thread.start()
        until = time.monotonic() + 30
        while not self.server.started and time.monotonic() < until:
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End what `start` began."""
        self.server.should_exit = True
        if self._thread is not None:
            self._thread.join(10)
        for one in self.sockets:
            one.close()


def serve(
    run: RunBase,
    port: int = PORT,
    browser: bool = True,
    announce: Callable[[str], None] = print,
    live: Live | None = None,
) -> None:
    """Serve a run's page until Ctrl-C; `live` is its training, if that goes on."""
    require_web()
    explorer = Explorer(session_of(run, LIVE_POINTS if live else MOST_POINTS), port, live=live)
    announce(explorer.url)
    # Without a screen a browser would take over this terminal.
    screen = sys.platform in ("darwin", "win32") or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))
    if browser and screen:
        threading.Thread(target=open_page, args=(explorer.url,), daemon=True).start()
    explorer.run()


def open_page(url: str) -> None:
    """Open the page in the browser, by a file of the user's own: other users see the words that start a program."""
    handle, name = tempfile.mkstemp(".html", "vaekit-")  # which no other user may read
    page = Path(name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={url}">')
    webbrowser.open(page.as_uri())
    time.sleep(10)  # the browser may be slow to start
    page.unlink(missing_ok=True)
