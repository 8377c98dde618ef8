"""Fetching a file: resumed where it was cut off, bounded in size, and given up where nothing more comes."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, Any

from vaekit.errors import UserError

TIMEOUT = 30.0
"""Seconds without a byte after which a connection is given up."""
WINDOW, LEAST = 30.0, 1000
"""A connection is given up too if it brings fewer bytes a second than `LEAST` over `WINDOW` seconds."""
CHUNK = 1 << 16


def download(url: str, part: Path, most: int) -> bool:
    """Stream `url` to the end of `part`, with a progress bar on standard error; return whether it was begun before.

    What `part` holds is not asked for again if the server gives files from the middle. Where the connection breaks,
    `part` stays for the next time.

    Raises:
        UserError: there are more than `most` bytes, fewer than were promised, or too few a second.
        OSError: the server cannot be reached, or says that it has no such file.
    """
    with part.open("ab") as out, _alone(out, part):
        begun = out.tell()
        with suppress(_Beyond), _asked(url, begun) as answer:
            resumed = begun > 0 and answer.status == 206 and _starts_at(answer, begun)
            if begun and not resumed:
                out.truncate(0)
            _receive(answer, out, begun if resumed else 0, most)
            return resumed
        return True  # there is nothing beyond what `part` holds


class _Beyond(Exception):
    """The server has nothing after the byte asked for."""


@contextmanager
def _asked(url: str, start: int) -> Iterator[HTTPResponse]:
    headers = {"User-Agent": "vaekit", "Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:
            raise _Beyond from None
        raise
    with answer:
        yield answer


def _starts_at(answer: HTTPResponse, start: int) -> bool:
    return (answer.headers.get("Content-Range") or "").startswith(f"bytes {start}-")


def _receive(answer: HTTPResponse, out: IO[bytes], done: int, most: int) -> None:
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    total = _length(answer, done, most)
    console = Console(stderr=True, force_terminal=sys.stderr.isatty())
    columns = TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as bar:
        task = bar.add_task(answer.url.rsplit("/", 1)[-1], total=total, completed=done)
        began, at_begin = time.monotonic(), done
        while chunk := answer.read1(CHUNK):
            out.write(chunk)
            done += len(chunk)
            bar.update(task, completed=done)
            if done > most:
                raise UserError(f"it sends more than the {most:,} bytes that the file has at most")
            now = time.monotonic()
            if now - began > WINDOW:
                if done - at_begin < LEAST * WINDOW:
                    raise UserError(f"it brought {done - at_begin:,} bytes in {now - began:.0f} s, too few to wait for")
                began, at_begin = now, done
    if total is not None and done != total:
        raise UserError(f"cut off after {done:,} of {total:,} bytes; what came is kept, so try again to get the rest")


def _length(answer: HTTPResponse, done: int, most: int) -> int | None:
    """Return how many bytes there will be in all, None where the server does not say."""
    told: Any = answer.headers.get("Content-Length")
    if told is None:
        return None
    if not (told.isascii() and told.isdigit() and len(told) < 20):
        raise UserError(f"the server says that the file's length is '{told[:20]}', which is no number of bytes")
    total = done + int(told)
    if total > most:
        raise UserError(f"the server says {total:,} bytes, and the file has {most:,} at most")
    return total


@contextmanager
def _alone(out: IO[bytes], part: Path) -> Iterator[None]:
    """Hold `part` against other processes that fetch it, where the system can."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"another process is fetching {part.name} now; wait for it") from None
    except OSError:  # a file system without locks
        pass
    yield
