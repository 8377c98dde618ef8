"""What the launcher's tests run in place of a command: each ends in a way of its own."""

from __future__ import annotations

import os
import signal

from vaekit import distributed


def is_killed() -> tuple[int, str | None]:
    """Die as the system's out-of-memory killer would have it."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("not reached")


def fails_once() -> tuple[int, str | None]:
    """Raise at the first attempt; be done at the second."""
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        raise OSError("the disk is away")
    return 0, None


def one_refuses() -> tuple[int, str | None]:
    """Find bad data on the second process alone, while the first waits for it."""
    distributed.start()
    if not distributed.is_main():
        return 2, "bad data, seen here alone"
    distributed.sums([1.0])
    raise AssertionError("nobody was there to add up with")
