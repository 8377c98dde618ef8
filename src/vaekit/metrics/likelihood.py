"""Likelihood metrics: the plain ELBO and its terms, the importance-weighted bound, bits per dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from vaekit import bounds
from vaekit.data.info import DataInfo
from vaekit.devices import device_of, seeded
from vaekit.distributions.base import Measure, measure_of
from vaekit.errors import NotALikelihood
from vaekit.metrics.base import Result, Subject, mean_of, metric, once, refused

NATS = "nats/example"


def nats(info: DataInfo) -> str:
    """Return the unit of log p(x): of series that differ in length it is log p(x | its length)."""
    return f"{NATS} given its length" if info.kind == "series" and len(info.facts["lengths"]) > 1 else NATS


@metric(
    "elbo",
    group="likelihood",
    gives={
        "elbo": ("plain evidence lower bound, E_q[log p(x|z)] − KL", True),
        "log_px": ("expected log-likelihood of the data under the decoder, E_q[log p(x|z)]", True),
        "kl": ("rate: KL of the posterior from the prior", None),
    },
    reference="Kingma & Welling 2014, arXiv:1312.6114",
    shared=True,
)
def elbo(subject: Subject) -> dict[str, Result]:
    """The plain ELBO and its two terms, one posterior sample an example."""
    values, log_px = list[Tensor](), list[Tensor]()
    kls: dict[str, list[Tensor]] = {}
    measure = reason = None
    for x, y in subject.pieces("elbo"):
        trace = subject.model.trace(x, y, hard=True)
        reason = bounds.refusal(trace)
        if reason is not None:
            break
        measure = measure_of(trace.px)
        values.append(bounds.elbo(trace))
        log_px.append(trace.log_px.mean(0))
        for name, kl in trace.kl.items():
            kls.setdefault(name, []).append(kl.mean(0) if kl.dim() > 1 else kl)
    reason, measure = subject.agreed(reason), subject.agreed(measure)
    if reason is not None:
        return {name: refused(reason, NATS) for name in ("elbo", "log_px", "kl")}
    names = (subject.agreed(" ".join(kls) or None) or "").split()  # a process without examples has no names
    by_latent = {name: subject.join_pieces(kls.get(name, [])) for name in names}
    out = {
        "elbo": mean_of(subject.join_pieces(values), nats(subject.info), measure=measure),
        "log_px": mean_of(subject.join_pieces(log_px), nats(subject.info), measure=measure),
        "kl": mean_of(torch.stack(list(by_latent.values())).sum(0), NATS),
    }
    if len(by_latent) > 1:
        out |= {f"kl.{name}": mean_of(value, NATS) for name, value in by_latent.items()}
    return out


@metric(
    "iw_bound",
    group="likelihood",
    gives={
        "iw_bound": ("importance-weighted lower bound on log p(x) with K samples", True),
        "bits_per_dim": ("the same bound in bits per dimension of the quantised data", False),
    },
    reference="Burda et al. 2016, arXiv:1509.00519",
    shared=True,
)
def iw_bound(subject: Subject) -> dict[str, Result]:
    """The importance-weighted bound with K samples, in nats and in bits per dimension."""
    estimate = importance_bounds(subject)
    if isinstance(estimate, str):
        out = {"iw_bound": refused(estimate, NATS, k=subject.k)}
        bits = refused(estimate, "bits per dimension", k=subject.k)
    else:
        weights = weight_facts(estimate.ess, estimate.pareto_k)
        facts = weights | noise_facts(estimate.ess, estimate.noise)
        out = {"iw_bound": mean_of(estimate.values, nats(subject.info), k=subject.k, measure=estimate.measure, **facts)}
        bits = bits_per_dim(estimate.values, subject.info, estimate.measure, k=subject.k, **weights)
    return out | ({"bits_per_dim": bits} if subject.info.is_array else {})


@once
def importance_bounds(subject: Subject) -> bounds.Estimate | str:
    """Return the importance-weighted bound of every test example, computed once, or why there is none."""
    found = weighted(subject, "iw_bound", (1.0,))
    return found if isinstance(found, str) else found[0]


def weighted(subject: Subject, name: str, orders: Sequence[float]) -> list[bounds.Estimate] | str:
    """Return `bounds.power_means` of every test example, of each order, or why there are none.

    Their noise has its own seed, so that it is the same whichever metric asks.
    """
    parts: list[tuple[bounds.Estimate, ...]] = []
    reason = None
    with seeded(subject.seed, device_of(subject.model)):
        for x, y in subject.pieces(name):
            try:
                parts.append(bounds.power_means(subject.model, x, y, subject.k, orders))
            except NotALikelihood as error:
                reason = error.reason
                break
    reason = subject.agreed(reason)
    if reason is not None:
        return reason
    names, out = ("values", "ess", "pareto_k"), list[bounds.Estimate]()
    for i, order in enumerate(orders):
        each = [part[i] for part in parts]
        values, sizes, shapes = (subject.join_pieces([getattr(one, name) for one in each]) for name in names)
        facts = subject.agreed(f"{each[-1].estimator}\n{each[-1].k}\n{each[-1].measure}" if each else None) or ""
        estimator, k, measure = facts.split("\n")
        out.append(bounds.Estimate(values, estimator, int(k), cast(Measure, measure), sizes, shapes, order))
    return out


FEW = 30
"""Effective samples below which the delta method's error is too small."""


