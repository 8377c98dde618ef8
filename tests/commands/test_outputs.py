"""An output replaces nothing that is read, no run and no device; what cannot be written is told all the same."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from commands.conftest import Command, Done
from commands.test_errors import complaint, everything
from vaekit.commands.main import app
from vaekit.runs.locks import locked

# Every command that writes a file: its arguments but for the file, with {run} and, where it takes any, {data}.
WRITERS = {
    "sample": "{run} -n 4",
    "encode": "{run} --data {data}",
    "reconstruct": "{run} --data {data}",
    "interpolate": "{run} --data {data} -n 2",
    "traverse": "{run} --data {data} --top 2",
    "manifold": "{run} --size 3",
    "arithmetic": "{run} --examples 0,1,2 --data {data}",
    "intervene": "{run} light=0.9 --data {data}",
    "detect": "{run} --data {data} --score reconstruction",
    "impute": "{run} --data {data} --k 2 --draws 2",
    "augment": "{run} --data {data} -n 4",
    "cluster": "{run} --data {data} --k 2 --bootstraps 2",
    "classify": "{run} --labels 10",
    "optimise": "{run} --data {data}",
    "export": "{run} --format torch",
    "compress": "{run} {data}",
    "decompress": "{run} {packed}",
    "report": "{run} {other}",
}
SUFFIX = {"export": ".zip", "compress": ".vkz", "report": ".html"}
OTHERS = {"train", "evaluate", "study", "reproduce", "explore", "recipes", "datasets", "parts", "show"}
"""Commands that write into a folder of a run, study or table, or nothing."""


@pytest.fixture
def words(here: Path, copied: Callable[[str], Path], vaekit: Command) -> Callable[[str, object], list[str]]:
    """Return a function that gives a command's words for an output; the data file's suffix is that of the output."""
    places = {"run": copied("vae"), "other": copied("cvae")}
    x = np.random.default_rng(0).integers(0, 17, (40, 1, 8, 8)).astype(np.uint8)

    def fill(command: str, out: object) -> list[str]:
        data = here / "data.npz"
        if not data.exists():
            np.savez(data, x=np.minimum(x, 1) if command == "compress" else x)
        packed = here / "packed.npz"
        packed.write_bytes(b"packed") if not packed.exists() else None
        given = [w.format(data=data, packed=packed, **places) for w in WRITERS[command].split()]
        return [command, *given, *([] if "compress" in command else ["--out"]), str(out)]

    return fill


def test_every_command_that_writes_is_tested() -> None:
    named = {name for name in app if not name.startswith("-")}
    assert named == {*WRITERS, *OTHERS}


@pytest.mark.parametrize("command", WRITERS)
def test_what_would_be_lost_is_refused(
    command: str, words: Callable[[str, object], list[str]], vaekit: Command, here: Path
) -> None:
    suffix = SUFFIX.get(command, ".npz")
    run = Path(words(command, "x")[1])
    read = Path(next((w for w in words(command, "x")[2:] if "data." in w or "packed." in w), run / "run.json"))
    (here / f"link{suffix}").symlink_to(read)
    (here / f"folder{suffix}").mkdir()
    os.mkfifo(here / f"pipe{suffix}")
    (run / "checkpoints" / f"last{suffix}").write_bytes(b"")
    refused = {
        here / f"link{suffix}": "is a link to",
        here / f"pipe{suffix}": "not a plain file",
        here / f"folder{suffix}": "is a folder",
        here / "nowhere" / f"x{suffix}": "does not exist",
        run / "checkpoints" / f"last{suffix}": "is a file of the run",
        run / ".new" / f"x{suffix}": "",
        here / f"{'n' * 300}{suffix}": "name",
        here / f"x\0{suffix}": "NUL",
        run / "model.safetensors": "end",
    }
    if read.name.endswith(suffix):
        refused[read] = "is among what is read"
        refused[here / ".." / here.name / read.name] = "is among what is read"

    def state() -> dict[str, tuple[int, int, int]]:
        return {p: ((s := (here / p).lstat()).st_ino, s.st_size, s.st_mtime_ns) for p in everything(here)}

    before = state()
    for out, why in refused.items():
        complaint(vaekit(*words(command, out)), why)
    assert state() == before, "something was changed"


def test_the_data_of_the_run_are_not_replaced_either(vaekit: Command, here: Path, tmp_path: Path) -> None:
    np.savez(here / "own.npz", x=np.random.default_rng(0).integers(0, 17, (40, 1, 8, 8)).astype(np.uint8))
    before = (here / "own.npz").read_bytes()
    assert vaekit("train", "--data", "own.npz", "--steps", 2, "--out", tmp_path / "r", "--no-figures").code == 0
    complaint(vaekit("encode", tmp_path / "r", "--out", "own.npz"), "among what is read")
    complaint(vaekit("detect", tmp_path / "r", "--against", "own.npz", "--out", "own.npz"), "among what is read")
    assert (here / "own.npz").read_bytes() == before


def test_a_file_of_ones_own_is_written_again(words: Callable[[str, object], list[str]], vaekit: Command) -> None:
    """Plain outputs are replaced, in a run's folder too."""
    run = Path(words("sample", "x")[1])
    for _ in range(2):
        assert vaekit("sample", run, "-n", 2, "--out", run / "mine.png").code == 0


