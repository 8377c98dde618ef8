"""Missing entries drawn, or averaged, from p(x_missing | x_observed) under a trained model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit import bounds
from vaekit.devices import device_of, seeded
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.inference import batches, inference, joined
from vaekit.models.base import Model, point
from vaekit.tasks.noise import ROWS, one_normal, proposal_weight, reparameterised

Method = Literal["resampling", "gibbs"]
BATCH = 64
MOST_ROWS = 2**17
"""Decoder rows (examples times samples) whose densities are computed at once."""
SHARED, OWN = 2**13, 2**10
"""Proposals of `drawn_given` from the prior, the same for all rows, and from each row's posterior."""


@dataclass(frozen=True)
class Imputed:
    """`mean` (N, ...): E[x_missing | x_observed]; `draws` (M, N, ...): multiple imputations. Observed entries are x's.

    For rows of a table `mean` holds the likeliest level of a category and the median of ordered levels.
    `ess` (N,) is the effective number of the importance samples, where there are any.
    """

    mean: Tensor
    draws: Tensor
    ess: Tensor | None = None


def observed_log_prob(px: Distribution, x: Tensor, seen: Tensor) -> Tensor:
    """Return Σ over observed entries of log p(x_j|z): (K, B) for px of batch shape (K, B), x and seen (B, ...)."""
    elements = getattr(px, "log_prob_elements", None)
    if elements is None:
        raise UserError(
            f"impute needs a likelihood that factorises over the entries of x, and {type(px).__name__} does not"
        )
    each = torch.where(seen, elements(x), 0.0)
    return each.flatten(each.dim() - len(px.event_shape)).sum(-1)


def fill(x: Tensor, start: Tensor | None) -> Tensor:
    """Return x with `start` (one example's shape) where it is NaN; x itself without one."""
    return x if start is None else torch.where(torch.isnan(x), start.to(x), x)


