"""The table of recipes: differences against numbers worked out by hand, and every recipe in it or named as left out."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from vaekit.recipes.base import RECIPES


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("bench_claims", Path(__file__).parents[2] / "bench" / "claims.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def made(bench: Any, claim: Any, ours: Any, theirs: Any, stderr: float | None = None) -> dict[str, Any]:
    """Return results of as many seeds as there are rows."""
    out: dict[str, Any] = {}
    for side, sets, seeds in ((claim.recipe, claim.sets, ours), (claim.against, claim.against_sets, theirs)):
        for seed, values in enumerate(seeds):
            name = bench.key(side, sets, "digits", seed, 7, claim.number)
            each = None if stderr is not None else [float(v) for v in values]
            out[name] = {"value": float(np.mean(values)), "stderr": stderr, "values": each}
    return out


def test_every_recipe_has_a_claim_is_a_baseline_or_is_of_other_data(bench: Any) -> None:
    named = {claim.recipe for claim in bench.CLAIMS} | {claim.against for claim in bench.CLAIMS} | set(bench.OTHER_DATA)
    assert named - bench.BASELINES.keys() == set(RECIPES.names)


def test_a_difference_is_paired_by_example_and_spreads_over_seeds(bench: Any) -> None:
    rng = np.random.default_rng(0)
    hard, claim = 9 * rng.normal(size=200), bench.Claim("iwae", "vae", "iw_bound", "")
    ours, theirs = (hard + shift + 0.1 * rng.normal(size=(3, 200)) for shift in (0.2, 0.0))
    row = bench.row(claim, "digits", 7, made(bench, claim, ours, theirs))
    paired = (ours - theirs).mean(0)
    assert row.stderr == pytest.approx(stats.sem(paired)) and row.stderr < 0.01
    assert row.difference == pytest.approx(paired.mean())
    assert row.spread == pytest.approx((ours - theirs).mean(1).std(ddof=1))
    assert (row.seeds, row.verdict) == (3, "better")
    back = bench.row(claim, "digits", 7, made(bench, claim, theirs, ours))
    assert back.verdict == "worse" and back.difference == pytest.approx(-row.difference)


def test_numbers_of_different_things_have_no_row(bench: Any) -> None:
    claim = bench.Claim("pixel-vae", "vae", "iw_bound", "")
    zeros = np.zeros((2, 50))
    results = made(bench, claim, zeros, zeros)
    for name, one in results.items():
        one["of"] = {"values": "levels as greys" if name.startswith("pixel-vae") else "binary", "k": "100"}
    said = bench.row(claim, "digits", 7, results)
    assert said == "numbers of different things (values levels as greys / binary)"
    for one in results.values():
        one["of"] = {"values": "binary", "k": "100"}
    assert bench.row(claim, "digits", 7, results).seeds == 2


def test_seeds_that_disagree_show_no_difference_and_less_is_better_of_distances(bench: Any) -> None:
    claim = bench.Claim("iwae", "vae", "iw_bound", "")
    zeros = np.zeros((3, 50)) + 1e-3 * np.random.default_rng(0).normal(size=50)
    seeds = np.array([[1.0], [-0.5], [0.4]])
    assert bench.row(claim, "digits", 7, made(bench, claim, zeros + seeds, zeros)).verdict == "no difference"
    kid = bench.Claim("vae-gan", "vae", "kid", "")
    less = made(bench, kid, zeros + 1, zeros + 2, stderr=0.1)
    row = bench.row(kid, "digits", 7, less)
    assert row.verdict == "better" and row.stderr == pytest.approx(2**0.5 / 10)


def test_what_was_refused_or_not_run_is_said_under_the_table(bench: Any) -> None:
    assert bench.table({}) == ["Not measured yet."]
    claim = bench.CLAIMS[0]
    name = bench.key(claim.recipe, (), "digits", 0, bench.STEPS["digits"], claim.number)
    said = "\n".join(bench.table({name: {"refused": "no bound"}}))
    assert "no bound: `vae` on digits" in said and "not run: `vae` on breast-cancer" in said
