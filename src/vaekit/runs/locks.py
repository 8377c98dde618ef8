"""One writer at a time in a run's folder: a lock that names its holder and ends with the process that holds it.

The lock is one of the operating system on RUN/.lock (`flock`; a byte range on Windows), so that a killed process leaves
none behind. Readers never take it. Over NFS `flock` holds between machines where the server grants locks; on a file
system without locks (some network mounts) there is no protection, and nothing is refused.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vaekit.errors import UserError

LOCK = ".lock"
POLL = 0.05
"""Seconds between two tries."""
_BYTE = 1 << 30
"""The byte that is locked on Windows, far behind what others are to read."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, getattr(errno, "EOPNOTSUPP", errno.ENOSYS)}

_held: dict[str, tuple[int, int]] = {}
"""Folder → (descriptor, thread) of the locks that this process holds."""


class InUse(UserError):
    """Another process, or another thread, writes into the run's folder."""


@contextmanager
def locked(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of a run's folder; the thread that has it already may take it again.

    Raises InUse, naming the holder, if another one still has it after `wait` seconds, and a UserError if the folder
    cannot be written.
    """
    key = os.path.realpath(folder)
    if key in _held and _held[key][1] == threading.get_ident():
        yield
        return
    path, until = Path(key, LOCK), time.monotonic() + wait
    while (held := _take(folder, path)) is None:
        if time.monotonic() > until:
            raise InUse(f"{folder} is being written by {_holder(path)}; wait until it has ended, or name another run")
        time.sleep(POLL)
    _held[key] = held, threading.get_ident()
    try:
        yield
    finally:
        if _held.pop(key, None) is not None:  # None in a forked child, whose parent holds it
            _release(path, held)


def in_use(folder: Path) -> bool:
    """Return whether another process or thread holds the lock of a folder, without taking it for longer than a look."""
    try:
        file = os.open(folder / LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False  # there is no lock, or it cannot be seen
    try:
        return not _lock(file)
    finally:
        os.close(file)


def _take(folder: Path, path: Path) -> int | None:
    """Return a descriptor that holds the lock, None where another one has it."""
    try:
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            if not _lock(file):
                os.close(file)
                return None
            if not path.exists() or not os.path.samestat(os.fstat(file), path.stat()):
                os.close(file)  # its last holder has taken the file away
                continue
            try:
                os.ftruncate(file, 0)
                os.write(file, json.dumps(_myself()).encode())
            except OSError:
                _release(path, file)
                raise
            return file
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror or error}), and the results are to be kept there; make it "
            "writable, or copy the run"
        ) from error


def _lock(file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, _BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _release(path: Path, file: int) -> None:
    posix = os.name == "posix"
    if posix:  # before it is given up: a file of this name is then of the next holder
        with suppress(OSError):
            path.unlink(missing_ok=True)
    os.close(file)
    if not posix:
        with suppress(OSError):  # another one has opened it
            path.unlink(missing_ok=True)


def _myself() -> dict[str, str | int]:
    words = [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv and sys.argv[0] else ["python"]
    words = ["vaekit", *words[1:]] if words[0] == "__main__.py" else words
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"pid": os.getpid(), "host": socket.gethostname(), "start": started, "command": shlex.join(words)[:200]}


def _holder(path: Path) -> str:
    """Return who holds the lock, in words."""
    for _ in range(10):  # it may be writing its name just now
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            return f"process {said['pid']} on {said['host']} since {said['start']} ({said['command']})"
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(0.01)
    return "another process"


def _forget() -> None:
    """Close a forked child's copies: the lock is the parent's alone, and ends with it."""
    for file, _ in _held.values():
        os.close(file)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
