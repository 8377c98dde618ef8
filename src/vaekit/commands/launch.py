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
from ctypes import c_byte

from vaekit.errors import UserError

RESTARTS = 3
PATIENCE = 2.0
"""Seconds in which a process that lost another hears whether that one has ended for good, or has died."""


def launched() -> bool:
    """Return whether this process is one of several that a launcher started."""
    return "RANK" in os.environ


def launch(devices: int, restarts: int = RESTARTS) -> int:
    """Run this command line as `devices` processes that train together, and return the exit code.

    When one dies, the others are ended and all are started again, up to `restarts` times: the run goes on from its last
    checkpoint. Interrupts are the processes' own to handle: they save first.
    """
    if devices < 1:
        raise UserError("--devices must be at least 1")
    if launched():
        raise UserError("--devices starts the processes itself; leave it out under torchrun")
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # As many threads as there are cores, shared out: more would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=f"{os.getpid()}-{time.time_ns()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=restarts,
        signals_to_handle="SIGHUP",  # of the others, torchrun would leave the processes no time to save
    )
    for name in ("torch.distributed.elastic.multiprocessing.api", "torch.multiprocessing.spawn"):
        logging.getLogger(name).propagate = False
        logging.getLogger(name).addHandler(REASONS)
    signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which the processes would inherit
    signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in multiprocessing.active_children()])
    try:
        # Not an Event, which a process that dies while it waits leaves locked.
        outcomes = elastic_launch(config, work)(multiprocessing.get_context("spawn").Value("b", 0, lock=False)).values()
    except ChildFailedError:
        if restarts:
            print(f"vaekit: started again {restarts} times: giving up", file=sys.stderr)
        return 1
    code, sentence = min(outcomes, key=lambda outcome: outcome[1] is None)
    if sentence is not None:
        print(f"vaekit: {sentence}", file=sys.stderr)
    return code


def work(ended: c_byte) -> tuple[int, str | None]:
    """Run the command line as one of the processes, and return its exit code and what is to be said of it.

    `ended` is set by the first process that is done. An exception or another way to die makes torchrun start again.
    """
    from vaekit import _env
    from vaekit.commands.main import PEER_LOST, outcome

    _env.prepare()
    attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    if attempt and _env.is_first():
        last = os.environ["TORCHELASTIC_MAX_RESTARTS"]
        print(f"vaekit: starting again from the last checkpoint ({attempt} of {last})", file=sys.stderr, flush=True)
    code, sentence = outcome()
    until = time.monotonic() + PATIENCE
    while code == PEER_LOST and not ended.value:
        if time.monotonic() > until:
            sys.exit(code)
        time.sleep(0.05)
    ended.value = 1
    import torch.distributed as dist

    if dist.is_initialized():  # whoever waits for this one hears that it has gone
        dist.destroy_process_group()
    launcher = multiprocessing.parent_process()
    if launcher is None or not launcher.is_alive():  # nobody would take the answer
        sys.exit(code)
    return code, sentence


class Reasons(logging.Handler):
    """Says in a line why processes are ended, where torchrun has the launcher's traceback as well."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the error of a record that has one."""
        if record.exc_info is not None and record.exc_info[1] is not None:
            print(f"vaekit: {str(record.exc_info[1]).strip()}", file=sys.stderr, flush=True)


REASONS = Reasons()
