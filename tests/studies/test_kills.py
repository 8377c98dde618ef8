"""A study survives kill -9: no trial twice, none lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgres import server

TINY = """
settings: {train.steps: 30, train.checkpoint_seconds: 0, model.hidden: [16], model.latent: 2}
metrics: [elbo]
k: 2
limit: 20
"""


def write(folder: Path, trials: int) -> Path:
    betas = ", ".join(f"{0.1 * i:.1f}" for i in range(1, trials // 3 + 1))
    path = folder / "tiny.yaml"
    path.write_text(f"{TINY}grid: {{objective.beta: [{betas}]}}\nseeds: 3\n", encoding="utf-8")
    return path


def start(study: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "vaekit", "study", str(study), "--data", "digits", "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def kept(out: Path) -> dict[str, tuple[int, int]]:
    """When each recorded trial's outcome and weights were written."""
    found = {}
    for path in (out / "state" / "outcomes").glob("[!.]*.json"):
        weights = out / "trials" / path.stem.removesuffix(".json") / "model.safetensors"
        found[path.stem] = (path.stat().st_mtime_ns, weights.stat().st_mtime_ns)
    return found


MANY = pytest.mark.skipif("VAEKIT_THOROUGH" not in os.environ, reason="minutes; set VAEKIT_THOROUGH=1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trials", "kills", "jobs"), [(12, 5, 1), pytest.param(60, 20, 1, marks=MANY)], ids=["some", "many"]
)
def test_a_killed_study_goes_on(tmp_path: Path, trials: int, kills: int, jobs: int) -> None:
    study, out, source = write(tmp_path, trials), tmp_path / "out", random.Random(7)
    before: dict[str, tuple[int, int]] = {}
    for kill in range(kills):
        resume = ["--resume"] if (out / "study.json").exists() else []
        process = start(study, out, "--jobs", str(jobs), *resume)
        until, known = time.monotonic() + 60, len(kept(out))
        # From here on it trains, evaluates or writes: some time after its next outcome.
        while time.monotonic() < until and process.poll() is None and len(kept(out)) == known:
            time.sleep(0.02)
        time.sleep(source.uniform(0, 0.7))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        now = kept(out)
        assert {name: now.get(name) for name in before} == before, f"kill {kill}: a finished trial was run again"
        before = now
    assert 0 < len(before) < trials, "the kills missed the work"
    process = start(study, out, "--jobs", str(jobs), "--resume", "--json")
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()
    told = json.loads(output.splitlines()[-1])
    assert told["trials"] == {"done": trials, "failed": 0, "pruned": 0}
    after = kept(out)
    assert len(after) == trials and {name: after[name] for name in before} == before
    record = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert sorted(record["trials"]) == sorted(after)
    assert {one["facts"]["steps"] for one in record["trials"].values()} == {30}
    assert sorted(path.name for path in (out / "trials").iterdir()) == sorted(after)


@pytest.fixture
def database() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.mark.slow
def test_two_machines_share_a_database(tmp_path: Path, database: str) -> None:
    """Two folders, as on two machines, one of them killed: every trial once, and the same page in both."""
    study = write(tmp_path, 12)
    outs = [tmp_path / "one", tmp_path / "two"]
    first, second = (start(study, out, "--storage", database, "--json") for out in outs)
    until = time.monotonic() + 120
    while time.monotonic() < until and not any((outs[0] / "trials").glob("*/evaluation.json")):
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    output, errors = second.communicate(timeout=300)
    assert second.returncode == 0, errors.decode()
    again = start(study, outs[0], "--storage", database, "--resume", "--json")
    more, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors.decode()
    told, too = (json.loads(text.splitlines()[-1]) for text in (output, more))
    assert told["trials"] == too["trials"] == {"done": 12, "failed": 0, "pruned": 0}
    assert told["points"] == too["points"] and told["findings"] == too["findings"]
    done = [{path.parent.name for path in (out / "trials").glob("*/evaluation.json")} for out in outs]
    assert done[0] and done[1] and len(done[0] | done[1]) == 12
    assert len(done[0] & done[1]) <= 1  # the one that the kill cut short may have been evaluated
