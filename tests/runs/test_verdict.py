"""The report's first words, on runs with planted failures: collapsed, worse than the baseline, over-fitted, healthy."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch

import vaekit
from recipes import examples
from vaekit.recipes.base import RECIPES
from vaekit.report import Verdict
from vaekit.runs.report import gather
from vaekit.runs.run import Run

QUICK = {"data.marginals": "moments", "data.gaps": "ignore", "model.prior": "standard-normal", "model.straight": False}
"""A table's columns by two moments each, which some hundred steps learn."""
KINDS: dict[str, tuple[str, int, dict[str, Any], str]] = {
    "image": ("vae", 120, {"model.latent": 6, "model.hidden": [64]}, "fresh binarisation"),
    "table": ("tabular-vae", 120, {"objective.k": 3, "model.hide": 0.0} | QUICK, "use more rows"),
    "text": ("sequence-vae", 60, {}, "hide words from the decoder"),
    "series": ("series-vae", 120, {}, "use more series"),
    "graph": ("graph-vae", 160, {}, "use more graphs"),
}
"""Recipe, steps and settings of each kind of data, and what is advised against over-fitting to it."""


@cache
def trained(kind: str) -> Run:
    recipe, steps, more, _ = KINDS[kind]
    made = {"train.batch_size": 64, "train.lr": 4e-3} | dict(examples.SETTINGS.get(recipe, {})) | more
    source = examples.source(recipe)
    return vaekit.train(recipe, source, steps=steps, set=made, pictures=False)


def copied(kind: str) -> Run:
    """Return a run of its own, in memory, with nothing evaluated."""
    run = copy.deepcopy(trained(kind))
    run.kept, run.example_values = {}, {}
    return run


def said(run: Run) -> tuple[Verdict, list[str], list[str]]:
    """Return the verdict, the warnings' titles and all remedies of a run that lies in memory."""
    made = gather(run)
    assert made.verdict is not None
    return made.verdict, [w.title for w in made.warnings], [tip for w in made.warnings for tip in w.remedies]


@pytest.mark.parametrize("kind", KINDS)
def test_a_healthy_model_is_said_to_beat_the_baseline(kind: str) -> None:
    run = copied(kind)
    verdict, _, _ = said(run)
    result = run.record["result"]
    assert verdict.tone in ("good", "poor") and "without latents" in verdict.sentences[0]
    assert f"{abs(result['no_latents']):.1f}" in verdict.sentences[0], "the held-out baseline, before any evaluation"
    found = run.evaluate(["iw_bound", "no_latents"], k=20)
    again = said(run)[0]
    assert again.tone == "good"
    assert f"{abs(found['iw_bound'].value or 0):.1f}" in again.sentences[0], "then the numbers of the evaluation"
    assert f"{abs(found['no_latents'].value or 0):.1f}" in again.sentences[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_worse_than_the_baseline_is_said_to_have_failed(kind: str) -> None:
    run = copied(kind)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in run.model.named_parameters():
            if name.startswith(("likelihood", "decoder")):
                weight.add_(torch.randn_like(weight) * 0.7)
    found = run.evaluate(["elbo", "no_latents"])
    assert (found["elbo"].value or 0) < (found["no_latents"].value or 0), "the plant"
    verdict, _, _ = said(run)
    assert (verdict.tone, verdict.title) == ("failed", "This model has failed")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "graph"])
def test_a_collapsed_model_is_said_to_use_no_latents(kind: str) -> None:
    run = copied(kind)
    for record in run.records:
        for name in [key.removeprefix("kl_elements.") for key in record if key.startswith("kl_elements.")]:
            record[f"kl_elements.{name}"] = [0.001 for _ in record[f"kl_elements.{name}"]]
            record[f"active.{name}"] = 0
    verdict, titles, _ = said(run)
    assert verdict.tone == "failed" and verdict.title == "The latents have collapsed"
    assert "The posterior has collapsed" in titles


@pytest.mark.parametrize("kind", KINDS)
def test_an_over_fitted_model_is_said_to_be_with_remedies_for_its_kind_of_data(kind: str) -> None:
    run = copied(kind)
    at = run.records[-1]["step"]
    stage = run.records[-1].get("stage")
    bound = -run.record["result"]["held_out_loss"]
    run.records += [
        {"step": at + i, "epoch": 99.0, "stage": stage, "valid.loss": -bound + 3 * i, "valid.elbo": bound - 3 * i}
        for i in range(6)
    ]
    run.evaluate(["iw_bound", "no_latents"], k=20)
    verdict, titles, remedies = said(run)
    assert verdict.tone == "poor" and "over-fits" in verdict.title
    assert any("fell in the later part" in title for title in titles)
    assert any(KINDS[kind][3] in tip for tip in remedies)
    others = [tip for name, (*_, tip) in KINDS.items() if name != kind]
    assert not [tip for tip in remedies if any(other in tip for other in others)]


def test_a_bound_that_is_not_trained_may_fall() -> None:
    run = copied("table")
    at, stage, loss = run.records[-1]["step"], run.records[-1].get("stage"), run.record["result"]["held_out_loss"]
    run.records += [
        {"step": at + i, "epoch": 99.0, "stage": stage, "valid.loss": loss - 0.2 * i, "valid.elbo": -loss - 3 * i}
        for i in range(6)
    ]
    verdict, titles, _ = said(run)
    assert verdict.tone == "good" and not titles, "the importance-weighted bound that is trained still rises"


def test_a_reconstruction_is_judged_where_nothing_is_bounded() -> None:
    run = vaekit.train("ae", "digits", steps=100, set={"model.latent": 6, "model.hidden": [64]}, pictures=False)
    found = run.evaluate(["mse", "no_latents"])
    assert found["no_latents"].value is None, "there is no bound to compare it with"
    verdict, _, _ = said(run)
    assert verdict.tone == "good" and "bounds no log p(x)" in " ".join(verdict.sentences)
    assert (found["mse"].value or 0) < (found["no_latents_mse"].value or 0)


@pytest.mark.parametrize("name", RECIPES.names)
def test_every_recipe_declares_its_headline(name: str) -> None:
    from vaekit.metrics.base import meanings

    first = RECIPES[name].part.headline
    assert first and set(first) <= set(meanings())


def test_the_headline_is_the_recipes_own() -> None:
    """A table's is the bound it maximises and imputation against the columns' means; iwae's its weighted bound."""
    table = copied("table")
    assert [n.name for n in gather(table).headline][:2] == ["iw_bound (held out)", "elbo (held out)"]
    table.evaluate(["likelihood", "imputation"], k=10)
    names = [n.name for n in gather(table).headline]
    assert names[0] == "iw_bound" and {"impute_rmse", "impute_rmse_mean"} <= set(names)
    assert RECIPES["iwae"].part.headline[0] == "iw_bound" and RECIPES["graph-vae"].part.headline[0] == "auc"


def test_a_bound_given_the_label_is_said_to_be() -> None:
    run = vaekit.train("cvae", "digits", steps=60, set={"model.latent": 4, "model.hidden": [32]}, pictures=False)
    (elbo, *_) = gather(run).headline
    assert "log p(x|y), its label given" in elbo.meaning
    assert "its label given" in said(run)[0].sentences[0]
    run.evaluate(["elbo", "no_latents"])
    assert "log p(x|y)" in next(n.note for n in gather(run).headline if n.name == "elbo")
    assert "given the label" in run.evaluation()["no_latents"]["definition"]
