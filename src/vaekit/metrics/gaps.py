"""Why the ELBO lies below log p(x): the approximation gap of the family, and the amortisation gap of the encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit import bounds
from vaekit.devices import seeded
from vaekit.distributions.normal import DiagonalNormalFamily, FullNormalFamily
from vaekit.inference import Progress
from vaekit.metrics import ais
from vaekit.metrics.base import Result, Subject, mean_of, metric, refuses
from vaekit.metrics.likelihood import NATS, shape_facts
from vaekit.models.base import Model

Family = Literal["diagonal", "full"]
FAMILIES: tuple[Family, Family] = ("diagonal", "full")
LR = 0.03
ROUNDS, CONVERGED = 40, 0.01
"""Rounds of ascent at most, and the rise in nats of the mean ELBO over one below which there are no more."""
ROWS = 1024
"""Decoder rows at once: samples times examples."""


@dataclass(frozen=True)
class Local:
    """Each example's own best q: its ELBO (B,) with the noise of its samples (B,) on the CPU, and q itself.

    `steps` were taken, and `left` is the mean rise of the ELBO in the last round of them, in nats: what another round
    might still add.
    """

    elbo: Tensor
    noise: Tensor
    q: DiagonalNormalFamily | FullNormalFamily
    steps: int
    left: float


def fit_posteriors(
    model: Model,
    x: Tensor,
    y: Tensor | None = None,
    *,
    family: Family = "diagonal",
    steps: int = 500,
    samples: int = 16,
    scoring: int = 1000,
    progress: Progress | None = None,
) -> Local:
    """Maximise each example's ELBO over its own normal q(z), diagonal or of full covariance, from the encoder's mean.

    argmax_q E_q[log p(x, z) - log q(z)], by Adam on reparameterised samples, in rounds of `steps` with a falling rate
    until a round adds less than 0.01 nats to the mean ELBO, at most 40; the ELBO is then estimated on `scoring` fresh
    samples. The model's weights do not change. Call it in eval mode, x and y on the model's device.

    Source: Cremer, Li & Duvenaud 2018, arXiv:1801.03558, §4.
    """
    with torch.no_grad():
        q = model.encode(x, y)
        loc = q.mean.clone().flatten(1)
        spread = q.variance.clamp(min=1e-8).log().div(2).flatten(1) if hasattr(q, "variance") else torch.zeros_like(loc)
    lower = torch.zeros(*loc.shape, loc.shape[1], dtype=loc.dtype, device=loc.device)
    free = [loc, spread, lower] if family == "full" else [loc, spread]
    for value in free:
        value.requires_grad_(True)

    def current() -> DiagonalNormalFamily | FullNormalFamily:
        if family == "diagonal":
            return DiagonalNormalFamily(loc, spread)
        return FullNormalFamily(loc, spread, lower * spread.exp().unsqueeze(-1))

    def score() -> float:
        with seeded(0, x.device):  # the same noise each time, so that differences are of q
            return float(_elbo_samples(model, x, y, current(), 200).mean())

    before, left, turn = score(), math.inf, 0
    while turn < ROUNDS and left >= CONVERGED:
        optimiser = torch.optim.Adam(free)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = LR * min(1.0, 2 * (1 - step / steps)) + 1e-5
            with torch.enable_grad():
                q = current()
                loss = -(model.log_joint(x, q.rsample((samples,)), y).mean(0) + q.entropy()).sum()
                gradients = torch.autograd.grad(loss, free)
            for value, gradient in zip(free, gradients):
                value.grad = gradient
            optimiser.step()
            if progress is not None:
                progress(turn * steps + step + 1, ROUNDS * steps)
        now, turn = score(), turn + 1
        before, left = now, now - before
    if progress is not None:
        progress(ROUNDS * steps, ROUNDS * steps)
    for value in free:
        value.requires_grad_(False)
    values = _elbo_samples(model, x, y, current(), scoring)
    noise = values.std(0).cpu() / math.sqrt(scoring)
    return Local(values.mean(0).cpu(), noise, current(), turn * steps, left)


@torch.no_grad()
def _elbo_samples(model: Model, x: Tensor, y: Tensor | None, q: Distribution, samples: int) -> Tensor:
    """Return log p(x, z) - log q(z) at samples of q: (S, B)."""
    step = max(1, ROWS // len(x))
    parts = []
    for start in range(0, samples, step):
        z = q.sample((min(step, samples - start),))
        parts.append(model.log_joint(x, z, y) - q.log_prob(z))
    return torch.cat(parts)


MEANINGS: dict[str, tuple[str, bool | None]] = {
    "approximation_gap": ("log p(x) minus the best ELBO a diagonal normal q could have, example by example", False),
    "approximation_gap_full": ("the same for a normal q of full covariance", False),
    "amortisation_gap": ("ELBO of each example's own best diagonal normal q minus that of the encoder's", False),
}


@metric("gaps", group="gaps", gives=MEANINGS, reference="Cremer, Li & Duvenaud 2018, arXiv:1801.03558", slow=True)
@refuses(*MEANINGS, unit=NATS)
def gaps(subject: Subject) -> dict[str, Result]:
    """Approximation and amortisation gaps on `gaps_limit` (50) examples, q optimised for each."""
    x, y = subject.some(int(subject.options.get("gaps_limit", 50)))
    model = subject.model
    ais.require(model, x, y)
    steps = int(subject.options.get("gaps_steps", 500))
    diagonal, full = (
        fit_posteriors(model, x, y, family=family, steps=steps, progress=subject.progress_of(f"gaps: {family}"))
        for family in FAMILIES
    )
    # the better of two lower bounds on log p(x): importance weights from the optimised q, and annealing
    log_w = _elbo_samples(model, x, y, full.q, 5000)
    log_px, shape = bounds.log_mean_exp(log_w).cpu(), bounds.tail_shape(log_w)
    source, how = "importance-weighted from the optimised q, K=5000", ais.settings(subject)
    annealed = ais.annealed_importance(model, x, y, how, progress=subject.progress_of("gaps: ais"))
    if annealed.values.mean() > log_px.mean():
        log_px, shape = annealed.values, annealed.pareto_k
        source = f"ais, {how.steps} steps, {how.chains} chains"
    k = max(1, ROWS // len(x))
    encoder = torch.stack([bounds.elbo(model.trace(x, y, k=k, hard=True)) for _ in range(-(-1000 // k))]).mean(0)
    gap = {
        "approximation_gap": log_px - diagonal.elbo,
        "approximation_gap_full": log_px - full.elbo,
        "amortisation_gap": diagonal.elbo - encoder.cpu(),
    }
    facts: dict[str, Any] = {"log_px": source, **shape_facts(shape)}
    facts |= {"steps": max(full.steps, diagonal.steps), "rose_last": max(full.left, diagonal.left)}
    if facts["rose_last"] >= CONVERGED:
        facts["not_converged"] = f"the ELBO of each example's own q still rises after {facts['steps']} steps"
    return {name: mean_of(values, NATS, **facts) for name, values in gap.items()}
