"""Upper bounds on log p(x) of real data: χ² and Rényi's, with what says when their estimates cannot be trusted."""

from __future__ import annotations

import math

from vaekit import bounds
from vaekit.errors import UserError
from vaekit.metrics.base import Result, Subject, mean_of, metric, refused
from vaekit.metrics.likelihood import FEW, NATS, nats, noise_facts, shape_facts, weighted

HEAVY = 0.05
"""The share of examples whose k̂ is above 0.7 from which their mean is not to be trusted."""


@metric(
    "upper_bounds",
    group="upper",
    gives={
        "cubo": ("estimate of the χ² upper bound on log p(x), ½ log E_q[w²], of the weights w = p(x, z)/q(z|x)", None),
        "renyi_upper": ("estimate of Rényi's upper bound on log p(x), log E_q[w^(1-α)]/(1-α) of an α below 0", None),
    },
    reference="Dieng et al. 2017, arXiv:1611.00328; Li & Turner 2016, arXiv:1602.02311",
    slow=True,
    shared=True,
)
def upper_bounds(subject: Subject) -> dict[str, Result]:
    """Upper bounds on log p(x) from the samples of `iw_bound`: χ² and Rényi's of `renyi_alpha` (-½), which is tighter.

    `lower` beside each is `iw_bound` of the same samples, `most` the highest that the estimate could have been.
    """
    alpha = float(subject.options.get("renyi_alpha", -0.5))
    if not alpha < 0:
        raise UserError(f"renyi_alpha is {alpha:g}, and Rényi's bound is an upper one for α below 0 only")
    orders = {"cubo": 2.0, "renyi_upper": 1 - alpha}
    found = weighted(subject, "upper_bounds", (1.0, *orders.values()))
    if isinstance(found, str):
        return {name: refused(found, NATS, k=subject.k) for name in orders}
    lower, *upper = found
    out: dict[str, Result] = {}
    for name, one in zip(orders, upper):
        mean = float(lower.values.double().mean())
        facts = {"lower": mean, "most": mean + (1 - 1 / one.order) * math.log(one.k), "alpha": 1 - one.order}
        facts |= noise_facts(one.ess, one.noise) | shape_facts(one.pareto_k) | {"caution": caution_of_upper(one)}
        out[name] = mean_of(one.values, nats(subject.info), k=subject.k, measure=one.measure, **facts)
    return out


def caution_of_upper(estimate: bounds.Estimate) -> str:
    """Return what the estimate of an upper bound must not be read without, and whether it can be trusted at all."""
    words = f"estimated from {estimate.k} samples, biased downwards (Jensen)"
    share, ess, why = shape_facts(estimate.pareto_k).get("pareto_k_above_0.7"), float(estimate.ess.mean()), list[str]()
    if share is None:
        why.append("too few samples for k̂")
    elif share > HEAVY:
        why.append(f"k̂ is above 0.7 for {share:.0%} of the examples")
    if ess < FEW:
        why.append(f"{ess:.0f} effective samples")
    return f"{words}: not to be trusted, {' and '.join(why)}" if why else words
