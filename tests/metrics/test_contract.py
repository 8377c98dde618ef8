"""What every registered metric must do, on a small run that has what it needs; the registry gives the cases.

A new metric is checked as soon as it registers. It needs nothing here where one of `SUBJECTS` meets its needs and every
number it gives has a value there with a standard error or an interval; else it is named in one of the tables below.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import vaekit
from recipes import examples
from vaekit.inference import inference
from vaekit.metrics import features
from vaekit.metrics.base import METRICS, Result, Subject, lacking

N, MORE = 60, {"sprites": 300, "sets": 90}
SUBJECTS: dict[str, tuple[str, Any, Mapping[str, Any]]] = {
    "digits": ("vae", "digits", {"data.limit": 400, "data.test": 100, "data.dequantise": True}),
    "sprites": (
        "vae",
        "sprites",
        {"data.limit": 500, "data.valid": 20, "data.test": 300, "model.latent": 3, "model.net": "mlp"},
    ),
    "labelled": ("semi-supervised-vae", "digits", {"model.stack": False, "data.limit": 400}),
    **{
        name: (name, None, examples.SETTINGS.get(name, {}))
        for name in (
            *("vq-vae", "sequence-vae", "tabular-vae", "graph-vae", "molecule-vae", "music-vae", "series-vae"),
            "multimodal-vae",
        )
    },
    "linear": ("linear-vae", "digits", {"data.limit": 400}),
    "scenes": ("causal-vae", "shadows", {"data.limit": 300, "model.net": "mlp", "model.hidden": [32]}),
    "sets": ("set-vae", "digits", {"data.unseen": "7,8,9", "model.hidden": [32]}),
}
"""Recipe, data and settings of the runs, in the order in which a metric looks for one that meets its needs."""

FIRST: dict[str, str] = {"exact_log_px": "linear", "few_shot": "sets"}
"""Metrics with a value on no earlier subject."""

OPTIONS: dict[str, Any] = {
    "ais_steps": 20, "ais_chains": 2, "ais_leapfrog": 2, "ais_limit": 4, "ais_simulated": 4, "gaps_limit": 3,
    "gaps_steps": 5, "path_pairs": 40, "samples": 40, "decomposition_samples": 200, "dci_trees": 2,
    "sbc_simulated": 60, "sbc_draws": 19,
    "snr_draws": 6, "code_pairs": 20, "sumo_repeats": 2, "few_shot_draws": 2,
}  # fmt: skip
"""Settings that make slow metrics quick."""

NO_VALUE: dict[str, str] = {
    "auc": "no links were held out",
    "ap": "no links were held out",
    "ms_ssim": "images of 8 × 8 are too small",
}
"""Numbers that are refused on the subject of their metric: the start of the reason."""

NO_ERROR = {
    "active_units",
    "active_node_units",
    "codebook_perplexity",
    "codebook_used",
    "dead_units",
    "degree_distance",
    "clustering_distance",
    "irs_max",
    "sbc_p_value",
    "graph_distance",
    "column_shapes",
    "column_pairs",
    *(f"few_shot_{what}{end}" for what in ("accuracy", "log_px") for end in ("", "_1", "_10")),
}
"""Numbers that are no mean of a sample: counts, p-values, maxima, and statistics of the set as a whole."""


@cache
def subject_of(name: str) -> Subject:
    """Return the test examples of a run, trained for a few steps."""
    recipe, source, settings = SUBJECTS[name]
    made = {"train.batch_size": 64, "train.lr": 4e-3} | {k: v for k, v in settings.items() if k != "train.steps"}
    run = vaekit.train(recipe, source or examples.source(recipe), steps=20, set=made, pictures=False)
    subject = run.subject(limit=MORE.get(name, N), k=7, options=OPTIONS | {"features": torch.nn.Flatten()})
    return replace(subject, others=[replace(subject)])


@pytest.fixture(autouse=True)
def quick(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train feature extractors for a few steps, into a cache of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setattr(features, "STEPS", (5, 5))


def subject_for(metric: str) -> Subject:
    """Return a fresh subject that meets the metric's needs."""
    needs = METRICS[metric].facts["needs"]
    for name in [FIRST[metric]] if metric in FIRST else SUBJECTS:
        found = subject_of(name)
        if lacking(found, needs) is None:
            return replace(found, shared={})
    raise AssertionError(f"no subject meets the needs of '{metric}', {needs}: add one to SUBJECTS")


