"""A file is its old self or its new self, whatever happens between."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vaekit import atomic


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    return path


def test_a_clean_exit_replaces_the_file_and_leaves_nothing_beside_it(old: Path) -> None:
    with atomic.replacing(old) as part:
        part.write_bytes(b"new")
        assert old.read_bytes() == b"old"
    assert old.read_bytes() == b"new"
    assert names(old.parent) == ["model.bin"]


def test_the_part_lies_in_the_same_folder_and_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic.replacing(tmp_path / "curves.png") as part:
        assert part.parent == tmp_path
        assert part.suffix == ".png"
        part.write_bytes(b"")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_in_the_middle_leaves_the_old_file_whole(old: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), atomic.replacing(old) as part:
        part.write_bytes(b"ne")
        raise error
    assert old.read_bytes() == b"old"
    assert names(old.parent) == ["model.bin"]


def test_an_error_in_the_middle_leaves_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic.replacing(tmp_path / "model.bin") as part:
        part.write_bytes(b"ne")
        raise RuntimeError
    assert names(tmp_path) == []


def test_a_writer_that_writes_nothing_is_an_error_and_the_old_file_stays(old: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic.replacing(old):
        pass
    assert old.read_bytes() == b"old"


def test_data_reach_the_disk_before_the_name_changes(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            seen.append(old.read_bytes())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    atomic.write_bytes(old, b"new")
    assert seen == [b"old"]


def test_text_is_utf8_and_json_is_indented_and_ends_its_line(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "a.txt", "β = ½\n")
    atomic.write_json(tmp_path / "a.json", {"name": "σ-VAE", "elbo": -94.5})
    assert (tmp_path / "a.txt").read_bytes() == "β = ½\n".encode()
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "name": "σ-VAE",\n  "elbo": -94.5\n}\n'


def test_json_that_cannot_be_written_is_refused_and_the_old_file_stays(old: Path) -> None:
    with pytest.raises(TypeError):
        atomic.write_json(old, {"elbo": object()})
    assert old.read_bytes() == b"old"


def test_json_has_null_for_what_is_not_finite_and_says_what_it_was(old: Path) -> None:
    inner = {"rates": (1.0, float("inf")), "n": 2, "ok": 1.5}
    atomic.write_json(old, {"elbo": float("-inf"), "kl": float("nan"), "inner": inner, "name": "vae"})
    assert json.loads(old.read_text(), parse_constant=pytest.fail) == {
        "elbo": None,
        "kl": None,
        "inner": {"rates": [1.0, None], "n": 2, "ok": 1.5, "not_finite": {"rates": "inf"}},
        "name": "vae",
        "not_finite": {"elbo": "-inf", "kl": "nan"},
    }


HALF = """
import sys, time
from vaekit import atomic
with atomic.replacing(sys.argv[1]) as part, part.open("wb") as file:
    file.write(b"ne")
    file.flush()
    print("half", flush=True)
    time.sleep(60)
"""

FOREVER = """
import sys
from vaekit import atomic
print("begun", flush=True)
while True:
    for letter in b"ab":
        atomic.write_bytes(sys.argv[1], bytes([letter]) * 4_000_000)
"""


def start(script: str, path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL")
def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file_whole(old: Path) -> None:
    kill(start(HALF, old))
    assert old.read_bytes() == b"old"
    atomic.write_bytes(old, b"new")  # and what the dead writer left is in nobody's way
    assert old.read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL")
def test_a_kill_at_any_moment_leaves_one_whole_version(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    atomic.write_bytes(path, b"a" * 4_000_000)
    wait = random.Random(0)
    for _ in range(8):
        process = start(FOREVER, path)
        time.sleep(wait.uniform(0.01, 0.06))
        kill(process)
        data = path.read_bytes()
        assert len(data) == 4_000_000
        assert len(set(data)) == 1


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    atomic.write_json(path, ["a"] * 10_000)
    done = threading.Event()

    def write() -> None:
        for letter in "abcdefghij" * 3:
            atomic.write_json(path, [letter] * 10_000)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set():
        value = json.loads(path.read_text(encoding="utf-8"))
        assert len(value) == 10_000
        assert len(set(value)) == 1
        reads += 1
    writer.join()
    assert reads > 0