def noise_facts(ess: Tensor, noise: Tensor) -> dict[str, Any]:
    """Return the mean effective number of weights and the Monte-Carlo error, with a warning where that is too small."""
    facts: dict[str, Any] = {"ess": float(ess.mean()), "mc_stderr": noise_of_mean(noise)}
    if facts["ess"] < FEW:
        facts["mc_stderr_too_small"] = (
            f"fewer than {FEW} effective samples: it leaves out the bias and most of the noise"
        )
    return facts


def weight_facts(ess: Tensor, pareto_k: Tensor) -> dict[str, Any]:
    """Return the mean effective number of the examples' weights, and what `shape_facts` says of them."""
    return {"ess": float(ess.mean())} | shape_facts(pareto_k)


def shape_facts(pareto_k: Tensor) -> dict[str, Any]:
    """Return the mean k̂ of the examples' weights, and the share of examples where it is above 0.7."""
    known = pareto_k[torch.isfinite(pareto_k)].double()
    if not len(known):
        return {}
    return {"pareto_k": float(known.mean()), "pareto_k_above_0.7": float((known > 0.7).double().mean())}


def noise_of_mean(noise: Tensor) -> float:
    """Return the Monte-Carlo standard error of a mean from that of each example, (N,).

    >>> noise_of_mean(torch.ones(4))
    0.5
    """
    return float(noise.double().square().sum().sqrt()) / len(noise)


def bits_per_dim(log_px: Tensor, info: DataInfo, measure: str, **facts: object) -> Result:
    """-log2 p(x) / D for quantised data: of a mass directly, of a density on dequantised data plus log2(levels).

    Refused for a density of data that are not quantised and dequantised: its bits depend on the units.

    >>> info = DataInfo("toy", (2,), "binary", 2, 1, 1, 1, (), bits_offset=0.0)
    >>> round(bits_per_dim(torch.tensor([-math.log(4)]), info, "mass").value or 0, 6)
    1.0
    """
    unit = "bits per dimension"
    if measure == "density" and (info.kind in ("binary", "levels", "counts") or not info.bits_offset):
        reason = (
            "a density of values that are not dequantised has no bits per dimension; use a discretised likelihood, "
            "or --set data.dequantise=true"
        )
        return refused(reason, unit, **facts)
    if info.bits_offset is None:
        return refused("the data are not quantised, so bits per dimension are not defined", unit, **facts)
    offset = info.bits_offset if measure == "density" else 0.0
    bits = offset - log_px.double() / (math.prod(info.shape) * math.log(2))
    return mean_of(bits, unit, measure=measure, **facts)
