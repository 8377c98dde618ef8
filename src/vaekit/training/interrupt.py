"""Interrupts that wait for the end of a step, so that what is saved is a whole one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
    """Within the block SIGINT, SIGTERM or SIGHUP sets the event yielded; a second SIGINT or SIGTERM acts at once.

    SIGHUP comes when a terminal or an ssh connection is lost, from the system and from the shell; under `nohup` it has
    no effect. Outside the main thread signals cannot be caught, and the event is never set.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    hangup = getattr(signal, "SIGHUP", None)

    def ask(number: int, frame: Any) -> None:
        if asked.is_set() and number != hangup:
            raise KeyboardInterrupt
        asked.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(hangup)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
