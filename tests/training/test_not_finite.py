"""Results that are not finite: null in every file of the run, each with its reason, and a run that can go on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import vaekit
from training.toys import ToySource, toy_vae
from vaekit.objectives.elbo import negative_elbo
from vaekit.runs.run import Run
from vaekit.training.validation import HeldOut, held_out

BROKEN = {"model.likelihood": "gaussian", "model.scale": 1e-25}


def strict(text: str) -> Any:
    """Read JSON as others do: NaN and Infinity are no JSON."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose held-out ELBO is -inf: squares over σ² = 1e-50 overflow."""
    out = tmp_path_factory.mktemp("broken") / "run"
    return vaekit.train("vae", "digits", out=out, steps=3, set=BROKEN, pictures=False)


def test_the_run_ends_and_says_why_it_has_no_elbo(broken: Run) -> None:
    assert broken.path is not None
    record = strict((broken.path / "run.json").read_text())
    assert record["status"] == "done" and record["result"] == broken.record["result"]
    assert record["result"]["elbo"] is None
    assert record["result"]["refused"] == "the held-out ELBO is -inf: log_px is -inf"
    assert record["result"]["held_out_loss"] is None and record["result"]["not_finite"] == {"held_out_loss": "inf"}


def test_every_line_of_its_log_is_json_with_the_reason(broken: Run) -> None:
    assert broken.path is not None
    lines = [strict(line) for line in (broken.path / "log.jsonl").read_text().splitlines()]
    training, valid = lines[0], lines[-1]
    assert training["elbo"] is None and training["not_finite"]["elbo"] == "-inf"
    assert valid["valid.elbo"] is None and valid["valid.refused"] == "the held-out ELBO is -inf: log_px is -inf"
    assert valid["not_finite"] == {"valid.loss": "inf", "valid.log_px": "-inf"}


def test_it_is_evaluated_resumed_and_loaded(broken: Run) -> None:
    assert broken.path is not None
    held = broken.evaluate(["likelihood"], k=2, limit=8)
    assert held["elbo"].value is None and held["elbo"].facts["not_finite"] == {"value": "-inf"}
    entries = strict((broken.path / "evaluation.json").read_text())
    for name in ("elbo", "log_px", "iw_bound"):
        assert entries[name]["value"] is None
        assert entries[name]["refused"] == "8 of 8 examples have a value that is not finite"
    again = vaekit.train(out=broken.path, resume=True, pictures=False)
    assert again.record["result"]["refused"] == broken.record["result"]["refused"]
    assert vaekit.load(broken.path).encode(broken.test.x[:2]).shape == (2, 20)


def test_no_held_out_examples_is_a_reason(tmp_path: Path) -> None:
    run = vaekit.train("vae", "digits", out=tmp_path / "run", steps=2, set={"data.valid": 0}, pictures=False)
    result = strict((tmp_path / "run" / "run.json").read_text())["result"]
    assert result == run.record["result"] and "not_finite" not in result
    assert result["elbo"] is None and result["held_out_loss"] is None and result["held_out_n"] == 0
    assert result["refused"] == "there are no held-out examples"


# -- which weights are kept -------------------------------------------------------------------------------------------


def test_what_is_not_finite_is_never_the_best() -> None:
    assert HeldOut(-3.0, 0.1, None, 9.0, 5, bounded=True).score == -3
    assert HeldOut(None, None, "a point mass", 9.0, 5).score == -9
    assert HeldOut(None, None, "the ELBO is -inf", 1.0, 5, bounded=True).score == -math.inf
    for loss in (math.nan, math.inf, -math.inf, None):
        assert HeldOut(None, None, "a point mass", loss, 5).score == -math.inf


def test_the_reason_names_the_terms() -> None:
    model = toy_vae().eval()
    with torch.no_grad():
        for p in model.posterior.parameters():
            p.fill_(math.nan)
    found = held_out(model.trace, negative_elbo(), ToySource().valid(4), seed=0)
    assert found.elbo is None and found.stderr is None and found.bounded
    assert found.refused == "the held-out ELBO is nan: log_px is nan, kl is nan"
    assert found.score == -math.inf
