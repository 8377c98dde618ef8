"""The attack sees faults: a few tries of each area end well, and what is broken on purpose is counted as bad."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from attack.__main__ import attack
from attack.areas import AREAS, always
from attack.tries import Try
from vaekit.errors import UserError
from vaekit.runs.run import Run


def bad_of(name: str, tries: int = 4) -> tuple[int, int]:
    """Make some tries of an area; return how many there were, and how many were bad."""
    tally = attack({name: replace(AREAS[name], most=tries)}, 5.0, 0, {})[name]
    return tally.tries, tally.bad


@pytest.mark.parametrize("name", [name for name in AREAS if name.startswith("readers.")])
def test_an_area_of_readers_makes_its_tries(name: str) -> None:
    assert bad_of(name) == (4, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in AREAS if not name.startswith(("readers.", "io."))])
def test_an_area_makes_its_tries(name: str) -> None:
    assert bad_of(name) == (4, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in AREAS if name.startswith("io.")])
def test_an_area_of_instants_makes_its_tries(name: str) -> None:
    """In a process of its own: it forks, which autograd refuses once a registered device has started its threads."""
    command = [sys.executable, "-m", "attack", "--area", name, "--tries", "4"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0 and ended.stdout.endswith("4 tries, 0 bad\n"), ended.stdout + ended.stderr


def test_a_fault_of_a_reader_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ValueError("planted")

    monkeypatch.setattr("attack.readers.read", fails)
    assert bad_of("readers.npy") == (4, 4)


def test_a_refusal_that_says_nothing_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise UserError(" ")

    monkeypatch.setattr("attack.readers.read", refuses)
    assert bad_of("readers.csv") == (4, 4)


def test_an_archive_that_comes_back_wrong_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "decompress", lambda *_, **__: np.zeros((6, 64), np.int64))
    assert bad_of("archives.bits") == (4, 4)
    assert bad_of("archives") == (4, 4)


def test_a_number_that_is_not_finite_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(*_: object, **__: object) -> dict[str, object]:
        return {"elbo": type("Found", (), {"value": float("nan")})()}

    monkeypatch.setattr(Run, "evaluate", evaluate)
    tries, bad = bad_of("numbers", 12)
    assert tries == 12 and bad > 0


def test_a_fault_of_the_attack_costs_one_try() -> None:
    def breaks(seed: int, _: Path) -> Try:
        return Try("works") if seed else Try(**{})  # type: ignore[call-arg]

    area = replace(AREAS["numbers"], ready=always(breaks), most=3)
    tally = attack({"broken": area}, 1.0, 0, {})["broken"]
    assert (tally.works, tally.bad) == (2, 1) and tally.failures[0][0] == 0 and "TypeError" in tally.failures[0][1]
