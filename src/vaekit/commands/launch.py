"""Starting a command as several processes of one run, and starting them again when one of them dies.

`torchrun` does as much, on several machines too, and `torchrun … -m vaekit train …` works. On one machine this does
without its second of imports in the parent, keeps exit codes, and lets each error be said once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from vaekit.errors import UserError

FINAL = (2, 3, 130)
"""Exit codes after which starting again would come to the same: bad arguments, failed training, an interrupt."""

RESTARTS = 3
LOOKS_A_SECOND = 10
PATIENCE = 30.0
"""Seconds that processes are given to end by themselves before they are killed."""


def launched() -> bool:
    """Return whether this process is one of several that a launcher started."""
    return "RANK" in os.environ


def launch(devices: int, arguments: Sequence[str], restarts: int = RESTARTS) -> int:
    """Run `python -m vaekit ARGUMENTS` as `devices` processes that train together, and return the exit code.

    When one dies, the others are ended and all are started again, up to `restarts` times: the run goes on from its last
    checkpoint. Interrupts are the processes' own to handle: they save first.
    """
    if devices < 1:
        raise UserError("--devices must be at least 1")
    if launched():
        raise UserError("--devices starts the processes itself; leave it out under torchrun")
    name = f"{os.getpid()}-{time.time_ns()}"
    with tempfile.TemporaryDirectory(prefix="vaekit-") as folder:
        code = 0
        for attempt in range(restarts + 1):
            code = _attempt(devices, arguments, name, attempt, Path(folder))
            if code in (0, *FINAL):
                return 1 if code == 3 else code
            if attempt < restarts:
                print(
                    f"vaekit: {_how(code)}; starting again from the last checkpoint ({attempt + 1} of {restarts})",
                    file=sys.stderr,
                    flush=True,
                )
    again = f", {restarts} times after a restart: giving up" if restarts else ""
    print(f"vaekit: {_how(code)}{again}", file=sys.stderr)
    return 1


def _how(code: int) -> str:
    if code < 0:
        return f"a process was killed by {signal.Signals(-code).name}"
    return f"a process ended with code {code}"


def _attempt(devices: int, arguments: Sequence[str], name: str, attempt: int, folder: Path) -> int:
    """Start the processes once and wait for all; return 0, or the code of the one that ended the run."""
    shared = {
        "WORLD_SIZE": str(devices),
        "LOCAL_WORLD_SIZE": str(devices),
        "VAEKIT_MEETING": str(folder / f"meeting-{attempt}"),
        "TORCHELASTIC_RESTART_COUNT": str(attempt),
        "TORCHELASTIC_RUN_ID": name,
    }
    # As many threads as there are cores, shared out: more would wait for one another.
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // devices))}
    read, write = os.pipe()
    processes = []
    before = signal.signal(signal.SIGINT, lambda *_: None)  # not ignored, which the processes would inherit
    ended = signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in processes] and None)
    try:
        for rank in range(devices):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "VAEKIT_PARENT": str(read)}
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "vaekit", *arguments],
                    env=threads | dict(os.environ) | shared | own,
                    pass_fds=(read,),
                )
            )
        return _wait(processes)
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, ended)
        for process in processes:
            if process.poll() is None:
                process.kill()
        os.close(read)
        os.close(write)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    """Wait until all have ended well, or one has not: the others are then ended, and the worst code is returned."""
    while True:
        codes = [process.poll() for process in processes]
        bad = [code for code in codes if code]
        if not bad and None not in codes:
            return 0
        if bad:
            break
        time.sleep(1 / LOOKS_A_SECOND)
    return _settle(processes)


def _settle(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    """End the processes that are left and return the code that says most: a final one, else a killing, else any."""
    time.sleep(2 / LOOKS_A_SECOND)  # an error mostly ends them all
    alone = [process.poll() for process in processes]
    until = time.monotonic() + (PATIENCE if 130 in alone else 1.0)
    while time.monotonic() < until and None in [process.poll() for process in processes]:
        time.sleep(1 / LOOKS_A_SECOND)
    mine = [process for process in processes if process.poll() is None]
    for process in mine:
        process.kill()
    for process in processes:
        process.wait()
    codes = [process.returncode for process in processes if process not in mine and process.returncode]
    return next((code for code in FINAL if code in codes), min(codes))
