"""What stands before every request: own host and origin only, the token of this start, headers, sizes and rates.

A page elsewhere on the web can make a browser send requests to 127.0.0.1, and can point a name of its own there (DNS
rebinding). So the Host must be the loopback name and port that is served, an Origin must be the same, and a request
that the browser marks as coming from another site is answered only when it opens the page itself.

Other users of the machine reach 127.0.0.1 too: every request must carry the token, which is drawn at each start. The
address that is announced holds it, and the page's own requests send it as a cookie; a program sends it as a bearer
token.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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

    def take(self) -> bool:
        """Take a token if there is one."""
        at = self._now()
        self._left = min(self.burst, self._left + (at - self._at) * self.rate)
        self._at = at
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Guard:
    """ASGI middleware: refuses what is not its own page's, and puts the security headers on every answer.

    `trusted` is called with the client of each request that has the token.
    """

    def __init__(
        self,
        app: ASGIApp,
        port: int,
        token: str,
        trusted: Callable[[Any], None] = lambda client: None,
        *,
        rate: float = 600.0,
        burst: float = 1200.0,
    ) -> None:
        self.app, self._token, self._trusted = app, token, trusted
        self.cookie = f"vaekit-{port}"  # cookies of one host are shared by all its ports
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        if port == 80:
            self.hosts |= {"127.0.0.1", "localhost", "[::1]"}
        self.origins = {f"http://{host}" for host in self.hosts}
        self._bucket = Bucket(rate, burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it with a reason."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        refusal = self._refusal(scope, Headers(scope=scope))
        opens = refusal is None and self._in_address(scope)

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if opens:
                    headers.append("set-cookie", f"{self.cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        answer: ASGIApp = self.app
        if refusal is not None:
            status, reason = refusal
            answer = JSONResponse({"error": reason}, status, {"connection": "close"})
        await answer(scope, receive, sealed)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return 421, "the explorer answers only at its own address, http://127.0.0.1 and its port"
        if "origin" in headers and headers["origin"].lower() not in self.origins:
            return 403, "the explorer answers only its own page"
        opens = scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not opens:
            return 403, "the explorer answers only its own page"
        if not (self._in_address(scope) or self._is_token(self._sent(headers))):
            return 403, "open the address that 'vaekit explore' printed: it holds the key of this start"
        self._trusted(scope.get("client"))
        if not self._bucket.take():
            return 429, "too many requests; wait a second"
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            return 400, "the length of the request is no number"
        if length > MOST_BODY:
            return 413, f"the request is over {MOST_BODY >> 20} MiB"
        return None

    def _in_address(self, scope: Scope) -> bool:
        """Return whether a request opens the page by the address that was announced."""
        if (scope["method"], scope["path"]) != ("GET", "/"):
            return False
        return self._is_token(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0])

    def _sent(self, headers: Headers) -> str:
        """Return the token in a request's headers, "" without one."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return token.strip()
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            found = None
        return "" if found is None else found.value

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self._token.encode())
