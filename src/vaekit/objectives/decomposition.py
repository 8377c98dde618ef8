"""The KL of the aggregate posterior in three parts, estimated within a batch: the terms of β-TCVAE.

With N training examples n of equal mass and q(z) = 1/N Σ_n q(z|x_n),

    E_x KL(q(z|x) ‖ p(z)) = I_q(n; z) + KL(q(z) ‖ Π_d q(z_d)) + Σ_d KL(q(z_d) ‖ p(z_d)):

index-code mutual information, total correlation, dimension-wise KL. Source: Chen et al. 2018, arXiv:1802.04942.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.schedules import Schedule
from vaekit.trace import Trace

Estimator = Literal["mws", "mss"]


def log_weights(batch: int, n: int, estimator: Estimator = "mss", *, like: Tensor | None = None) -> Tensor:
    """Return log W, (B, B): q(z_i) is estimated by Σ_j W_ij q(z_i|x_j), x_i being the example that z_i came from.

    "mws" (minibatch-weighted): W = 1 / (N B). It is biased; every row sums to 1/N.
    "mss" (minibatch-stratified): 1/N for the example itself and (N - 1) / (N (B - 1)) for each other. It is unbiased
    for q(z_i), every row sums to 1, and a batch of all N examples gives the exact mixture. Chen et al. give one of the
    others a weight of its own; this is the mean of their estimator over which one that is.

    >>> log_weights(4, 1000, "mss").exp().sum(1)
    tensor([1.0000, 1.0000, 1.0000, 1.0000])
    """
    dtype, device = (None, None) if like is None else (like.dtype, like.device)
    if estimator == "mws":
        return torch.full((batch, batch), -math.log(n * batch), dtype=dtype, device=device)
    if batch == 1:
        return torch.zeros(1, 1, dtype=dtype, device=device)
    n = max(n, batch)
    out = torch.full((batch, batch), math.log((n - 1) / (n * (batch - 1))), dtype=dtype, device=device)
    return out.fill_diagonal_(-math.log(n))


@dataclass(frozen=True)
class Parts:
    """The three parts of the KL, each (B,) nats; their sum is log q(z|x) - log p(z) at the samples."""

    mutual_information: Tensor
    total_correlation: Tensor
    dimension_kl: Tensor


def decompose(q: Any, p: Any, z: Tensor, n: int, estimator: Estimator = "mss") -> Parts:
    """Split the KL at z (B, D), one sample of each of the B posteriors in `q`, for a data set of `n` examples.

    q and p must factorise: they offer `log_prob_elements`. Memory is B² D. Returns (B,) nats for each part.

    >>> from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
    >>> q, p = DiagonalNormalFamily(torch.zeros(3, 2), torch.zeros(3, 2)), StandardNormalFamily(torch.zeros(2))
    >>> parts = decompose(q, p, q.rsample(), n=3)
    >>> bool(parts.total_correlation.abs().max() < 1e-6)  # all posteriors alike: no dependence
    True
    """
    # Where processes share the batch, each scores every code under its own posteriors: the sums over j are then joined.
    every = distributed.gather(z)
    each = q.log_prob_elements(every.unsqueeze(1))  # (B, B, D): log q(z_id | x_j)
    weights = distributed.take(log_weights(len(every), n, estimator, like=z).mT).mT
    joint = torch.logsumexp(each.sum(-1) + weights, 1)
    single = torch.logsumexp(each + weights.unsqueeze(-1), 1)
    joined = distributed.take(distributed.logsumexp(torch.cat([joint.unsqueeze(1), single], 1)))
    log_q_z, log_product = joined[:, 0], joined[:, 1:].sum(-1)
    own = distributed.take(each).diagonal().sum(0)  # the diagonal of (B, B, D) is (D, B)
    log_p = p.log_prob_elements(z).sum(-1)
    return Parts(own - log_q_z, log_q_z - log_product, log_product - log_p)


class Decomposition:
    """The parts of a trace's KL, computed once for the three terms that read them."""

    def __init__(self, n: int, estimator: Estimator = "mss", latent: str = "z") -> None:
        self.n, self.latent = n, latent
        self.estimator: Estimator = estimator
        self._of: weakref.ref[Trace] | None = None
        self._parts: Parts | None = None

    def __call__(self, trace: Trace) -> Parts:
        """Return the parts at the first posterior sample of each example."""
        if self._parts is None or self._of is None or self._of() is not trace:
            latent = trace.latents[self.latent]
            self._parts = decompose(latent.q, latent.p, latent.code[0], self.n, self.estimator)
            self._of = weakref.ref(trace)
        return self._parts


class _Part(Term):
    """A term that is the field of `Parts` with its name."""

    def __init__(self, parts: Decomposition, weight: Schedule | float | str = 1.0) -> None:
        super().__init__(weight)
        self.parts = parts

    def forward(self, trace: Trace) -> Tensor:
        """Return the part of this term's name."""
        return getattr(self.parts(trace), self.name)


@OBJECTIVES.register("mutual-information", reference="Chen et al. 2018, arXiv:1802.04942")
class MutualInformation(_Part):
    """I_q(n; z) = E[log q(z|x) - log q(z)], (B,) nats: what a code tells about which example it came from."""

    name = "mutual_information"


@OBJECTIVES.register("total-correlation", reference="Chen et al. 2018, arXiv:1802.04942")
class TotalCorrelation(_Part):
    """TC = E[log q(z) - Σ_d log q(z_d)], (B,) nats: how far the aggregate posterior is from independent dimensions."""

    name = "total_correlation"


@OBJECTIVES.register("dimension-kl", reference="Chen et al. 2018, arXiv:1802.04942")
class DimensionKL(_Part):
    """Σ_d KL(q(z_d) ‖ p(z_d)) = E[Σ_d log q(z_d) - log p(z_d)], (B,) nats: how far each marginal is from its prior."""

    name = "dimension_kl"


def decomposed_kl(
    n: int,
    alpha: Schedule | float | str = 1.0,
    beta: Schedule | float | str = 1.0,
    gamma: Schedule | float | str = 1.0,
    estimator: Estimator = "mss",
) -> tuple[Term, Term, Term]:
    """Return the terms α I_q(n; z) + β TC + γ Σ_d KL(q(z_d) ‖ p(z_d)) for a data set of `n` training examples.

    >>> [term.name for term in decomposed_kl(1000, beta=6.0)]
    ['mutual_information', 'total_correlation', 'dimension_kl']
    """
    parts = Decomposition(n, estimator)
    return MutualInformation(parts, alpha), TotalCorrelation(parts, beta), DimensionKL(parts, gamma)
