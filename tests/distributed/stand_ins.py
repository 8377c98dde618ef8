"""What the launcher's tests run as processes in place of a command: each ends in a way of its own."""

from __future__ import annotations

import os
import signal
from ctypes import c_byte

from vaekit import distributed
from vaekit.commands import launch, main
from vaekit.errors import PeerLost


def is_killed(ended: c_byte) -> None:
    """Die as the system's out-of-memory killer would have it."""
    os.kill(os.getpid(), signal.SIGKILL)


def fails_once(ended: c_byte) -> tuple[int, str | None]:
    """Raise at the first attempt; be done at the second."""
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        raise OSError("the disk is away")
    return 0, None


def one_refuses(ended: c_byte) -> tuple[int, str | None]:
    """Find bad data on the second process alone, while the first waits for it."""

    def outcome() -> tuple[int, str | None]:
        distributed.start()
        if not distributed.is_main():
            return 2, "bad data, seen here alone"
        try:
            distributed.sums([1.0])
        except PeerLost:
            return main.PEER_LOST, None
        raise AssertionError("nobody was there to add up with")

    main.outcome = outcome
    return launch.work(ended)
