"""Metrics of a model on another device: the numbers without noise are the CPU's, the others are there too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from far_device import FAR, opened
from recipes import examples
from vaekit.runs.train import train

OPTIONS: dict[str, Any] = {
    "ais_limit": 4, "ais_steps": 4, "ais_chains": 2, "ais_simulated": 4, "gaps_limit": 4, "gaps_steps": 3,
    "path_pairs": 10, "samples": 10, "decomposition_samples": 40,
}  # fmt: skip
EXACT = {
    "mse", "psnr", "ssim", "active_units", "linear_probe", "knn_accuracy", "cluster_accuracy", "accuracy",
    "label_log_prob", "codebook_perplexity", "code_gain", "token_accuracy", "same_molecule", "property_error",
    "frame_accuracy", "exact_log_px", "active_node_units", "impute_rmse_mean",
}  # fmt: skip
"""Numbers that no noise goes into."""


@pytest.fixture(autouse=True, scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("vaekit.metrics.features.STEPS", (5, 5))
        yield


@pytest.mark.parametrize(
    ("recipe", "groups", "compared"),
    [
        ("vae", ["all"], 7),
        ("cvae", ["all", "ais", "gaps"], 7),
        ("linear-vae", ["all"], 7),
        ("semi-supervised-vae", ["all"], 8),
        ("hierarchical-vae", ["all"], 7),
        ("vq-vae", ["all"], 9),
        ("tabular-vae", ["all", "columns"], 2),
        ("sequence-vae", ["all"], 2),
        ("molecule-vae", ["all"], 4),
        ("music-vae", ["all"], 3),
        ("graph-vae", ["all"], 2),
    ],
)
def test_a_model_elsewhere_has_the_same_metrics(recipe: str, groups: list[str], compared: int) -> None:
    settings = {name: value for name, value in examples.SETTINGS.get(recipe, {}).items() if name != "train.steps"}
    run = train(recipe, examples.source(recipe), steps=2, set={"train.device": "cpu", **settings}, pictures=False)
    here = run.evaluate(groups, k=4, limit=30, options=OPTIONS)
    with opened():
        run.model.to(FAR)
        there = run.evaluate(groups, k=4, limit=30, options=OPTIONS)
    assert list(there) == list(here)
    exact = [name for name in here if name in EXACT]
    assert len(exact) == compared
    for name, result in there.items():
        value = result.value
        assert (value is None) == (here[name].value is None) and (value is None or type(value) is float), name
        assert not any(isinstance(fact, torch.Tensor) for fact in result.facts.values()), name
        if name in EXACT and value is not None:
            assert math.isclose(value, here[name].value or 0.0, rel_tol=1e-4, abs_tol=1e-6), name
