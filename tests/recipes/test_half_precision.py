"""Every recipe trains in bf16: what networks hand on is float32, so that nothing mixes types and losses are finite."""

from __future__ import annotations

import math

import pytest
import torch

from recipes import examples
from vaekit.recipes.base import RECIPES
from vaekit.runs.train import train


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES.names)
def test_it_takes_steps_in_bf16(name: str) -> None:
    torch.set_num_threads(1)
    settings = {"train.log_every": 4, "train.batch_size": 32} | dict(examples.SETTINGS.get(name, {}))
    settings.pop("train.steps", None)
    run = train(name, examples.source(name), steps=3, precision="bf16", set=settings, pictures=False)
    result = run.record["result"]
    assert result["precision"] == "bf16" and result["skipped_steps"] == 0
    found = result["elbo"] if result["elbo"] is not None else result["held_out_loss"]
    assert math.isfinite(found)
    assert all(p.dtype != torch.bfloat16 for p in run.model.parameters())
