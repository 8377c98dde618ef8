"""`vaekit train --devices 2` and torchrun, as a user runs them: one voice, exit codes, and a restart after a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from distributed import jobs, stand_ins
from vaekit.commands.launch import on_devices
from vaekit.distributed import launcher
from vaekit.errors import UserError

STEPS = 400
SETTINGS = [
    *("--set", "model.hidden=16", "--set", "train.batch_size=16", "--set", "train.checkpoint_steps=20"),
    *("--set", "train.log_every=10", "--set", "data.valid=20", "--set", "data.test=20"),
    *("--precision", "fp32"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    x, y = jobs.rows(200)
    np.savez(path, x=x, y=y)
    return path


def words(data: Path, out: Path, steps: int = STEPS) -> list[str]:
    return ["train", "--data", str(data), "--out", str(out), "--steps", str(steps), *SETTINGS]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=240, check=False, env=environment()
    )


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def steps_done(out: Path) -> int:
    log = out / "log.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return json.loads(lines[-1])["step"] if lines and lines[-1].endswith("}") else 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes in /proc")
def test_a_killed_process_is_started_again_and_the_weights_end_the_same(data: Path, tmp_path: Path) -> None:
    whole = run("vaekit", *words(data, tmp_path / "whole"), "--devices", "2")
    assert whole.returncode == 0, whole.stderr
    out = tmp_path / "killed"
    started = subprocess.Popen(
        [sys.executable, "-m", "vaekit", *words(data, out), "--devices", "2"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    until = time.monotonic() + 120
    while steps_done(out) < 50 and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(children(started.pid)[-1], signal.SIGKILL)
    printed, said = started.communicate(timeout=240)
    assert started.returncode == 0, said
    assert said.count("vaekit: ") == 2
    assert "terminated with signal SIGKILL\nvaekit: starting again from the last checkpoint (1 of 3)\n" in said
    assert "Traceback" not in said
    assert printed.split() == [str(out)]
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "done" and record["processes"] == 2 and record["result"]["steps"] == STEPS
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) and steps[-1] == STEPS  # what was logged after the checkpoint is not there twice


@pytest.mark.slow
def test_torchrun_trains_one_run_and_says_things_once(data: Path, tmp_path: Path) -> None:
    done = run(
        *("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"),
        *("vaekit", *words(data, tmp_path / "run", 20), "--json"),
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["steps"] == 20
    assert run("vaekit", *words(data, tmp_path / "devices", 20), "--devices", "2").returncode == 0
    for name, value in load_file(tmp_path / "devices" / "model.safetensors").items():
        np.testing.assert_array_equal(load_file(tmp_path / "run" / "model.safetensors")[name], value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--data", "nowhere", "--devices", "2"], "no data 'nowhere'"),
        (["train", "--epochs", "x", "--devices", "2"], "epochs"),
        (["evaluate", "nowhere", "--devices", "2"], "there is no run folder nowhere"),
    ],
)
def test_an_error_comes_out_once(arguments: list[str], said: str) -> None:
    done = run("vaekit", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("vaekit: ") == 1 and said in done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_the_run_and_resuming_ends_at_the_same_weights(
    data: Path, tmp_path: Path, asked: signal.Signals
) -> None:
    out = tmp_path / "run"
    started = subprocess.Popen(
        [sys.executable, "-m", "vaekit", *words(data, out), "--devices", "2"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while steps_done(out) < 50 and time.monotonic() < until:
        time.sleep(0.05)
    if asked == signal.SIGINT:
        os.killpg(started.pid, asked)  # as the terminal does
    else:
        started.terminate()
    _, said = started.communicate(timeout=120)
    assert started.returncode == 130
    assert said.count("goes on with 'vaekit train --resume") == 1 and "Traceback" not in said
    resumed = run("vaekit", "train", "--resume", "--out", str(out), "--devices", "2")
    assert resumed.returncode == 0, resumed.stderr
    assert run("vaekit", *words(data, tmp_path / "whole"), "--devices", "2").returncode == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "run"))
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell processes of their launcher")
def test_processes_end_when_their_launcher_is_killed(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    started = subprocess.Popen(
        [sys.executable, "-m", "vaekit", *words(data, out, 10**6), "--devices", "2"],
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    until = time.monotonic() + 120
    while steps_done(out) < 50 and time.monotonic() < until:
        time.sleep(0.05)
    processes = children(started.pid)
    started.kill()
    started.wait()
    until = time.monotonic() + 60
    while any(Path(f"/proc/{pid}/cmdline").exists() for pid in processes) and time.monotonic() < until:
        time.sleep(0.05)
    assert [pid for pid in processes if Path(f"/proc/{pid}/cmdline").exists()] == []
    assert (out / "checkpoints" / "last.safetensors").is_file()


@pytest.mark.slow
def test_no_process_runs_a_file_of_the_current_folder(tmp_path: Path) -> None:
    here, command = tmp_path / "downloads", tmp_path / "bin" / "command.py"
    for folder in (here, command.parent):
        folder.mkdir()
    command.write_text("from vaekit.commands.main import run\nif __name__ == '__main__':\n    run()\n")
    for name in ("cyclopts", "torch", "multiprocessing"):
        (here / f"{name}.py").write_text(f"open('ran', 'a').write('{name} ')\nraise SystemExit(7)\n")
    done = subprocess.run(
        [sys.executable, str(command), "train", "--steps", "2", "--devices", "2", "--out", "run", "--no-figures"],
        **{"capture_output": True, "text": True, "timeout": 240, "check": False, "env": environment(), "cwd": here},
    )
    assert not (here / "ran").exists(), (here / "ran").read_text()
    assert done.returncode == 0, done.stderr


def test_what_starts_processes_keeps_them_from_the_current_folder() -> None:
    """What starts others must keep them from the current folder's files, as the test above asks of it."""
    starts = re.compile(r"\b(subprocess|multiprocessing|Popen|os\.(system|exec\w+|spawn\w+|fork))\b")
    source = Path(launcher.__file__).parents[1]
    texts = {path.relative_to(source).as_posix(): path.read_text(encoding="utf-8") for path in source.rglob("*.py")}
    found = {name: text for name, text in texts.items() if starts.search(text)}
    starting = ["commands/page.py", "distributed/launcher.py", "latents/umap.py", "published/results.py"]
    starting += ["studies/study.py"]
    assert sorted(found) == starting
    git = found.pop("published/results.py")  # asks git for the commit, and starts no Python
    assert "sys.executable" not in git and 'git = [found, "-C"' in git
    assert all("PYTHONSAFEPATH" in text for text in found.values())


