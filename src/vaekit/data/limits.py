"""How large data may become in memory: known from a file's header or size, and refused before it is allocated.

Two bounds hold for every reader: a file may become `EXPANSION` times its size (text `TEXT_EXPANSION` times), `FREE`
(`FREE_TEXT`) bytes in any case, and never more than `SHARE` of the machine's memory. `data.allow_large=true`, or
`--allow-large`, takes both away. What a file's header promises and the file does not hold is refused in any case.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from vaekit.data.settings import DataSettings
from vaekit.errors import UserError

EXPANSION, FREE = 100, 256 << 20
TEXT_EXPANSION, FREE_TEXT = 20, 64 << 20
SHARE = 0.5
"""The share of the machine's memory that one source may take."""
ALLOW = "if it is meant so, allow it with --allow-large (data.allow_large=true)"
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

P = ParamSpec("P")
T = TypeVar("T")
_allowed: ContextVar[bool] = ContextVar("allow_large", default=False)


def allow_large() -> None:
    """Take the bounds away for the rest of this process, as `--allow-large` does."""
    _allowed.set(True)


@contextmanager
def large_allowed(allow: bool = True) -> Iterator[None]:
    """Take the bounds away within a block, if `allow`."""
    token = _allowed.set(_allowed.get() or allow)
    try:
        yield
    finally:
        _allowed.reset(token)


def bounded(read: Callable[P, T]) -> Callable[P, T]:
    """Decorate a reader: the `allow_large` of the settings among its arguments holds while it reads."""

    @wraps(read)
    def within(*args: P.args, **kwargs: P.kwargs) -> T:
        given = next((a for a in (*args, *kwargs.values()) if isinstance(a, DataSettings)), None)
        with large_allowed(given is not None and given.allow_large):
            return read(*args, **kwargs)

    return within


def check_size(needed: int, source: object, packed: int | None = None, text: bool = False) -> None:
    """Refuse a source that would take `needed` bytes of memory, read from a file of `packed` bytes.

    Raises:
        UserError: names the source, both sizes, the bound and how to allow it.

    >>> check_size(10**9, "a.npz", packed=10**8)
    >>> check_size(10**12, "a.npz", packed=1000)
    Traceback (most recent call last):
    ...
    vaekit.errors.UserError: a.npz has 1.0 kB and would become 1.0 TB in memory, more than 100 times that; if it is \
meant so, allow it with --allow-large (data.allow_large=true)
    """
    if _allowed.get():
        return
    most, free = (TEXT_EXPANSION, FREE_TEXT) if text else (EXPANSION, FREE)
    if packed is not None and needed > max(free, most * packed):
        raise UserError(
            f"{source} has {in_words(packed)} and would become {in_words(needed)} in memory, more than {most} times "
            f"that; {ALLOW}"
        )
    machine = memory()
    if machine is not None and needed > SHARE * machine:
        raise UserError(
            f"{source} would take {in_words(needed)} in memory, more than half of the {in_words(machine)} there is; "
            f"give less, or NPY files, which stay on disk (data.stream=yes); {ALLOW}"
        )


def check_count(count: int, most: int, what: str, source: object) -> None:
    """Refuse a source that has `count` of something where `most` are usual, and each takes time or memory.

    Raises:
        UserError: names the source, both numbers and how to allow it.

    >>> check_count(10**6, 10**4, "bars", "a.mid")
    Traceback (most recent call last):
    ...
    vaekit.errors.UserError: a.mid has 1,000,000 bars, more than 10,000; if it is meant so, allow it with \
--allow-large (data.allow_large=true)
    """
    if count > most and not _allowed.get():
        raise UserError(f"{source} has {count:,} {what}, more than {most:,}; {ALLOW}")


def most_of(packed: int, text: bool = False) -> int:
    """Return how many bytes a file of `packed` bytes may become, for what is unpacked piece by piece."""
    if _allowed.get():
        return 1 << 62
    most, free = (TEXT_EXPANSION, FREE_TEXT) if text else (EXPANSION, FREE)
    return min(max(free, most * packed), int(SHARE * (memory() or 1 << 62)))


def in_words(size: int) -> str:
    """Return a number of bytes as a person writes it.

    >>> in_words(999), in_words(60_000), in_words(233 * 2**40)
    ('999 bytes', '60.0 kB', '256.2 TB')
    """
    if size < 1000:
        return f"{size} bytes"
    scaled, units = float(size), ("kB", "MB", "GB", "TB", "PB", "EB")
    for unit in units:
        scaled /= 1000
        if scaled < 1000 or unit == units[-1]:
            return f"{scaled:,.1f} {unit}"
    raise AssertionError


@cache
def _machine() -> int | None:
    sizes: Callable[[str], int] | None = getattr(os, "sysconf", None)
    found: list[int] = []
    with suppress(ValueError, OSError):
        found += [] if sizes is None else [sizes("SC_PAGE_SIZE") * sizes("SC_PHYS_PAGES")]
    for place in CGROUPS:
        with suppress(OSError, ValueError):  # "max" is no number
            found.append(int(Path(place).read_text()))
    return min(found, default=None)


def memory() -> int | None:
    """Return how much memory this process may have: the machine's, a container's or its own limit; None if unknown."""
    found = [size for size in (_machine(), _own_limit()) if size is not None]
    return min(found, default=None)


def _own_limit() -> int | None:
    try:
        import resource
    except ImportError:  # not Unix
        return None
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft == resource.RLIM_INFINITY else soft
