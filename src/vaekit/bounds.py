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

    `ess` (B,) is the effective number of the K weights, (Σ w)² / Σ w²; 1 where one weight decides. `pareto_k` (B,) is
    the shape of their tail (`pareto_shape`), NaN where K is too small for one.
    """

    values: Tensor
    estimator: str
    k: int
    measure: Measure
    ess: Tensor
    pareto_k: Tensor

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
    tails: list[Tensor] = []
    largest = tail_length(k) + 1
    measure: Measure = "none"
    for start in range(0, len(x), width):
        xs, ys = x[start : start + width], None if y is None else y[start : start + width]
        total: Tensor | None = None
        squares: Tensor | None = None
        top: Tensor | None = None
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
            every = log_w if top is None else torch.cat([top, log_w])
            top = every.topk(min(largest, len(every)), dim=0).values
            done += now
        assert total is not None and squares is not None and top is not None
        parts.append(total - math.log(k))
        sizes.append((2 * total - squares).exp())
        tails.append(top)
    name = f"importance-weighted bound, K={k}"
    return Estimate(torch.cat(parts), name, k, measure, torch.cat(sizes), pareto_shape(torch.cat(tails, 1)))


def tail_length(k: int) -> int:
    """Return how many of K weights are their tail: min(K/5, 3 √K)."""
    return int(min(k / 5, 3 * math.sqrt(k)))


def pareto_shape(top: Tensor) -> Tensor:
    """Return k̂, (B,), of the largest log weights, (M + 1, B) in falling order; NaN where M < 5, 0 where they are equal.

    k̂ is the shape of the generalised Pareto distribution of the M largest weights' excess over the next one: the
    weights have finite moments of order up to 1/k. Above 0.7, their mean and its standard error cannot be trusted
    whatever they say. The estimate is Zhang and Stephens's, drawn to 0.5 as 10 weights of that shape would.
    Source: Zhang & Stephens 2009, Technometrics 51; Vehtari et al. 2024, arXiv:1507.02646.

    >>> u = (torch.arange(2000) + 0.5) / 2000
    >>> heavy = (-0.8 * u.log()).sort(descending=True).values  # log of a Pareto variable of shape 0.8
    >>> round(float(pareto_shape(heavy[: tail_length(2000) + 1, None])), 1)
    0.8
    """
    m = len(top) - 1
    if m < 5:
        return torch.full(top.shape[1:], math.nan, device=top.device)
    weights = (top.double() - top[0].double()).exp()
    excess = (weights[:-1] - weights[-1]).flip(0).clamp(min=1e-300)  # (M, B), rising
    count = 30 + int(math.sqrt(m))
    grid = torch.arange(1, count + 1, dtype=torch.float64, device=top.device).unsqueeze(1)
    b = (1 - (count / (grid - 0.5)).sqrt()) / (3 * excess[int(m / 4 + 0.5) - 1]) + 1 / excess[-1]  # (G, B)
    shape = torch.stack([torch.log1p(-one * excess).mean(0) for one in b])
    fit = m * ((-b / shape).log() - shape - 1)
    best = (b * torch.softmax(fit, 0)).sum(0)
    k_hat = torch.log1p(-best * excess).mean(0)
    k_hat = (m * k_hat + 10 * 0.5) / (m + 10)
    return torch.where(weights[-1] < 0.999, k_hat, torch.zeros_like(k_hat)).float()  # equal ones have no tail
