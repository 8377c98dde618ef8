"""Intervals and standard errors cover as they say: over repeated draws of the data, 95% intervals hold the truth.

The cases are those of bench/coverage.py, which also writes them down.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metrics.test_contract import NO_ERROR
from vaekit.metrics import distances, samples
from vaekit.metrics.base import METRICS
from vaekit.metrics.uncertainty import error_of_halves, halves

SCRIPT = Path(__file__).parents[2] / "bench" / "coverage.py"


def script() -> Any:
    """Import bench's script under a name that is no package's."""
    spec = importlib.util.spec_from_file_location("bench_coverage", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


BENCH = script()
CASES = BENCH.cases()


LONG = pytest.mark.skipif("VAEKIT_THOROUGH" not in os.environ, reason="a minute; set VAEKIT_THOROUGH=1")


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id, marks=[LONG] if case.long else []) for case in CASES])
def test_intervals_cover(case: Any) -> None:
    for name, share in BENCH.coverage(case).items():
        assert case.least <= share <= case.most, (name, share)


def test_every_number_with_an_interval_or_an_error_has_a_case() -> None:
    known = {name for case in CASES for name in case.numbers}
    given = {name for entry in METRICS for name in entry.facts["gives"]}
    assert not given - NO_ERROR - known, "add them to a case of bench/coverage.py"
    assert not known - given - {"auroc", "aupr"}, "these are no numbers of an evaluation"


def test_coverage_is_low_of_intervals_that_are_too_narrow() -> None:
    """The measure itself: a fifth of the standard error holds the mean three times in ten, not nineteen in twenty."""
    (case,) = [one for one in CASES if one.numbers[0] == "elbo"]

    def narrow(seed: int) -> dict[str, Any]:
        return {name: replace(one, stderr=one.stderr / 5) for name, one in case.draw(seed).items()}

    assert BENCH.coverage(replace(case, draw=narrow, draws=200))["elbo"] < 0.5


def test_the_written_table_is_of_these_cases() -> None:
    rows = json.loads((SCRIPT.parent / "results" / "coverage.json").read_text(encoding="utf-8"))["rows"]
    assert rows and {row["situation"] for row in rows} <= {case.situation for case in CASES}
    for row in rows:
        assert row["least"] <= row["covered"] <= row["most"] and row["draws"] >= 200, row


@pytest.mark.parametrize("positives", [2, 3])
def test_few_positives_among_noise_are_not_told_from_chance(positives: int) -> None:
    """A bootstrap cannot see beyond two positives: its intervals excluded 0.5 in 63 of 200 draws."""
    (case,) = [one for one in CASES if one.id == f"auroc: {positives} positives, 100 negatives, area 0.5"]
    ends = [BENCH.ends(case.draw(seed)["auroc"]) for seed in range(200)]
    assert sum(not low <= 0.5 <= high for low, high in ends) <= 16


@pytest.mark.slow
def test_the_extrapolated_frechet_distance_has_less_bias() -> None:
    draw, every = BENCH.of_features(samples.fid), [BENCH.compared(seed) for seed in range(200)]
    truth = distances.fid(torch.cat([one.real for one in every]), torch.cat([one.fake for one in every]))
    found = [draw(seed) for seed in range(len(every))]
    plain, extrapolated = (np.mean([one[name].value for one in found]) - truth for name in ("fid", "fid_extrapolated"))
    assert plain > 0.05 and abs(extrapolated) < 0.25 * plain


def test_halves_give_the_error_of_a_mean_and_of_a_median() -> None:
    for statistic, factor in ((np.mean, 1.0), (np.median, np.sqrt(np.pi / 2))):
        errors = []
        for seed in range(20):
            x = np.random.default_rng(seed).normal(size=300)
            errors.append(error_of_halves(halves(lambda rows, x=x, f=statistic: f(x[rows]), 300, times=20, seed=seed)))
        assert np.mean(errors) == pytest.approx(factor / np.sqrt(300), rel=0.12)
