"""The thermodynamic variational objective: log p(x) as an integral from the ELBO upwards, summed from below."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit import bounds
from vaekit.errors import UserError
from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.objectives.importance import require_weights
from vaekit.objectives.samples import held, log_joint, log_posterior, require_scores, with_gradient
from vaekit.schedules import Schedule
from vaekit.trace import Trace


def partition(points: int, first: float) -> Tensor:
    """Return 0 and `points` values from `first` to 1, equal ratios apart; one point is 0 and 1, the ELBO.

    >>> [round(beta, 3) for beta in partition(3, 0.01).tolist()]
    [0.0, 0.01, 0.1, 1.0]
    """
    if not (points > 0 and 0 < first < 1):
        raise UserError(
            f"{points} points from {first:g} on are no partition of 0 to 1: give 1 or more, and 0 < first < 1"
        )
    ladder = torch.logspace(0, 1, points, base=1 / first) * first if points > 1 else torch.ones(1)
    return torch.cat([torch.zeros(1), ladder[:-1], torch.ones(1)])


@OBJECTIVES.register("thermodynamic", reference="Masrani et al. 2019, arXiv:1907.00031")
class Thermodynamic(Term):
    """-Σ_i (β_{i+1} - β_i) E_β_i[log w], (B,) nats: the lower Riemann sum of `bounds.thermodynamic`.

    Its gradient takes no path through samples, E_β[∇ log w] + Cov_β(log w, ∇ log q^(1-β) p^β), so latents may be
    discrete. Expectations and covariances are of the K samples, self-normalised: their bias vanishes as 1/K.
    Source: Masrani et al. 2019, arXiv:1907.00031.
    """

    name = "thermodynamic"
    betas: Tensor

    def __init__(self, points: int = 5, first: float = 0.05, k: int = 16, weight: Schedule | float | str = 1.0) -> None:
        super().__init__(weight)
        self.k = k
        self.register_buffer("betas", partition(points, first), persistent=False)

    def forward(self, trace: Trace) -> Tensor:
        """Return the negative bound."""
        require_weights(trace)
        require_scores(trace)
        lower, _ = bounds.thermodynamic(trace, self.betas)
        log_p, log_q, log_w = log_joint(trace), log_posterior(trace), trace.log_w.detach()
        total = torch.zeros_like(log_w)
        for beta, step in zip(self.betas, self.betas.diff()):
            weights = (beta * log_w).softmax(0)
            off = log_w - (weights * log_w).sum(0)
            spread = (1 - weights.square().sum(0)).clamp(min=1e-3)  # a covariance of K samples, without their own bias
            path = (log_p - log_q) + off / spread * ((1 - beta) * log_q + beta * log_p)
            total = total + step * weights * path
        return -with_gradient(lower, held(total, trace).sum(0))