# -- a place that cannot be written ------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: str = "300k", more: str = "") -> Iterator[Path]:
    """A file system with little room, or one that is read-only; needs root on Linux."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}{more}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs root to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> None:
    """Fill a file system up but for about `leave` bytes."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize - leave
    (folder / "filler").write_bytes(b"x" * free)


def failed(done: Done, *said: str) -> None:
    assert done.code == 1, done
    last = done.err.splitlines()[-1]
    assert last.startswith("vaekit: ") and "Traceback" not in done.err
    for word in said:
        assert word in last


@pytest.mark.parametrize("command", ["detect --score reconstruction", "cluster --bootstraps 2", "classify", "augment"])
def test_numbers_are_told_though_the_disk_is_full(
    command: str, trained: dict[str, Path], vaekit: Command, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "16k") as disk:
        fill(disk, leave=4096)  # enough for the try, not for the file
        name, *more = command.split()
        out = disk / ("x.npz" if name == "augment" else "x.csv")
        done = vaekit(name, trained["vae"], *more, "--out", out, "--json")
        failed(done, f"{out.name}: No space left on device")
        told = json.loads(done.out)
        assert told["out"] is None and "No space left" in told["not_written"] and len(told) > 3
        assert [path.name for path in disk.iterdir()] == ["filler"]


def test_an_evaluation_that_cannot_be_kept_is_told(
    vaekit: Command, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaekit.runs import run as runs

    folder = copied("vae")
    before = {path: (folder / path).stat().st_mtime_ns for path in everything(folder)}

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "evaluation.json"))

    monkeypatch.setattr(runs, "write_evaluation", fails)
    done = vaekit("evaluate", folder, "--metrics", "elbo", "--json")
    failed(done, "could not be stored", "No space left on device")
    assert isinstance(json.loads(done.out)["elbo"]["value"], float)
    assert {path: (folder / path).stat().st_mtime_ns for path in everything(folder)} == before


def test_a_read_only_run_is_refused_before_it_is_evaluated(
    vaekit: Command, copied: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaekit.runs.run import Run

    monkeypatch.setattr(Run, "subject", lambda *_, **__: pytest.fail("it was evaluated"))
    with small_disk(tmp_path / "disk", "8m") as disk:
        subprocess.run(["cp", "-r", str(copied("vae")), str(disk / "run")], check=True)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for command in (
            ["evaluate", disk / "run"],
            ["report", disk / "run"],
            ["train", "--resume", "--out", disk / "run"],
        ):
            complaint(vaekit(*command), "cannot be written", "Read-only file system")
        complaint(vaekit("train", "--out", disk / "new", "--steps", 1), "cannot be made", "Read-only")
        complaint(vaekit("sample", disk / "run", "--out", disk / "x.png"), "Read-only")
        assert vaekit("sample", disk / "run", "-n", 2, "--out", tmp_path / "x.png").code == 0


def test_training_on_a_full_disk_ends_in_a_sentence_and_goes_on(vaekit: Command, here: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "200k") as disk:
        fill(disk, leave=40_000)
        small = ["--set", "model.hidden=64", "--set", "train.log_every=1", "--set", "train.checkpoint_steps=2"]
        done = vaekit("train", "--out", disk / "run", "--steps", 6, *small, "--no-figures")
        failed(done, "No space left on device; free some")
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        assert vaekit("train", "--out", disk / "run", "--resume", "--no-figures").code == 0
        assert json.loads((disk / "run" / "run.json").read_text())["status"] == "done"


@pytest.mark.parametrize("name", ["n" * 300, "a\0b"])
def test_names_that_no_file_can_have(name: str, vaekit: Command, here: Path) -> None:
    complaint(vaekit("train", "--out", name, "--steps", 1), "name another")
    complaint(vaekit("train", "--out", f"runs/{name}", "--steps", 1), "name another")
    done = vaekit("evaluate", name)
    assert done.code in (1, 2) and len(done.err.splitlines()) == 1 and "Traceback" not in done.err
    assert everything(here) == []


# -- two at once -------------------------------------------------------------------------------------------------------


def test_a_second_writer_is_refused_in_one_sentence(
    vaekit: Command, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    import threading

    monkeypatch.setattr("vaekit.runs.run.MOMENT", 0.1)
    monkeypatch.setattr("vaekit.runs.folder.MOMENT", 0.1)
    folder, ready, done = copied("vae"), threading.Event(), threading.Event()

    def hold() -> None:
        with locked(folder):
            ready.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait()
    try:
        for command in (
            ["train", "--resume", "--out", folder],
            ["train", "--overwrite", "--out", folder, "--steps", 1],
            ["evaluate", folder, "--metrics", "elbo"],
            ["report", folder],
        ):
            said = complaint(vaekit(*command), f"process {os.getpid()} on", "wait until it has ended")
            assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(", said)
        assert vaekit("sample", folder, "-n", 2, "--out", "x.png").code == 0
        assert vaekit("encode", folder, "--out", "z.npz").code == 0
    finally:
        done.set()
        thread.join()
