"""What a run's record says of its training when it has ended."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vaekit import bounds
from vaekit.atomic import finite
from vaekit.data.dataset import DataSet, Split
from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.inference import batched
from vaekit.metrics.base import mean_of
from vaekit.metrics.no_latents import fit, most, scores
from vaekit.models.base import Model
from vaekit.recipes.base import Built
from vaekit.training.state import FitResult


def each_once(sentences: Sequence[str]) -> list[str]:
    """Return the sentences, of those that differ in their figures alone the last.

    >>> each_once(["KL 0.2 is low", "a gap", "KL 0.1 is low"])
    ['KL 0.1 is low', 'a gap']
    """
    return list({re.sub(r"\d[\d.,]*", "#", sentence): sentence for sentence in sentences}.values())


def result_of(
    built: Built, info: DataInfo, result: FitResult, notes: list[str], wall: float, steps_per_epoch: int
) -> dict[str, Any]:
    """Return the result that run.json keeps: lengths, times, the held-out score or why there is none, warnings."""
    at, held_out = result.position, result.held_out
    more: dict[str, Any] = {"held_out_loss": held_out.loss}
    if held_out.elbo is None:
        more["refused"] = held_out.refused
    elif info.standardised:
        more["elbo_standardised"] = held_out.elbo + info.log_unit
    numbers: dict[str, Any] = {
        "epochs": at.step // steps_per_epoch,
        "steps": at.step,
        "seconds": round(at.seconds, 3),
        "wall_seconds": round(wall, 3),
        "examples_per_second": round(at.examples / max(at.seconds, 1e-9), 1),
        "parameters": sum(p.numel() for p in built.model.parameters()),
        "elbo": held_out.elbo,
        "elbo_stderr": held_out.stderr,
        "held_out_n": held_out.n,
        "skipped_steps": result.skipped,
        "precision": result.precision,
        **({"examples_at_once": at.rows_at_once} if at.rows_at_once else {}),
        "warnings": notes,
        **({"metrics": held_out.metrics} if held_out.metrics else {}),
    }
    return finite(numbers | more)


def without_latents(built: Built, dataset: DataSet) -> dict[str, Any]:
    """Return the log-likelihood of the held-out examples without latents, for the record; {} where there is none.

    The baseline is that of the metric `no_latents`, of the validation split.
    """
    valid, train = dataset.valid.in_memory, dataset.train.in_memory
    if not len(valid) or not len(train):
        return {}
    count = most(dataset.info)
    if len(train) > count:
        train = train.take(torch.linspace(0, len(train) - 1, count).long())
    seen, known = dataset.prepare.fixed(valid, 1), dataset.prepare.fixed(train, 2)
    few = torch.arange(min(2, len(seen)))
    try:
        y = None if seen.y is None else seen.y[few]
        fitted = fit(built.model, dataset.info, known.inputs, known.y, seen.inputs.index_select(0, few), y)
    except UserError:
        return {}
    baseline = scores(fitted, seen.inputs, seen.y)
    made = mean_of(baseline, "nats/example")
    apart = _apart(built.model, seen, baseline)
    return finite(
        {
            "no_latents": made.value,
            "no_latents_stderr": made.stderr,
            "no_latents_of": fitted.of,
            "no_latents_apart_stderr": apart,
        }
    )


PAIRED = 1000
"""Held-out examples by which the spread of ELBO − baseline is known."""


def _apart(model: Model, split: Split, baseline: Tensor) -> float | None:
    """Return the standard error of the mean of ELBO − baseline, paired by example; None of a single example."""
    few = split.first(PAIRED)
    elbos = batched(model, lambda x, y: bounds.elbo(model.trace(x, y, hard=True)), few.x, few.y)
    each = elbos.double() - baseline[: len(few)].cpu()
    return float(each.std()) / math.sqrt(len(split)) if len(each) > 1 else None
