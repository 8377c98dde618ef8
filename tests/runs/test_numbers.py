"""Odd numbers: a training ends well, with null and the reason for what has no number, or is refused at the start."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vaekit
from vaekit.errors import UserError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = np.arange(40) % 2
WHOLE = RNG.integers(0, 100, (40, 3))
TEXTS = ["a cat", "the dog", "a bird", "one fish", "two fish"]

Case = tuple[str, Any, dict[str, Any]]
"""Recipe, data, settings."""

TYPES = ("bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">f4", ">i2", "longdouble")
CASES: dict[str, Case] = {
    **{f"{n} rows": ("vae", X[:n], {}) for n in (1, 2, 3, 9, 10)},
    "one column": ("vae", X[:, :1], {}),
    "one number": ("vae", X[:1, :1], {}),
    "constant": ("vae", np.full((40, 3), 3.0), {}),
    "zeros": ("vae", np.zeros((40, 3)), {}),
    "a constant column": ("vae", np.c_[X, np.full(40, 7.0)], {}),
    **{f"x 1e{e}": ("vae", X * 10.0**e, {}) for e in (-300, -30, 30, 37)},
    **{f"scale 1e{e}": ("vae", X, {"model.likelihood": "gaussian", "model.scale": 10.0**e}) for e in (-30, 30)},
    **{f"type {kind}": ("vae", WHOLE.astype(kind), {}) for kind in TYPES},
    "none held out": ("vae", X, {"data.valid": 0, "data.test": 0}),
    "a batch of one": ("vae", X, {"train.batch_size": 1}),
    "beta 1e30": ("beta-vae", X, {"objective.beta": 1e30}),
    **{
        f"{recipe}, none held out": (recipe, (X, Y) if recipe == "cvae" else X, {"data.valid": 0})
        for recipe in ("ae", "iwae", "cvae", "hierarchical-vae", "vamp-vae", "wae-mmd", "vq-vae")
    },
    "labels, three rows": ("cvae", (X[:3], Y[:3]), {}),
    "counts, none held out": ("vae", WHOLE, {"data.valid": 0, "model.likelihood": "negative-binomial"}),
    "texts, none held out": ("sequence-vae", TEXTS, {}),
    "series, none held out": ("series-vae", RNG.normal(size=(6, 1, 16)), {}),
}
REFUSED: dict[str, tuple[Case, str]] = {
    "x 1e300": (("vae", X * 1e300, {}), "too large for 32 bits"),
    "an infinite value": (("vae", np.where(X[7, 1] == X, np.inf, X), {}), r"row 7, column 1 is inf"),
    "NaN": (("vae", np.where(X[7, 1] == X, np.nan, X), {}), r"row 7, column 1 is nan"),
    "netCDF's fill value": (("vae", np.where(X[7, 1] == X, 9.969209968386869e36, X), {}), "netCDF"),
    "integers beyond float32": (("vae", WHOLE.astype(np.int64) + 2**40, {}), "32-bit floats cannot hold"),
    "complex": (("vae", X.astype(complex), {}), "complex"),
    "no rows": (("vae", X[:0], {}), "empty"),
    "no columns": (("vae", X[:, :0], {}), "empty"),
}


def strict(text: str) -> Any:
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def train(case: Case, out: Path | None, **options: Any) -> vaekit.Run:
    recipe, data, settings = case
    small = {} if recipe in ("vq-vae", "sequence-vae", "series-vae") else {"model.hidden": "8", "model.latent": 2}
    options = {"steps": 2, "set": small | settings, "pictures": False} | options
    return vaekit.train(recipe, data, out=out, **options)


def check(result: dict[str, Any]) -> None:
    """An ELBO that is finite, or None with its reason; no other number that is not finite."""
    assert (result["elbo"] is None) == bool(result.get("refused"))
    for name, value in result.items():
        assert not isinstance(value, float) or math.isfinite(value), name


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_it_ends_well_and_goes_on(name: str, tmp_path: Path) -> None:
    run = train(CASES[name], tmp_path / "run")
    record = strict((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "done"
    check(record["result"])
    assert all(isinstance(strict(line), dict) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    again = vaekit.train(None, CASES[name][1], out=tmp_path / "run", resume=True, steps=3, pictures=False)
    check(again.record["result"])
    assert again.record["result"]["steps"] == 3
    if len(run.data.test):
        entry = again.evaluate(["elbo"], limit=4)["elbo"] if run.recipe not in ("ae", "wae-mmd") else None
        assert entry is None or "refused" in entry.facts or math.isfinite(entry.value or 0.0)
        strict((tmp_path / "run" / "evaluation.json").read_text()) if entry else None


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["none held out", "3 rows", "scale 1e-30", "constant"])
def test_in_memory_and_with_figures_and_report_too(name: str, tmp_path: Path) -> None:
    check(train(CASES[name], None).record["result"])
    train(CASES[name], tmp_path / "run", pictures=True)
    assert (tmp_path / "run" / "report.html").exists() and len(list((tmp_path / "run" / "figures").iterdir())) > 3


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_before_it_starts(name: str, tmp_path: Path) -> None:
    case, why = REFUSED[name]
    with pytest.raises(UserError, match=why):
        train(case, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
