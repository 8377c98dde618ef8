"""A time for a whole study, divided into steps: what a step of each point costs is measured first."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vaekit.errors import TrainingFailed, UserError
from vaekit.runs.train import train
from vaekit.studies.points import Point
from vaekit.studies.trial import Bench, evaluated, quiet, settled
from vaekit.training.plan import Plan

MEASURED = 15
"""Steps by which a step's time is measured."""
MOST_MEASURED = 12
"""Points that are measured; of more, this many spread over them stand for all."""
LEAST = 50
"""Steps that a trial has at least, whatever the budget."""
SHARE = 0.85
"""Share of the budget that is planned with: workers beside one another are slower than the one that measured."""
LENGTHS = ("train.steps", "train.epochs")
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Cost:
    """Seconds of one trial: of a step, with its share of the evaluation after an epoch, and of everything else.

    `most` steps are its full length.
    """

    step: float
    beside: float
    most: int


@dataclass(frozen=True)
class Length:
    """The steps of every trial, None for each recipe's own length, and the sentence that says why so many."""

    steps: int | None
    said: str


def seconds(text: str) -> float:
    """Return the seconds of a time such as "90s", "5m" or "1.5h".

    >>> seconds("5m"), seconds("1.5h")
    (300.0, 5400.0)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([smh])\w*\s*", text)
    if match is None or float(match[1]) <= 0:
        raise UserError(f"--budget {text}: write a time such as 90s, 5m or 2h")
    return float(match[1]) * UNITS[match[2]]


def length_within(budget: float, costs: Sequence[Cost], trials: int, jobs: int, spent: float) -> Length:
    """Return the steps, the same of every trial, by which `trials` trials of such costs end within the budget.

    Σ_trials (beside + steps · step) = share · (budget - spent) · jobs, and no more than the recipe's own length.

    >>> length_within(100.0, [Cost(0.01, 1.0, 5000)], trials=10, jobs=2, spent=20.0).steps
    1260
    """
    step = sum(cost.step for cost in costs) / len(costs)
    beside = sum(cost.beside for cost in costs) / len(costs)
    most = max(cost.most for cost in costs)
    room = SHARE * max(0.0, budget - spent) * jobs / trials - beside
    steps = int(min(most, max(LEAST, room / step)))
    measured = f"a step takes {1000 * step:.3g} ms and reading and evaluating {beside:.2g} s a trial"
    if room / step >= most:
        return Length(steps, f"{measured}: the budget allows the recipe's own length, {steps:,} steps")
    if room / step < LEAST:
        need = trials * (beside + LEAST * step) / (SHARE * jobs) + spent
        return Length(
            steps, f"{measured}: the budget is too short, so {trials} trials of {LEAST} steps take {need:.0f} s"
        )
    return Length(steps, f"{measured}: {steps:,} steps for each of {trials} trials")


def measure(bench: Bench, points: Sequence[Point]) -> list[Cost]:
    """Return the costs of the points, of which at most `MOST_MEASURED`, spread over them, are measured."""
    every = -(-len(points) // MOST_MEASURED)
    some = points[::every]
    costs, failed = [], None
    with quiet():
        for i, point in enumerate(some):
            try:
                if not i:
                    _run(bench, point, 3)  # the first steps of a process are slower
                costs.append(_cost(bench, point))
            except (UserError, TrainingFailed) as error:
                failed = error  # its trials will say so
    if not costs and failed is not None:
        raise failed
    return costs


def _run(bench: Bench, point: Point, steps: int) -> Any:
    source = bench.source(point)
    settings = {n: v for n, v in settled(point, source).items() if n not in LENGTHS}
    return train(point.recipe, source, steps=steps, set=settings, device=bench.device, progress=False)


def _cost(bench: Bench, point: Point) -> Cost:
    began = time.monotonic()
    run = _run(bench, point, MEASURED)
    evaluated(bench, run)
    result = run.record["result"]
    per_epoch = -(-run.info.n_train // run.settings.train.batch_size)
    own = {name.removeprefix("train."): value for name, value in point.settings.items() if name in LENGTHS}
    full = run.settings.train.model_copy(update={"steps": None, "epochs": None} | own)
    once = result["wall_seconds"] - result["seconds"]  # the held-out evaluation after an epoch
    step = result["seconds"] / result["steps"] + once / per_epoch
    return Cost(step, time.monotonic() - began - result["seconds"], Plan(full, (1.0,), per_epoch).total)