def compute(subject: Subject, metric: str) -> Mapping[str, Result]:
    """Return what one metric gives: `evaluate` of its name, which may also be a group's."""
    with inference(subject.model, subject.seed):
        return METRICS[metric].part(subject)


TOLD: dict[str, list[tuple[str, int, int]]] = {}
"""The progress that each metric reported when it was computed."""


@cache
def plain(metric: str) -> Mapping[str, Result]:
    told = TOLD.setdefault(metric, [])
    return compute(replace(subject_for(metric), progress=lambda *one: told.append(one)), metric)


@pytest.mark.parametrize("metric", METRICS.names)
def test_progress_rises_to_the_whole(metric: str) -> None:
    plain(metric)
    for name in {name for name, _, _ in TOLD[metric]}:
        steps = [(done, total) for one, done, total in TOLD[metric] if one == name]
        assert all(0 < done <= total for done, total in steps), (name, steps)
        assert steps[-1][0] == steps[-1][1], (name, steps)


def numbers(results: Mapping[str, Result]) -> dict[str, Any]:
    return {name: (result.value, result.stderr, result.interval, result.n) for name, result in results.items()}


@pytest.mark.parametrize("metric", METRICS.names)
def test_it_gives_the_numbers_it_declares(metric: str) -> None:
    results = plain(metric)
    # one of several latents or columns has the number's name with its own after a dot
    assert {name.partition(".")[0] for name in results} == set(METRICS[metric].facts["gives"])
    for name, result in results.items():
        assert result.unit, name
        entry = result.to_dict()
        assert json.loads(json.dumps(entry, allow_nan=False)) == entry, "the entry is plain JSON"
        if name in NO_VALUE:
            assert result.value is None and str(result.facts["refused"]).startswith(NO_VALUE[name])
            continue
        assert result.value is not None and math.isfinite(result.value), entry
        assert result.n >= 1 and "not_finite" not in entry and "refused" not in entry
        if name in NO_ERROR or result.n == 1:
            assert result.stderr is None and result.interval is None, f"{name} has an error: take it from NO_ERROR"
        elif result.interval is not None:
            assert result.interval[0] <= result.value <= result.interval[1], entry
        else:
            assert result.stderr is not None and result.stderr >= 0, f"{name} has no standard error and no interval"


@pytest.mark.parametrize("metric", METRICS.names)
def test_it_is_determined_by_the_seed_and_leaves_the_model_and_the_generator_alone(metric: str) -> None:
    subject = subject_for(metric)
    model = subject.model
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(11)  # whatever was drawn before
    state = torch.get_rng_state()
    again = compute(subject, metric)
    assert numbers(again) == numbers(plain(metric))
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    after = model.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("metric", METRICS.names)
def test_it_does_not_depend_on_the_batch_size(metric: str) -> None:
    other = compute(replace(subject_for(metric), batch_size=17), metric)
    for name, result in plain(metric).items():
        assert (other[name].value is None) == (result.value is None)
        if result.value is not None:
            assert other[name].value == pytest.approx(result.value, rel=2e-4, abs=2e-5), name


@pytest.fixture(autouse=True, scope="module")
def forget() -> Iterator[None]:
    """Let the runs go after the last test."""
    yield
    caches: tuple[Callable[[], None], ...] = (subject_of.cache_clear, plain.cache_clear)
    for clear in caches:
        clear()
