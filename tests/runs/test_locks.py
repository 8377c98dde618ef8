"""One writer at a time: a second is refused by the holder's name, and a lock ends with its process, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vaekit.errors import UserError
from vaekit.runs import locks
from vaekit.runs.locks import InUse, locked

HOLD = """
import sys, time
from pathlib import Path
from vaekit.runs.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_it_is_held_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
        with locked(tmp_path):  # the same thread may
            pass
        refused: list[str] = []

        def other() -> None:
            with pytest.raises(InUse) as error, locked(tmp_path):
                pass
            refused.append(str(error.value))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert f"process {os.getpid()} on " in refused[0]
        assert (tmp_path / ".lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_another_process_is_named_and_its_lock_dies_with_it(tmp_path: Path) -> None:
    process = holder(tmp_path)
    named = rf"being written by process {process.pid} on .* since .*; wait until"
    with pytest.raises(InUse, match=named), locked(tmp_path):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with locked(tmp_path):
        pass


def test_one_waits_for_a_moment(tmp_path: Path) -> None:
    process = holder(tmp_path)
    begun = time.monotonic()
    threading.Timer(0.3, process.kill).start()
    with locked(tmp_path, wait=20):
        assert time.monotonic() - begun > 0.2
    process.communicate()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_that_outlives_the_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A worker of a loader, say, forked while the lock is held: it has no part in it, and its end does not end it."""
    with locked(tmp_path):
        child = os.fork()
        if child == 0:
            try:
                with locked(tmp_path):
                    os._exit(1)
            except InUse:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        sleeper = os.fork()
        if sleeper == 0:
            time.sleep(30)
            os._exit(0)
    with locked(tmp_path):  # though the sleeper lives
        pass
    os.kill(sleeper, signal.SIGKILL)
    os.waitpid(sleeper, 0)


def test_it_is_given_up_though_its_file_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, locked(tmp_path):
        patch.setattr(Path, "unlink", fails)
        assert (tmp_path / ".lock").exists()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fails)
        with locked(tmp_path):
            pass
    with locked(tmp_path):
        pass


def test_many_at_once_take_turns(tmp_path: Path) -> None:
    """Each reads, waits and writes a number: none is lost."""
    count = tmp_path / "count"
    count.write_text("0")

    def add() -> None:
        for _ in range(10):
            with locked(tmp_path, wait=60):
                seen = int(count.read_text())
                time.sleep(0.001)
                count.write_text(str(seen + 1))

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.read_text() == "60"


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(locks.os, "open", fails)
    with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\)"), locked(tmp_path):
        pass


def test_a_file_system_without_locks_refuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def fails(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", fails)
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    folder, other = tmp_path / "run", tmp_path / "other"
    folder.mkdir()
    other.write_text("mine")
    (folder / ".lock").symlink_to(other)
    with pytest.raises(UserError), locked(folder):
        pass
    assert other.read_text() == "mine"
