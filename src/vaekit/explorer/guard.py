"""What stands before every request: own host and origin only, headers, sizes and rates.

A page elsewhere on the web can make a browser send requests to 127.0.0.1, and can point a name of its own there (DNS
rebinding). So the Host must be the loopback name and port that is served, an Origin must be the same, and a request
that the browser marks as coming from another site is answered only when it opens the page itself.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
MOST_BODY = 8 << 20
"""Bytes of a request's body."""


class Bucket:
    """A token bucket: `burst` requests at once, `rate` a second in the long run.

    >>> bucket = Bucket(rate=1.0, burst=2.0, now=lambda: 0.0)
    >>> [bucket.take() for _ in range(3)]
    [True, True, False]
    """

    def __init__(self, rate: float, burst: float, now: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._now = rate, burst, now
        self._left, self._at = burst, now()
        self._lock = threading.Lock()

    def take(self, tokens: float = 1.0) -> bool:
        """Take tokens if there are as many."""
        with self._lock:
            at = self._now()
            self._left = min(self.burst, self._left + (at - self._at) * self.rate)
            self._at = at
            if self._left < tokens:
                return False
            self._left -= tokens
            return True


class Guard:
    """ASGI middleware: refuses what is not its own page's, and puts the security headers on every answer."""

    def __init__(self, app: Any, port: int, rate: float = 600.0, burst: float = 1200.0) -> None:
        self.app = app
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        if port == 80:
            self.hosts |= {"127.0.0.1", "localhost", "[::1]"}
        self.origins = {f"http://{host}" for host in self.hosts}
        self.rate, self.burst = rate, burst
        self._buckets: dict[str, Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it with a reason."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(send, *refusal)
            return

        async def sealed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_encoded(HEADERS)]
            await send(message)

        await self.app(scope, receive, sealed)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
        if len(hosts) != 1 or headers["host"].lower() not in self.hosts:
            return 421, "the explorer answers only at its own address, http://127.0.0.1 and its port"
        if "origin" in headers and headers["origin"].lower() not in self.origins:
            return 403, "the explorer answers only its own page"
        opens = scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not opens:
            return 403, "the explorer answers only its own page"
        client = str((scope.get("client") or ("?",))[0])
        if not self._buckets.setdefault(client, Bucket(self.rate, self.burst)).take():
            return 429, "too many requests; wait a second"
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            return 400, "the length of the request is no number"
        if length > MOST_BODY:
            return 413, f"the request is over {MOST_BODY >> 20} MiB"
        return None


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = HEADERS | {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": body})
