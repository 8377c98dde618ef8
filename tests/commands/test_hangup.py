"""A lost terminal: the training saves, says nothing to nobody, and goes on by --resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pty = pytest.importorskip("pty")


def own_terminal() -> None:
    """Make standard error the terminal that this process's session belongs to."""
    import fcntl
    import termios

    fcntl.ioctl(2, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored, and so by children, where the tests run under nohup


@pytest.mark.slow
def test_a_training_whose_terminal_goes_saves_and_goes_on(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    small = ["--set", "model.hidden=8", "--set", "train.log_every=5", "--set", "train.checkpoint_seconds=1000"]
    words = ["train", "--out", str(tmp_path / "run"), "--steps", "100000", *small, "--no-figures"]
    child = subprocess.Popen(
        [sys.executable, "-m", "vaekit", *words],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=own_terminal,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    log, until = tmp_path / "run" / "log.jsonl", time.monotonic() + 200
    while not (log.exists() and log.read_text().count("\n") > 5):
        assert time.monotonic() < until and child.poll() is None
        with suppress(BlockingIOError):
            os.read(ours, 65536)  # a terminal that nobody reads fills up
        time.sleep(0.02)
    os.close(ours)
    assert child.wait(timeout=60) == 130
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    steps = json.loads(log.read_text().splitlines()[-1])["step"]
    assert record["status"] == "running" and steps < 100000
    from vaekit.training.saved import steps_taken

    assert steps_taken(tmp_path / "run") == steps
