"""A user's own functions in training: callbacks after each step, and metrics of held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vaekit.errors import UserError
from vaekit.models.base import Model


@dataclass(frozen=True)
class StepInfo:
    """What a callback is told after an optimiser step: how far the run is, the model, and the step's losses.

    `step` counts from 1; `epoch` is a fraction of passes over the data. `loss` and the `terms` (unweighted, by name)
    are scalars on the model's device: reading one waits for it.
    """

    step: int
    epoch: float
    stage: str
    model: Model
    loss: Tensor
    terms: Mapping[str, Tensor]


Callback = Callable[[StepInfo], Any]
"""Called after every step; one that returns True ends training there."""
Metric = Callable[..., Any]
"""metric(trace), metric(model, x) or metric(model, x, y): one value an example, (B,), or one of the batch."""


def named_metrics(metrics: Mapping[str, Metric] | Iterable[Metric]) -> dict[str, Metric]:
    """Return metrics by name: their own, or that of the function.

    >>> def rate(trace): ...
    >>> list(named_metrics([rate]))
    ['rate']
    """
    named: dict[str, Metric] = {}
    pairs: Any = metrics.items() if isinstance(metrics, Mapping) else [(_name(metric), metric) for metric in metrics]
    for name, metric in pairs:
        if name == "<lambda>" or name in named:
            raise UserError(f"metrics need different names, and one is '{name}'; give them as {{name: function}}")
        named[name] = metric
    for name, metric in named.items():
        if not callable(metric):
            raise UserError(f"the metric '{name}' is no function of a trace, or of (model, x)")
    return named


def _name(metric: Any) -> str:
    return getattr(metric, "__name__", type(metric).__name__)
