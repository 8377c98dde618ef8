"""The report's verdict on models that were trained to fail, or not, on five kinds of data."""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Any

import pytest
import torch

import vaekit
from recipes import examples
from vaekit.runs.report import gather, render
from vaekit.runs.run import Run

MOMENTS = {
    "data.marginals": "moments",
    "data.gaps": "ignore",
    "model.prior": "standard-normal",
    "model.straight": False,
}
"""A table's columns by two moments each, which some hundred steps learn."""
KINDS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "image": ("vae", 120, {"model.latent": 6, "model.hidden": [64]}),
    "table": ("tabular-vae", 120, {"objective.k": 3, "model.hide": 0.0} | MOMENTS),
    "text": ("sequence-vae", 60, {}),
    "series": ("series-vae", 120, {}),
    "graph": ("graph-vae", 160, {}),
}
"""Recipe, steps and settings of each kind of data."""
BASELINES = {
    "image": "independent pixels",
    "table": "independent columns",
    "text": "independent tokens",
    "series": "independent steps",
    "graph": "one probability for every pair of nodes",
}
CRUSHED: dict[str, Any] = {"objective.beta": 50.0, "objective.free_bits": 0.0}
"""A KL so dear that no latent is worth it."""
FEW: dict[str, tuple[int, dict[str, Any]]] = {
    "image": (120, {"data.limit": 80, "train.lr": 1e-2, "model.hidden": [256]}),
    "table": (250, {"data.limit": 40, "train.lr": 2e-2, "model.hidden": [128], "model.latent": 6}),
    "text": (60, {"data.limit": 40, "train.lr": 1e-2, "model.width": 64}),
    "series": (120, {"data.limit": 30, "train.lr": 1e-2, "model.width": 32}),
    "graph": (300, {"data.limit": 10, "train.lr": 2e-2}),
}
"""Steps and settings with which a kind's few examples are learned by heart."""


def train(kind: str, steps: int | None = None, **more: Any) -> Run:
    recipe, usual, settings = KINDS[kind]
    made = {"train.batch_size": 64, "train.lr": 4e-3} | dict(examples.SETTINGS.get(recipe, {})) | settings | more
    return vaekit.train(recipe, examples.source(recipe), steps=steps or usual, set=made, pictures=False, device="cpu")


@cache
def healthy(kind: str) -> Run:
    return train(kind)


def page_of(run: Run) -> tuple[str, str, str, str]:
    """Return the verdict's tone and title as the page has them, its sentences, and the text of the warnings."""
    page = render(run)
    found = re.search(r'<div class="verdict (\w+)" role="note"><h2>(.*?)</h2>(.*?)</div>', page, re.DOTALL)
    assert found is not None
    tone, title, said = found.groups()
    warned = " ".join(re.findall(r'<div class="warning">(.*?)</div>', page, re.DOTALL))
    title, said, warned = (html.unescape(re.sub(r"<[^>]+>", " ", part)) for part in (title, said, warned))
    return tone, title, said, warned


def without_codes(run: Run) -> Run:
    """Return the run with an encoder whose every weight is 0, so that it tells nothing of x."""
    posterior: Any = run.model.posterior
    with torch.no_grad():
        for weight in posterior.parameters():
            weight.zero_()
    return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_healthy_model_works(kind: str) -> None:
    """Right after training, when nothing is evaluated: the difference is paired, so that few examples show it."""
    tone, title, said, warned = page_of(healthy(kind))
    assert (tone, title) == ("good", "It works: it beats the baseline without latents")
    assert f"without latents, {BASELINES[kind]} take" in said
    assert not re.search("collapsed|fell in the later|better than new data|does not beat", warned)


@pytest.mark.parametrize("kind", KINDS)
def test_a_collapsed_model_has_failed(kind: str) -> None:
    if kind == "table":  # its importance-weighted bound has no weight of the KL
        run = without_codes(train(kind, 20))
        run.evaluate(["elbo", "iw_bound", "no_latents", "active_units"], k=5)
    else:
        run = train(kind, **CRUSHED)
    tone, title, said, warned = page_of(run)
    assert tone == "failed" and title in ("The latents have collapsed", "This model has failed")
    assert re.search("latents are not used|latents have collapsed", said)
    assert kind == "graph" or re.search(r"\b0 of \d+ latent dimensions are used", said)
    assert "The posterior has collapsed" in warned and "objective.free_bits" in warned


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_worse_than_the_baseline_has_failed(kind: str) -> None:
    """One that was stopped before it had learned anything; the remedy is to train longer."""
    run = train(kind, 1, **{"train.lr": 1e-6})
    tone, title, said, warned = page_of(run)
    known = gather(run)
    assert known.verdict is not None and known.verdict.tone == tone == "failed"
    assert title == "This model has failed"
    assert f"{BASELINES[kind]}, without any latents, take" in said and re.search(r"[\d,.]+ fewer|as much", said)
    assert "worth no more than the frequencies" in said
    assert "does not beat the baseline" in warned or "collapsed" in warned


@pytest.mark.parametrize("kind", KINDS)
def test_an_over_fitted_model_is_said_to_be(kind: str) -> None:
    steps, settings = FEW[kind]
    tone, title, said, warned = page_of(train(kind, steps, **settings))
    assert (tone, title) == ("poor", "It works, but it over-fits") or tone == "failed"
    assert re.search("fits its training data better than new data|learned its training data by heart", said)
    assert re.search("fits its training data better than new data|fell in the later part", warned)
    assert "stop early" in warned


@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_is_of_the_numbers_that_are_evaluated(kind: str) -> None:
    """A decoder that was scaled after training is judged by its evaluation, not by what training noted."""
    run = train(kind, 30)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in run.model.named_parameters():
            if name.startswith(("likelihood", "decoder")):
                weight.mul_(4.0).add_(torch.randn_like(weight))
    run.evaluate(["elbo", "no_latents"])
    tone, title, said, _ = page_of(run)
    assert (tone, title) == ("failed", "This model has failed")
    assert re.search(r"[\d,.]+ fewer", said)
