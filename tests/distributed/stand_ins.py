"""What the launcher's tests run in place of a command: each ends in a way of its own."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta

from vaekit import distributed
from vaekit.distributed import group


def is_killed() -> tuple[int, str | None]:
    """Die on the first process as the system's out-of-memory killer would have it, while the second is at work."""
    if os.environ["RANK"] == "0":  # which alone says that they start again
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)
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


def dies_after_meetings() -> tuple[int, str | None]:
    """Die on the second process alone at three attempts; from then on it looks early for the first.

    Which of two processes connects is decided by their ports: one attempt alone meets by chance.
    """
    group.TIMEOUT = timedelta(seconds=20)
    attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    if attempt and os.environ["RANK"] == "0":
        time.sleep(1)
    distributed.start()
    if attempt < 3 and not distributed.is_main():
        os.kill(os.getpid(), signal.SIGKILL)
    assert distributed.sums([1.0]) == [2.0]
    return 0, None
