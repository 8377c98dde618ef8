"""Starting a command as several processes of one run, by torchrun's own launcher, on this machine.

What would end the same way again (bad arguments, failed training, an interrupt) is handed back as an exit code with its
sentence; torchrun starts all processes again where one has died.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from ctypes import c_byte

import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from vaekit.errors import PeerLost

PATIENCE = 2.0
"""Seconds in which a process that lost another hears whether that one has ended for good, or has died."""

SIGNALS = "SIGQUIT"
"""What torchrun handles itself; of other signals it would leave the processes no time to save."""

Outcome = tuple[int, str | None]
"""An exit code, and the sentence that says why it is not 0."""


def launch(devices: int, command: Callable[[], Outcome], restarts: int) -> int:
    """Run `command`, a module's function, in `devices` processes that train together, and return the exit code.

    When one dies, the others are ended and all are started again, up to `restarts` times: the run goes on from its last
    checkpoint. Interrupts are the processes' own to handle: they save first.
    """
    # As many threads as there are cores, shared out: more would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    os.environ["PYTHONSAFEPATH"] = "1"  # else a multiprocessing.py in the current folder would be run
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = SIGNALS  # what PyTorch reads that has no such field yet
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=f"{os.getpid()}-{time.time_ns()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=restarts,
    )
    if hasattr(config, "signals_to_handle"):
        config.signals_to_handle = SIGNALS
    for name in ("torch.distributed.elastic.multiprocessing.api", "torch.multiprocessing.spawn"):
        logging.getLogger(name).propagate = False
        logging.getLogger(name).addHandler(REASONS)
    # The system sends these two to the processes as well. Not SIG_IGN, which they would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in multiprocessing.active_children()])
    # Not an Event, which a process that dies while it waits leaves locked.
    ended = multiprocessing.get_context("spawn").Value("b", 0, lock=False)
    try:
        outcomes: dict[int, Outcome] = elastic_launch(config, _work)(command, ended)
    except ChildFailedError:
        if restarts:
            print(f"vaekit: started again {restarts} times: giving up", file=sys.stderr)
        return 1
    code, sentence = min(outcomes.values(), key=lambda outcome: outcome[1] is None)
    if sentence is not None:
        print(f"vaekit: {sentence}", file=sys.stderr)
    return code


def _work(command: Callable[[], Outcome], ended: c_byte) -> Outcome:
    """Run the command as one of the processes. An exception, or another way to die, makes torchrun start again.

    `ended` is set by the first process that has its outcome.
    """
    attempt, last = os.environ["TORCHELASTIC_RESTART_COUNT"], os.environ["TORCHELASTIC_MAX_RESTARTS"]
    if attempt != "0" and os.environ["RANK"] == "0":
        print(f"vaekit: starting again from the last checkpoint ({attempt} of {last})", file=sys.stderr, flush=True)
    outcome: Outcome = (1, None)
    try:
        outcome = command()
    except PeerLost:
        until = time.monotonic() + PATIENCE
        while not ended.value:
            if time.monotonic() > until:
                sys.exit(1)
            time.sleep(0.05)
    ended.value = 1
    if dist.is_initialized():  # a process that waits for this one gets an error
        dist.destroy_process_group()
    launcher = multiprocessing.parent_process()
    if launcher is None or not launcher.is_alive():  # nobody would take the answer
        sys.exit(1)
    return outcome


class Reasons(logging.Handler):
    """Says in a line why processes are ended, where torchrun has the launcher's traceback as well."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the error of a record that has one."""
        if record.exc_info is not None and record.exc_info[1] is not None:
            print(f"vaekit: {str(record.exc_info[1]).strip()}", file=sys.stderr, flush=True)


REASONS = Reasons()
