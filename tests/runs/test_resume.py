"""A run killed at any moment and taken up again ends in the same weights, bit for bit, as one left in peace."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vaekit.runs.loading import load
from vaekit.runs.train import train as train_here
from vaekit.training.log import read

CRASH = Path(__file__).with_name("crash.py")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}

# (what happens, how often before): early, so that ten deaths fit into one short run. Every kind at several places.
MOMENTS: dict[str, list[list[Any]]] = {
    # before the first checkpoint; in it; in the first weights kept as best; on a log line; between two steps
    "digits": [
        ["step", 2],
        ["half", 1],
        ["before", 2],
        ["half", 3],
        ["log", 2],
        ["after", 3],
        ["step", 6],
        ["half", 4],
    ],
    # steps and writes around the change of stage too: the last files are the end of stage two and the final weights
    "players": [["step", 3], ["half", 2], ["after", 3], ["log", 4], ["before", 4], ["step", 9], ["half", 7]],
}


def crash(scene: str, parent: Path, plan: dict[str, list[list[Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Run what crash.py says, and see that every training ended well at last."""
    done = subprocess.run(
        [sys.executable, str(CRASH), scene, str(parent), json.dumps(plan)],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [attempts[-1]["ended"] for attempts in found.values()] == [0] * len(plan), done.stderr
    return found


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def numbers(folder: Path) -> list[dict[str, Any]]:
    """Return the log without what depends on the clock."""
    return [{k: v for k, v in r.items() if k != "examples_per_second"} for r in read(folder / "log.jsonl")]


@pytest.mark.slow
@pytest.mark.parametrize("scene", MOMENTS)
def test_killed_and_resumed_it_ends_in_the_same_weights(scene: str, tmp_path: Path) -> None:
    """At chosen moments within one run, and at a random one for each kind of death in a run of its own."""
    rng = random.Random(7)
    plan = {"whole": [], "cut": MOMENTS[scene]}
    for kind, most in {"step": 25, "half": 12, "before": 12, "after": 12, "log": 12}.items():
        plan[kind] = [[kind, rng.randint(1, most)]]
    plan["time"] = [["time", 0.3 * rng.random()]]
    found = crash(scene, tmp_path, plan)
    assert [a["ended"] for a in found["cut"][:-1]] == [-9] * len(MOMENTS[scene])
    for name in plan:
        assert digest(tmp_path / name) == digest(tmp_path / "whole"), plan[name]
        # The log is cut back to the checkpoint each time: the same records, none twice.
        assert numbers(tmp_path / name) == numbers(tmp_path / "whole"), plan[name]
        assert found[name][-1]["files"] == found["whole"][0]["files"], "a killed process left files behind"


@pytest.mark.slow
def test_every_write_can_be_the_last(tmp_path: Path) -> None:
    """Death half-way through one file after another, and right after each renaming, in one two-stage run."""
    plan: dict[str, list[list[Any]]] = {"whole": []}
    plan |= {kind: [[kind, 1 + i % 3] for i in range(20)] for kind in ("half", "after")}
    found = crash("players", tmp_path, plan)
    for kind in ("half", "after"):
        deaths = [a["ended"] for a in found[kind]].count(-9)
        assert deaths >= 7, "the run ended before it was killed often enough"
        assert digest(tmp_path / kind) == digest(tmp_path / "whole")


def vaekit(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vaekit", *arguments]


@pytest.mark.slow
def test_the_command_line_resumes_what_signals_ended(tmp_path: Path) -> None:
    """SIGKILL, SIGINT and SIGTERM: the last two save first and exit with 130; --resume ends as an unhurt run does."""
    import signal

    train = ["train", "--out", str(tmp_path / "cut")]
    settings = ["--steps", "400", "--batch-size", "64", "--set", "model.hidden=16", "--set", "train.checkpoint_steps=7"]
    settings += ["--set", "train.log_every=2", "--set", "train.ema=0.9", "--set", "train.precision=fp32"]
    for number, name in enumerate((signal.SIGKILL, signal.SIGINT, signal.SIGTERM)):
        arguments = [*train, *settings] if number == 0 else [*train, "--resume"]
        child = subprocess.Popen(vaekit(*arguments), stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        before = len(read_some(tmp_path / "cut" / "log.jsonl"))
        wait_for_records(tmp_path / "cut" / "log.jsonl", child, more=0 if number == 0 else before)
        child.send_signal(name)
        _, errors = child.communicate(timeout=60)
        assert child.returncode == (-9 if name == signal.SIGKILL else 130), errors
        if name != signal.SIGKILL:
            assert "--resume" in errors.splitlines()[-1] and "Traceback" not in errors
        assert not (tmp_path / "cut" / "model.safetensors").exists()
    resumed = train_here(out=tmp_path / "cut", resume=True, pictures=False)
    given = [s for s in settings if "=" in s]
    whole = train_here("vae", out=tmp_path / "whole", set=given, pictures=False, steps=400, batch_size=64)
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")
    assert resumed.record["result"]["elbo"] == whole.record["result"]["elbo"]
    assert load(tmp_path / "cut").record["status"] == "done"


def read_some(path: Path) -> list[dict[str, Any]]:
    return read(path) if path.is_file() else []


def wait_for_records(path: Path, child: subprocess.Popen[str], more: int) -> None:
    """Wait until the run has logged, past what was there, but is not through."""
    import time

    for _ in range(3000):
        if len(read_some(path)) >= max(more, 6) + 4:
            return
        assert child.poll() is None, child.stderr.read() if child.stderr else ""
        time.sleep(0.02)
    raise AssertionError("the training logged nothing")
