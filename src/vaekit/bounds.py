"""Bounds on log p(x), in nats per example; and the computed reasons why some models have none.

A bound belongs to (posterior, prior, likelihood), never to the objective it was trained with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from vaekit.distributions.base import Measure, in_support, is_point_mass, is_relaxed, measure_of, name_of
from vaekit.errors import NotALikelihood
from vaekit.trace import Trace

ROWS = 512
"""Decoder rows at once (examples times samples): few enough to stay in a core's cache, whatever K is."""


class Traceable(Protocol):
    """What bounds need of a model."""

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass with `k` posterior samples an example."""
        ...


def refusal(trace: Trace) -> str | None:
    """Return why this trace bounds no log p(x), or None if it does. The reason is computed from the parts.

    Reasons: a point mass on a latent whose prior is a density (the KL is infinite); a relaxed code (its density is not
    the discrete posterior's); a likelihood without a measure; data outside the likelihood's support.
    """
    for name, latent in trace.latents.items():
        if is_point_mass(latent.q) and measure_of(latent.p) != "mass":
            return f"q({name}|x) is a point mass on a continuous latent, so KL(q ‖ p) is infinite"
        if is_relaxed(latent.q):
            return f"q({name}|x) is a relaxation of a discrete posterior; trace with hard=True"
        if measure_of(latent.p) == "none":
            return f"the prior of {name} has no density"
    if trace.refusal is not None:
        return trace.refusal
    family = name_of(trace.px)
    if measure_of(trace.px) == "none":
        return f"{family} is not a normalised distribution of the data"
    inside = in_support(trace.px, trace.x)
    if not bool(inside.all()):
        bad = int((~inside).sum())
        return f"{bad} of {inside.numel()} examples lie outside the support of the likelihood ({family})"
    return None


def require(trace: Trace) -> None:
    """Raise NotALikelihood with the reason if the trace bounds no log p(x)."""
    reason = refusal(trace)
    if reason is not None:
        raise NotALikelihood(reason)


def elbo(trace: Trace) -> Tensor:
    """ELBO(x) = E_q[log p(x|z)] - Σ KL(q ‖ p), the plain one: (B,) nats, averaged over the K samples.

    KLs are closed forms where there are any. β, capacity and free bits have no part in it.
    """
    total = trace.log_px.mean(0)
    for value in trace.kl.values():
        total = total - (value.mean(0) if value.dim() > 1 else value)
    extra = trace.log_w_extra
    if extra is not None:
        total = total + (extra.mean(0) if extra.dim() > 1 else extra)
    return total


def importance_weighted(trace: Trace) -> Tensor:
    """log (1/K) Σ_k p(x, z_k) / q(z_k|x), a bound that tightens with K: (B,) nats.

    Source: Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519.
    """
    return log_mean_exp(trace.log_w)


def log_mean_exp(log_w: Tensor) -> Tensor:
    """log of the mean of exp(log_w) over the first axis, dividing by the number of samples there are.

    >>> log_mean_exp(torch.tensor([[0.0], [-torch.inf]])).exp().item()
    0.5
    """
    return torch.logsumexp(log_w, 0) - math.log(log_w.shape[0])


@dataclass(frozen=True)
class Estimate:
    """A value of log p(x) for each example, and what it is: (B,) nats, the estimator, K, and the measure.

    `ess` (B,) is the effective number of the K weights, (Σ w)² / Σ w²; 1 where one weight decides.
    """

    values: Tensor
    estimator: str
    k: int
    measure: Measure
    ess: Tensor

    @property
    def noise(self) -> Tensor:
        """The Monte-Carlo standard error of each value by the delta method, √(1/ess - 1/K), (B,) nats.

        It says nothing of the bias, which is as large where the weights are few.
        """
        return (1 / self.ess - 1 / self.k).clamp(min=0).sqrt()


@torch.no_grad()
def log_likelihood(
    model: Traceable, x: Tensor, y: Tensor | None = None, k: int = 500, rows: int = ROWS, double: bool = False
) -> Estimate:
    """Estimate log p(x) from below with `k` importance samples an example; memory does not grow with k.

    Examples and samples are taken `rows` decoder rows at a time, and the weights are summed as they come. Call it in
    eval mode. Raises NotALikelihood with the computed reason where the model bounds nothing.
    """
    per_pass = min(k, rows)
    width = max(1, rows // per_pass)
    parts: list[Tensor] = []
    sizes: list[Tensor] = []
    measure: Measure = "none"
    for start in range(0, len(x), width):
        xs, ys = x[start : start + width], None if y is None else y[start : start + width]
        total: Tensor | None = None
        squares: Tensor | None = None
        done = 0
        while done < k:
            now = min(per_pass, k - done)
            trace = model.trace(xs, ys, k=now, hard=True)
            if total is None:
                require(trace)
                measure = measure_of(trace.px)
                if k > 1 and all(is_point_mass(latent.q) for latent in trace.latents.values()):
                    # Every sample of a point mass is the same, and so is its weight: one says all that K would.
                    same = log_likelihood(model, x, y, 1, rows, double)
                    return replace(same, estimator=f"{same.estimator} (any K: the posterior is a point mass)")
            log_w = trace.log_w.double() if double else trace.log_w
            some = torch.logsumexp(log_w, 0)
            total = some if total is None else torch.logaddexp(total, some)
            some = torch.logsumexp(2 * log_w, 0)
            squares = some if squares is None else torch.logaddexp(squares, some)
            done += now
        assert total is not None and squares is not None
        parts.append(total - math.log(k))
        sizes.append((2 * total - squares).exp())
    return Estimate(torch.cat(parts), f"importance-weighted bound, K={k}", k, measure, torch.cat(sizes))
