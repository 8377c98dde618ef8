"""Disentangled inferred prior: the covariance of the aggregate posterior is pulled towards the identity."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.schedules import Annealed, Schedule
from vaekit.trace import Trace

Kind = Literal["i", "ii"]


def covariance(mean: Tensor) -> Tensor:
    """Return the covariance over the batch of means (B, D): 1/B Σ_b (μ_b - μ̄)(μ_b - μ̄)ᵀ, (D, D).

    >>> covariance(torch.tensor([[1.0, 2.0], [-1.0, -2.0]]))
    tensor([[1., 2.],
            [2., 4.]])
    """
    centred = mean - distributed.mean_rows(mean)
    return distributed.all_sum(centred.mT @ centred) / distributed.total_rows(len(mean))


@OBJECTIVES.register("covariance", reference="Kumar et al. 2018, arXiv:1711.00848, eqs. 5-7")
class Covariance(Term):
    """λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii - 1)², a scalar.

    DIP-VAE-I takes C = Cov_x[μ(x)]; DIP-VAE-II the covariance of the aggregate posterior itself,
    C = Cov_x[μ(x)] + E_x[Cov q(z|x)]. Covariances are over the examples of the batch, never over the latents.
    Source: Kumar, Sattigeri & Balakrishnan 2018, arXiv:1711.00848, eqs. 5-7.
    """

    name = "covariance"

    def __init__(
        self,
        kind: Kind = "ii",
        off_diagonal: Schedule | float | str = 10.0,
        diagonal: Schedule | float | str = 10.0,
        latent: str = "z",
    ) -> None:
        super().__init__(1.0)
        self.kind = kind
        self.off_diagonal = Annealed(off_diagonal)
        self.diagonal = Annealed(diagonal)
        self.latent = latent

    def forward(self, trace: Trace) -> Tensor:
        """Return the penalty."""
        q = trace.latents[self.latent].q
        total = covariance(q.mean.flatten(1))
        if self.kind == "ii":
            within = getattr(q, "covariance", None)
            mean = distributed.mean_rows(q.variance.flatten(1) if within is None else within)
            total = total + (torch.diag(mean) if within is None else mean)
        own = total.diagonal()
        off = total.square().sum() - own.square().sum()
        return self.off_diagonal() * off + self.diagonal() * (own - 1).square().sum()
