"""What a run's record says of its training when it has ended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

from vaekit.atomic import finite
from vaekit.data.dataset import DataSet
from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.metrics.base import mean_of
from vaekit.metrics.no_latents import fit, most, scores
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
    made = mean_of(scores(fitted, seen.inputs, seen.y), "nats/example")
    return finite({"no_latents": made.value, "no_latents_stderr": made.stderr, "no_latents_of": fitted.of})
