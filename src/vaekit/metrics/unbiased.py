"""An estimate of log p(x) that is no bound: SUMO, unbiased, and what that costs."""

from __future__ import annotations

from torch import Tensor

from vaekit import bounds
from vaekit.devices import device_of, seeded
from vaekit.distributions.base import measure_of
from vaekit.metrics.base import Result, Subject, mean_of, metric, refuses
from vaekit.metrics.likelihood import NATS, nats

REPEATS = 20
"""Estimates an example, of which the mean is taken."""
LARGE = 0.25
"""The share of the squared deviations that one example may have before the error is not to be trusted."""


@metric(
    "sumo",
    group="unbiased",
    gives={"sumo": ("unbiased estimate of log p(x), a bound on neither side", None)},
    reference="Luo et al. 2020, arXiv:2004.00353",
    slow=True,
)
@refuses("sumo", unit=NATS)
def sumo(subject: Subject) -> dict[str, Result]:
    """log p(x) by SUMO, the mean of twenty estimates an example (`sumo_repeats`); its error has their noise in it."""
    repeats = int(subject.options.get("sumo_repeats", REPEATS))
    x, y = subject.some(1)
    measure = measure_of(subject.model.trace(x, y, hard=True).px)
    with seeded(subject.seed, device_of(subject.model)):
        parts = [bounds.sumo(subject.model, x, y, repeats=repeats) for x, y in subject.pieces("sumo")]
    values = subject.join_pieces(parts)
    facts = {"repeats": repeats, "largest": largest_share(values)}
    return {"sumo": mean_of(values, nats(subject.info), measure=measure, caution=caution(facts["largest"]), **facts)}


def largest_share(values: Tensor) -> float:
    """Return the share of the squared deviations from the median that the farthest value has, 0 where all are equal."""
    off = (values.double() - values.double().median()).square()
    return float(off.max() / off.sum().clamp(min=1e-300))


def caution(largest: float) -> str:
    """Return what the estimate must not be read without."""
    words = "unbiased and no bound: it may lie on either side of log p(x), and its variance need not be finite"
    if largest < LARGE:
        return words
    return f"{words}; one example has {largest:.0%} of the squared deviations, so the error is not to be trusted"