def impute(
    model: Model,
    x: Tensor,
    start: Tensor | None,
    *,
    method: Method = "resampling",
    draws: int = 10,
    k: int = 200,
    sweeps: int = 10,
    seed: int = 0,
) -> Imputed:
    """Impute the NaN of prepared examples x (N, ...), from the filling `start` (one example's shape) on.

    `start` is None where the encoder takes NaN as missing (tables): q(z|x_observed) is then its own, and nothing is
    filled before z is drawn.

    Where values cannot be averaged (texts), `mean` is what p(x|z) shows at the latent of greatest weight.

    "gibbs": z ~ q(z|x), x_missing ~ p(x|z), in turn (pseudo-Gibbs: Rezende et al. 2014, arXiv:1401.4082, appendix F);
    what comes after the first `sweeps` is kept. Right as far as q is.
    "resampling": x is filled by `sweeps` steps x_missing = E[x|z = E q(z|x)]; k latents are drawn, half from that
    q(z|x), half from the prior, weighed by p(x_observed|z) p(z) / (their mixture's density), and resampled. Right as k
    grows, whatever q is (Mattei & Frellsen 2019, arXiv:1812.02633, §3; the mixture keeps weights below 2 p(x|z)).
    Its mean does not depend on what else is in the batch.
    """
    if draws < 1 or k < 2 or sweeps < 0:
        raise UserError("draws must be at least 1, k at least 2, and sweeps not negative")
    parts: list[Imputed] = []
    with inference(model, seed):
        for rows, label in batches(model, x, size=max(1, min(BATCH, MOST_ROWS // k))):
            if not parts:
                _check(model, fill(rows[:1], start), None if label is None else label[:1])
            if method == "gibbs":
                parts.append(_gibbs(model, rows, start, label, draws, k, sweeps))
            else:
                parts.append(_resampled(model, rows, start, label, draws, k, sweeps, seed))
    ess = [part.ess for part in parts if part.ess is not None]
    drawn = joined([part.draws.transpose(0, 1) for part in parts]).transpose(0, 1)
    return Imputed(joined([part.mean for part in parts]), drawn, joined(ess) if ess else None)


def _check(model: Model, first: Tensor, y: Tensor | None) -> None:
    """Refuse a model that bounds nothing, or has several latents, by its trace of one filled example."""
    trace = model.trace(first, y, hard=True)
    with seeded(0, device_of(model)):
        # A filling is only coded: it need not be in the likelihood's support, as a sample is.
        bounds.require(replace(trace, x=trace.px.sample()[0]))
    if len(trace.latents) != 1:
        raise UserError("impute needs a model with one latent")


def _gibbs(model: Model, x: Tensor, start: Tensor | None, y: Tensor | None, draws: int, k: int, sweeps: int) -> Imputed:
    seen = ~torch.isnan(x)
    filled = fill(x, start)
    kept, means, px = [], [], None
    for step in range(sweeps + max(draws, k // 4)):
        latent = next(iter(model.trace(filled, y, hard=True).latents.values()))
        px = model.decode(latent.z[0], y)
        filled = torch.where(seen, x, _complete(px).sample())
        if step >= sweeps:
            kept.append(filled)
            means.append(_expectation(px))
        if step == 0 and not _averages(px):
            raise UserError("values of these data cannot be averaged over sweeps; use method=resampling")
    assert px is not None
    every = max(1, len(kept) // draws)
    mean = torch.where(seen, x, _decided(px, torch.stack(means).mean(0)))
    return Imputed(mean, torch.stack(kept[::-1][::every][:draws]))


def _complete(px: Distribution) -> Distribution:
    """Return p(x|z) without gaps of its own, which rows of a table may be drawn with."""
    complete = getattr(px, "complete", None)
    return px if complete is None else complete()


def _expectation(px: Distribution) -> Tensor:
    """Return what may be averaged over z: the mean, or for mixed columns means and probabilities of levels."""
    expectation = getattr(px, "expectation", None)
    return px.mean if expectation is None else expectation


def _decided(px: Distribution, average: Tensor) -> Tensor:
    """Return the value that an average of `_expectation` stands for."""
    decide = getattr(px, "decide", None)
    return average if decide is None else decide(average)


def _resampled(
    model: Model, x: Tensor, start: Tensor | None, y: Tensor | None, draws: int, k: int, sweeps: int, seed: int
) -> Imputed:
    seen = ~torch.isnan(x)
    filled = fill(x, start)
    for _ in range(sweeps if start is not None else 0):
        filled = torch.where(seen, x, model.reconstruct(filled, y))
    z, log_w = _proposals(model, filled, y, k, seed)
    px = model.decode(z, y)
    # a family of data with gaps leaves what is missing out by itself
    log_px = px.log_prob(x) if start is None else observed_log_prob(px, torch.where(seen, x, 0.0), seen)
    weight = torch.softmax(log_px + log_w, 0)
    chosen = torch.multinomial(weight.T, draws, replacement=True).T  # (draws, B)
    some = z[chosen, torch.arange(len(x), device=x.device)]
    drawn = torch.where(seen, x, _complete(model.decode(some, y)).sample())
    best = _weighted_mean if _averages(px) else _likeliest
    return Imputed(torch.where(seen, x, best(model, z, weight, y)), drawn, 1 / weight.square().sum(0))


def drawn_given(model: Model, x: Tensor, draws: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return draws of the NaN of rows x (N, C) of a table given the rest, (draws, N, C), and effective samples (N,).

    Importance resampling, as `impute` does it, whose proposals are `SHARED` latents of the prior, whatever family that
    has, and `OWN` of q(z|x_observed) of each row: where little is given, q is far from p(z|x_observed).
    """
    made, ess = list[Tensor](), list[Tensor]()
    with inference(model, seed):
        p = model.prior_of(None)
        shared = model.sample_latent(SHARED, None, 1.0)
        for rows, _ in batches(model, x, size=MOST_ROWS // (SHARED + OWN)):
            q = model.encode(rows, None)
            z = torch.cat([shared.unsqueeze(1).expand(-1, len(rows), *shared.shape[1:]), q.sample(torch.Size((OWN,)))])
            log_w = proposal_weight(q, p, z, OWN / (SHARED + OWN))
            weight = torch.softmax(model.decode(z, None).log_prob(rows) + log_w, 0)
            chosen = torch.multinomial(weight.T, draws, replacement=True).T
            own = z[chosen, torch.arange(len(rows), device=rows.device)]
            made.append(
                torch.where(torch.isnan(rows), _complete(model.decode(own, None)).sample(), rows).transpose(0, 1)
            )
            ess.append(1 / weight.square().sum(0))
    return joined(made).transpose(0, 1), joined(ess)


def _averages(px: Distribution) -> bool:
    """Whether values of p(x|z) may be averaged over z, as texts may not."""
    return bool(getattr(px, "averages", True))


def _likeliest(model: Model, z: Tensor, weight: Tensor, y: Tensor | None) -> Tensor:
    """Return the `point` of p(x|z) at the sample of greatest weight, (B, ...)."""
    return point(model.decode(z[weight.argmax(0), torch.arange(z.shape[1], device=z.device)], y))


def _proposals(model: Model, filled: Tensor, y: Tensor | None, k: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return latents (K, B, ...), and log p(z) less the log-density they were drawn from, (K, B)."""
    trace = model.trace(filled, y, hard=True)
    latent = next(iter(trace.latents.values()))
    q, p = latent.q, latent.p
    if not (one_normal(trace) and isinstance(q, DiagonalNormalFamily)):
        latent = next(iter(model.trace(filled, y, k=k, hard=True).latents.values()))
        return latent.z, latent.log_p_code - latent.log_q_code
    if isinstance(p, DiagonalNormalFamily):
        p = DiagonalNormalFamily(p.loc.expand_as(q.loc), p.log_scale.expand_as(q.loc), q.loc.dim() - 1)
        own = reparameterised(p, k // 2, seed + 1)
    elif p.batch_shape:  # its draws would depend on the row
        own = q.loc.new_zeros(0, *q.loc.shape)
    else:
        with seeded(seed + 1, q.loc.device):
            own = p.sample(torch.Size((k // 2,))).unsqueeze(1).expand(-1, *q.loc.shape)
    z = torch.cat([reparameterised(q, k - len(own), seed), own])
    return z, proposal_weight(q, p, z, 1 - len(own) / k)


def _weighted_mean(model: Model, z: Tensor, weight: Tensor, y: Tensor | None) -> Tensor:
    """Return Σ_k w_k E[x|z_k], (B, ...); weights below a thousandth of their mean are left out.

    Levels of mixed columns are voted for with the same weights.
    """
    weight = torch.where(weight * len(weight) > 1e-3, weight, 0.0)
    weight = weight / weight.sum(0)
    of_sample, of_row = weight.nonzero(as_tuple=True)
    total: Tensor | None = None
    px: Distribution | None = None
    for some, rows in zip(of_sample.split(ROWS), of_row.split(ROWS)):
        px = model.decode(z[some, rows], None if y is None else y[rows])
        mean = _expectation(px)
        share = weight[some, rows].view(-1, *[1] * (mean.dim() - 1))
        total = mean.new_zeros(weight.shape[1], *mean.shape[1:]) if total is None else total
        total = total.index_add(0, rows, share * mean)
    assert total is not None and px is not None
    return _decided(px, total)
