"""Evaluating several runs at once, and the metric that compares them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vaekit.errors import UserError
from vaekit.runs.loading import load
from vaekit.runs.train import train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("udr")
    for seed in (0, 1, 2):
        how: dict[str, Any] = {"steps": 150, "seed": seed, "set": {"model.latent": 3}, "pictures": False}
        train("vae", "digits", out=folder / str(seed), **how)
    return [folder / str(seed) for seed in (0, 1, 2)]


def test_runs_are_compared_from_python_and_the_command_line(runs: list[Path], vaekit: Any) -> None:
    done = vaekit("evaluate", *runs, "--metrics", "udr", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out.splitlines()[-1])
    assert list(found) == [str(run) for run in runs]
    first, *rest = [load(run) for run in runs]
    result = first.evaluate(["udr"], others=rest)["udr"]
    entry = found[str(runs[0])]["udr"]
    assert entry["value"] == pytest.approx(result.value) and 0 < entry["value"] < 1
    assert entry["runs"] == 3 and entry["stderr"] > 0 and entry["of"] == 3
    alone = vaekit("evaluate", runs[0], "--metrics", "udr")
    assert alone.code == 2 and "evaluate A B C" in alone.err
    twice = vaekit("evaluate", runs[0], runs[0], "--metrics", "udr")
    assert twice.code == 2 and "named twice" in twice.err


def test_runs_of_other_examples_are_not_compared(runs: list[Path]) -> None:
    other = train("vae", "digits", steps=2, set={"data.seed": 5, "model.latent": 3}, pictures=False)
    with pytest.raises(UserError, match=r"same data\.seed"):
        load(runs[0]).evaluate(["udr"], others=[other])
