"""Bounds on log p(x), in nats per example; and the computed reasons why some models have none.

A bound belongs to (posterior, prior, likelihood), never to the objective it was trained with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from vaekit.distributions.base import Measure, in_support, is_point_mass, is_relaxed, measure_of, name_of
from vaekit.errors import NotALikelihood
from vaekit.trace import Trace

ROWS = 512
"""Decoder rows at once (examples times samples) on a processor: few enough to stay in its cache, whatever K is."""
MOST_ROWS, NUMBERS, SHARE = 2**15, 2**25, 1 / 1024
"""On CUDA: rows at most, numbers in all their examples, and the share of free memory that these may take."""


def rows_for(x: Any) -> int:
    """Return how many decoder rows are computed at once for examples x (B, *shape): on CUDA as many as keep it busy.

    There `ROWS` take less time than starting their kernels. Rows have `NUMBERS` numbers together, or fewer where memory
    is short: a network's activations are taken to be a thousand times an example.

    >>> rows_for(torch.zeros(4, 1, 28, 28))
    512
    """
    if not isinstance(x, Tensor) or not x.is_cuda or not x.is_floating_point():
        return ROWS
    numbers = min(NUMBERS, int(SHARE * torch.cuda.mem_get_info(x.device)[0]) // 4)
    return max(ROWS, min(MOST_ROWS, numbers // max(1, math.prod(x.shape[1:]))))


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


def thermodynamic(trace: Trace, betas: Tensor) -> tuple[Tensor, Tensor]:
    """Return Riemann sums of log p(x) = ∫₀¹ E_β[log w] dβ from below and from above, (B,) nats each.

    E_β is over π_β(z) ∝ q(z|x)^(1-β) p(x, z)^β, and rises with β. Over 0 = β_0 < … < β_P = 1 the sums of
    (β_{i+1} - β_i) E_β_i[log w] and of … E_β_{i+1}[log w] bracket log p(x); with P = 1 the lower one is the ELBO. Each
    expectation is of the trace's samples, weighted by w^β: with too few the upper sum falls short.

    Source: Masrani, Le & Wood 2019, arXiv:1907.00031.

    >>> from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
    >>> from vaekit.trace import Latent
    >>> q = DiagonalNormalFamily(torch.zeros(4, 2), torch.zeros(4, 2))
    >>> z = q.rsample((30,))
    >>> px = DiagonalNormalFamily(z, torch.zeros_like(z))
    >>> trace = Trace(torch.zeros(4, 2), None, {"z": Latent(q, StandardNormalFamily(torch.zeros(2)), z, z)}, px)
    >>> lower, upper = thermodynamic(trace, torch.tensor([0.0, 0.1, 1.0]))
    >>> bool((trace.log_w.mean(0) <= lower).all() & (lower <= upper).all())
    True
    """
    log_w = trace.log_w
    means = torch.stack([((beta * log_w).softmax(0) * log_w).sum(0) for beta in betas])
    steps = betas.diff().to(log_w)
    return steps @ means[:-1], steps @ means[1:]


REACH, DECAY = 80, 0.9


def terms_survive(k: Tensor) -> Tensor:
    """P(𝒦 ≥ k) of the number 𝒦 of SUMO's terms: 1/k up to 80, from there on falling by a tenth at each.

    >>> [round(p, 5) for p in terms_survive(torch.tensor([1, 2, 80, 81])).tolist()]
    [1.0, 0.5, 0.0125, 0.01125]
    """
    return torch.where(k < REACH, 1 / k, DECAY ** (k - REACH).clamp(min=0) / REACH)


def terms_of(u: Tensor) -> Tensor:
    """Return 𝒦 for uniform numbers u, int64."""
    u = u.double().clamp(min=1e-12)
    tail = REACH + (u * REACH).log().div(math.log(DECAY)).floor()
    return torch.where(u > 1 / REACH, (1 / u).floor(), tail).long()


def debiased(log_w: Tensor, terms: Tensor, first: int = 1) -> Tensor:
    """Return L_m + Σ_{k=1}^𝒦 (L_{m+k} - L_{m+k-1}) / P(𝒦 ≥ k), (B,) nats, L_k the bound of the first k of the weights.

    m is `first`, `terms` (B,) are 𝒦, and the log weights (K, B) at least m + 𝒦.
    """
    count = torch.arange(1, len(log_w) + 1, device=log_w.device)
    bound = (torch.logcumsumexp(log_w, 0) - count.to(log_w).log().unsqueeze(1))[first - 1 :]
    k = count[: len(bound) - 1].unsqueeze(1)
    steps = bound.diff(dim=0) / terms_survive(k).to(log_w)
    return bound[0] + torch.where(k <= terms, steps, torch.zeros_like(steps)).sum(0)


@torch.no_grad()
def sumo(
    model: Traceable, x: Tensor, y: Tensor | None = None, first: int = 10, repeats: int = 1, rows: int | None = None
) -> Tensor:
    """Estimate log p(x) without bias: SUMO, the mean of `repeats` of `debiased` with 𝒦 drawn anew, (B,) nats.

    E[SUMO] = lim L_K = log p(x), neither below nor above it. That costs variance: the series is cut at random and its
    kept terms are divided by how seldom they are kept, so a value may lie far off on either side, and where weights
    are heavy-tailed its variance need not be finite. An estimate takes `first` samples and some five more on average,
    now and then a hundred; the larger `first`, the less it varies.

    Source: Luo et al. 2020, arXiv:2004.00353.

    Raises:
        NotALikelihood: the model bounds nothing.
    """
    out: list[Tensor] = []
    rows = rows or rows_for(x)
    width = max(1, rows // (2 * first))
    for start in range(0, len(x), width):
        xs, ys = x[start : start + width], None if y is None else y[start : start + width]
        each: list[Tensor] = []
        for _ in range(repeats):
            terms = terms_of(torch.rand(len(xs), device=xs.device))
            parts: list[Tensor] = []
            for trace in _passes(model, xs, ys, first + int(terms.max()), rows):
                require(trace)
                parts.append(trace.log_w)
            each.append(debiased(torch.cat(parts).double(), terms, first))
        out.append(torch.stack(each).mean(0))
    return torch.cat(out)


@dataclass(frozen=True)
class Estimate:
    """A value of log p(x) for each example, and what it is: (B,) nats, the estimator, K, and the measure.

    `ess` (B,) is the effective number of the K weights, (Σ w)² / Σ w²; 1 where one weight decides. `pareto_k` (B,) is
    the shape of their tail (`pareto_shape`), NaN where K is too small for one. Of an `order` other than 1 both are of
    the weights to that power.
    """

    values: Tensor
    estimator: str
    k: int
    measure: Measure
    ess: Tensor
    pareto_k: Tensor
    order: float = 1.0

    @property
    def noise(self) -> Tensor:
        """The Monte-Carlo standard error of each value by the delta method, √(1/ess - 1/K) / order, (B,) nats.

        It says nothing of the bias, which is as large where the weights are few.
        """
        return (1 / self.ess - 1 / self.k).clamp(min=0).sqrt() / self.order


@torch.no_grad()
def log_likelihood(
    model: Traceable, x: Tensor, y: Tensor | None = None, k: int = 500, rows: int | None = None, double: bool = False
) -> Estimate:
    """Estimate log p(x) from below with `k` importance samples an example; memory does not grow with k.

    Examples and samples are taken `rows` decoder rows at a time (None: `rows_for`), and the weights are summed as they
    come. Call it in eval mode. Raises NotALikelihood with the computed reason where the model bounds nothing.
    """
    return power_means(model, x, y, k, (1.0,), rows, double)[0]


@torch.no_grad()
def power_means(
    model: Traceable,
    x: Tensor,
    y: Tensor | None = None,
    k: int = 500,
    orders: Sequence[float] = (2.0,),
    rows: int | None = None,
    double: bool = False,
) -> tuple[Estimate, ...]:
    """Estimate (1/n) log E_q[w^n] of the weights w = p(x, z) / q(z|x) for each order n > 0, from the same `k` samples.

    n = 1 is log p(x), n < 1 a lower bound on it and n > 1 an upper bound that rises with n: Rényi's bound of α = 1 - n,
    also called CUBO_n; n = 2 is the χ² bound. The estimate of an upper bound is biased downwards (Jensen), may lie
    below log p(x), and can exceed that of log p(x) by (1 - 1/n) log K at most. It is worth what the tail of w^n lets it
    be: see `pareto_k` and `ess` of its Estimate.

    Source: Dieng et al. 2017, arXiv:1611.00328; Li & Turner 2016, arXiv:1602.02311.

    Raises:
        NotALikelihood: the model bounds nothing; or n > 1 and a posterior is a point mass, whose weight is less than
            p(x) and bounds it from below only.

    >>> from vaekit.likelihoods.bernoulli import Bernoulli
    >>> from vaekit.models.vae import VAE
    >>> from vaekit.nets.mlp import mlp
    >>> from vaekit.posteriors.normal import DiagonalNormal
    >>> from vaekit.priors.normal import StandardNormal
    >>> model = VAE(DiagonalNormal(mlp(3, 1)), StandardNormal(1), Bernoulli(mlp(1, 3))).eval()
    >>> lower, upper = power_means(model, torch.ones(4, 3), k=100, orders=(1, 2))
    >>> bool((lower.values <= upper.values).all())
    True
    """
    rows = rows or rows_for(x)
    width = max(1, rows // min(k, rows))
    largest = tail_length(k) + 1
    parts: list[list[Tensor]] = []
    tails: list[Tensor] = []
    measure: Measure = "none"
    for start in range(0, len(x), width):
        xs, ys = x[start : start + width], None if y is None else y[start : start + width]
        sums: list[Tensor] = []  # log Σ w^n and log Σ w^2n of each order
        top: Tensor | None = None
        for trace in _passes(model, xs, ys, k, rows):
            if top is None:
                require(trace)
                measure = measure_of(trace.px)
                points = [is_point_mass(latent.q) for latent in trace.latents.values()]
                if any(points) and max(orders) > 1:
                    raise NotALikelihood("a posterior is a point mass, whose weights bound log p(x) from below only")
                if k > 1 and all(points):
                    # Every sample of a point mass is the same, and so is its weight: one says all that K would.
                    alike = power_means(model, x, y, 1, orders, rows, double)
                    words = "(any K: the posterior is a point mass)"
                    return tuple(replace(same, estimator=f"{same.estimator} {words}") for same in alike)
            log_w = trace.log_w.double() if double else trace.log_w
            some = [torch.logsumexp(n * log_w, 0) for order in orders for n in (order, 2 * order)]
            sums = [torch.logaddexp(a, b) for a, b in zip(sums, some)] if sums else some
            every = log_w if top is None else torch.cat([top, log_w])
            top = every.topk(min(largest, len(every)), dim=0).values
        assert top is not None
        parts.append(sums)
        tails.append(top)
    each, tail = [torch.cat(column) for column in zip(*parts)], torch.cat(tails, 1)
    found: list[Estimate] = []
    for order, total, squares in zip(orders, each[::2], each[1::2]):
        value, ess = (total - math.log(k)) / order, (2 * total - squares).exp()
        found.append(Estimate(value, _named(order, k), k, measure, ess, pareto_shape(order * tail), order))
    return tuple(found)


def _passes(model: Traceable, x: Tensor, y: Tensor | None, k: int, rows: int) -> Iterator[Trace]:
    """Yield traces of `k` samples an example in all, at most `rows` of them at a time."""
    for done in range(0, k, rows):
        yield model.trace(x, y, k=min(rows, k - done), hard=True)


def _named(order: float, k: int) -> str:
    if order == 1:
        return f"importance-weighted bound, K={k}"
    return f"Rényi {'upper' if order > 1 else 'lower'} bound, α={1 - order:g}, K={k}"


def effective_samples(log_w: Tensor) -> Tensor:
    """Return (Σ w)² / Σ w² of log weights (K, B), the effective number of them, (B,).

    >>> effective_samples(torch.zeros(8, 2)).tolist()
    [8.0, 8.0]
    """
    return (2 * torch.logsumexp(log_w, 0) - torch.logsumexp(2 * log_w, 0)).exp()


def tail_shape(log_w: Tensor) -> Tensor:
    """Return k̂ of all log weights (K, B): `pareto_shape` of the largest of them, (B,)."""
    return pareto_shape(log_w.topk(min(tail_length(len(log_w)) + 1, len(log_w)), 0).values)


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