# -- the launcher with stand-ins for the command ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (
            stand_ins.is_killed,
            1,
            [
                "terminated with signal SIGKILL",
                "starting again from the last checkpoint (1 of 1)",
                "terminated with signal SIGKILL",
                "started again 1 times: giving up",
            ],
        ),
        (stand_ins.fails_once, 0, ["OSError: the disk is away", "starting again from the last checkpoint (1 of 1)"]),
        (stand_ins.one_refuses, 2, ["bad data, seen here alone"]),
        (
            stand_ins.dies_after_meetings,
            0,
            [
                part
                for attempt in (1, 2, 3)
                for part in (
                    "terminated with signal SIGKILL",
                    f"starting again from the last checkpoint ({attempt} of 3)",
                )
            ],
        ),
    ],
)
def test_it_starts_again_only_where_that_may_help(
    command: Any, code: int, said: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(launcher.signal, "signal", lambda *_: None)  # pytest keeps its own
    begun = time.monotonic()
    assert launcher.launch(2, command, restarts=3 if command is stand_ins.dies_after_meetings else 1) == code
    assert time.monotonic() - begun < 600  # far from the half hour in which processes wait for one another
    lines = capfd.readouterr().err.split("vaekit: ")[1:]
    assert len(lines) == len(said)
    for line, part in zip(lines, said):
        assert part in line


def test_devices_are_at_least_one_and_a_process_starts_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    on_devices(None)
    with pytest.raises(UserError, match="at least 1"):
        on_devices(0)
    monkeypatch.setenv("RANK", "0")
    on_devices(2)
