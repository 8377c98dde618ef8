"""Requests to the explorer: valid ones with a field, header, path or body changed; none may fail or hang."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import h11
import httpx

import vaekit
from attack.mutations import BYTES, WORDS
from attack.tries import Try, sentence
from vaekit.explorer.server import Explorer
from vaekit.explorer.session import Session

JSON, RAW = "application/json", "application/octet-stream"
CODE = [0.1, -0.2, 0.3]
REQUESTS: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/", None),
    ("GET", "/api/facts", None),
    ("GET", "/api/map", None),
    ("GET", "/api/plane", None),
    ("GET", "/api/scores", None),
    ("GET", "/api/example?i=1", None),
    ("GET", "/api/thumb?i=2", None),
    ("GET", "/static/page.js", None),
    ("POST", "/api/decode", {"z": [CODE], "label": None}),
    ("POST", "/api/random", {"seed": 3}),
    ("POST", "/api/path", {"a": CODE, "b": CODE, "steps": 5, "kind": "spherical"}),
    ("POST", "/api/combine", {"a": CODE, "b": CODE, "c": CODE}),
    ("POST", "/api/traverse", {"z": CODE, "dimension": 1, "values": [-1, 0, 1]}),
    ("POST", "/api/lift", {"at": [0.5, 0.5], "keep": CODE, "near": 3}),
    ("POST", "/api/save", {"z": [CODE, CODE]}),
    ("POST", "/api/infer", {"index": 3, "label": 1}),
    ("POST", "/api/infer/pixels", bytes(64)),
    ("POST", "/api/infer/file", b"\x89PNG\r\n\x1a\n" + bytes(60)),
    ("POST", "/api/infer/text", {"text": "abc"}),
)
VALUES = (
    *(None, True, -1, 0, 1.5, 2**31, 2**63, 10**400, -1e308, "", "1", [], {}, [[]], [None], [1] * 129, [[1e30] * 3]),
    *(["a"] * 3, [[True] * 3], {"a": {}}, [0.1, 0.2], [[0.1] * 3] * 129, "x" * 10_001, "é\0", *WORDS[:12]),
)
HEADERS = (
    *(("authorization", "Bearer x"), ("authorization", ""), ("cookie", "token=x")),
    *(("host", "evil.example"), ("origin", "http://evil.example"), ("content-type", "text/plain"), ("cookie", "x=1")),
    *(
        ("sec-fetch-site", "cross-site"),
        ("content-length", "abc"),
        ("content-length", "99999999"),
        ("range", "bytes=0-"),
    ),
    *(("transfer-encoding", "chunked"), ("x" * 300, "y" * 3000), ("accept-encoding", "br;q=9e9"), ("te", "trailers")),
)


def changed(random: Random, value: Any) -> Any:
    """Return a value with one of its parts replaced, left out or damaged."""
    if isinstance(value, bytes):
        return random.choice(BYTES)(random, value)
    if not isinstance(value, dict) or not value or random.random() < 0.05:
        return random.choice(VALUES)
    made, name = dict(value), random.choice(sorted(value))
    if random.random() < 0.1:
        del made[name]
    else:
        made[name] = random.choice(VALUES)
    if random.random() < 0.1:
        made[random.choice(WORDS)] = random.choice(VALUES)
    return made


class Attacked:
    """A served run, and one connection to it."""

    def __init__(self, explorer: Explorer, client: httpx.Client) -> None:
        self.explorer, self.client = explorer, client

    def try_one(self, seed: int) -> Try:
        """Send one request, valid or changed, and judge the answer."""
        random = Random(f"explorer {seed}")
        method, path, body = random.choice(REQUESTS)
        headers: dict[str, str] = {}
        for _ in range(random.choice((0, 1, 1, 2, 3))):
            place = random.choice(("body", "body", "path", "method", "header"))
            if place == "body" and body is not None:
                body = changed(random, body)
            elif place == "path":
                word = random.choice((*WORDS, "../" * 5, "%2e%2e/", "%00", "?i=", "?i=-1", "?i=99999", "?i=²", "//"))
                at = random.randrange(len(path) + 1)
                path = path[:at] + word + path[at:]
            elif place == "method":
                method = random.choice(("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"))
            elif place == "header":
                headers.update([random.choice(HEADERS)])
        content = body if isinstance(body, bytes) else None if body is None else _text(body)
        if content is not None:
            headers.setdefault("content-type", RAW if isinstance(body, bytes) else JSON)
        start = time.perf_counter()
        try:
            answer = self.client.request(method, path, content=content, headers=headers)
        except (httpx.InvalidURL, httpx.LocalProtocolError, h11.LocalProtocolError, UnicodeEncodeError) as error:
            return Try("refused", f"the client refuses: {error}")
        except httpx.RemoteProtocolError as error:  # a length that lies: the server closes
            lied = {"content-length", "transfer-encoding"} & set(headers)
            return Try("refused", str(error)) if lied else Try("bad", f"{method} {path}: {error}")
        except httpx.ReadTimeout as error:
            return Try("bad", f"{method} {path} {headers}: no answer: {error}")
        return judged(answer, f"{method} {path[:200]!r} {headers} {str(body)[:200]}", time.perf_counter() - start)


def _text(body: Any) -> bytes:
    return json.dumps(body).encode()


def judged(answer: httpx.Response, asked: str, seconds: float) -> Try:
    """Judge an answer: no failure of the server, a sentence where it refuses, its headers on each."""
    if answer.status_code >= 500:
        return Try("bad", f"{asked}: {answer.status_code} {answer.text[:500]}")
    if answer.status_code >= 400:
        told = answer.headers.get("content-type", "").startswith("application/json")
        if told and answer.request.method != "HEAD":
            why = sentence(answer.json().get("error", ""))
            return Try("bad", f"{asked}: {why}") if why else Try("refused", answer.json()["error"])
        return Try("refused", answer.text[:100])
    if "root:" in answer.text[:5000]:
        return Try("bad", f"{asked}: a file of the system")
    return Try("works", "", seconds)


@contextmanager
def served() -> Iterator[Attacked]:
    """Serve a small run on digits."""
    run = vaekit.train(
        "vae", "digits", steps=2, device="cpu", pictures=False, set={"model.latent": 3, "model.hidden": [8]}
    )
    explorer = Explorer(Session(run), rate=1e9, burst=1e9).start()
    try:
        bearer = {"authorization": f"Bearer {explorer.token}"}
        with httpx.Client(base_url=explorer.home, timeout=20, headers=bearer) as client:
            while client.get("/api/map").status_code == 202:
                time.sleep(0.05)
            yield Attacked(explorer, client)
    finally:
        explorer.stop()
