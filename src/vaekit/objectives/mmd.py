"""Maximum mean discrepancy between the aggregate posterior and the prior: WAE-MMD and InfoVAE.

Source: Gretton et al. 2012, JMLR 13, lemma 6 (the unbiased estimator); Tolstikhin et al. 2018, arXiv:1711.01558.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.schedules import Schedule
from vaekit.trace import Trace

Kernel = Literal["rbf", "imq"]
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Multiples of the bandwidth whose kernels are averaged (Tolstikhin et al. sum the same seven)."""


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances (A, B) between the rows of a and b, never negative."""
    return (a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.mT).clamp(min=0)


def kernel_mean(squared: Tensor, kind: Kernel, bandwidth: float, scales: Sequence[float] = SCALES) -> Tensor:
    """Return k at squared distances, the mean over `scales` s, so that k(z, z) = 1.

    "imq": C / (C + d²) with C = s · bandwidth; "rbf": exp(-d² / C). The bandwidth in use is 2 D, the mean squared
    distance of two draws from a standard normal in D dimensions, which makes half of every kernel's fall lie where
    the prior's own distances do.

    >>> kernel_mean(torch.tensor([0.0, 4.0]), "imq", bandwidth=4.0, scales=(1.0,))
    tensor([1.0000, 0.5000])
    """
    total = torch.zeros_like(squared)
    for s in scales:
        c = s * bandwidth
        total = total + (c / (c + squared) if kind == "imq" else torch.exp(-squared / c))
    return total / len(scales)


def mmd(a: Tensor, b: Tensor, kind: Kernel = "imq", bandwidth: float | None = None) -> Tensor:
    """Estimate MMD²(P, Q) = E k(a, a') + E k(b, b') - 2 E k(a, b) from samples a (A, D) and b (B, D); a scalar.

    The U-statistic: the sums over pairs leave out a row paired with itself and are divided by A(A - 1) and B(B - 1),
    once. It is unbiased, so its mean is 0 for equal distributions and does not depend on A or B; it can be negative.
    Fewer than two rows have no pair: 0.

    >>> rows = torch.tensor([[0.0], [1.0]])
    >>> bool(mmd(rows, rows + 5.0) > 0.4)
    True
    """
    if min(len(a), len(b)) < 2:
        return a.sum() * 0.0
    bandwidth = 2.0 * a.shape[1] if bandwidth is None else bandwidth
    return (
        _pairs(a, kind, bandwidth)
        + _pairs(b, kind, bandwidth)
        - 2 * kernel_mean(_distances(a, b), kind, bandwidth).mean()
    )


def _pairs(a: Tensor, kind: Kernel, bandwidth: float) -> Tensor:
    values = kernel_mean(_distances(a, a), kind, bandwidth)
    return (values.sum() - values.diagonal().sum()) / (len(a) * (len(a) - 1))


def prior_sample(trace: Trace, latent: str = "z") -> Tensor:
    """Draw as many codes from the prior as the trace has examples, (B, ...)."""
    p, n = trace.latents[latent].p, trace.latents[latent].code.shape[1]
    with torch.no_grad():
        return p.sample() if p.batch_shape else p.sample(torch.Size((n,)))


@OBJECTIVES.register("mmd", reference="Gretton et al. 2012, JMLR 13; Tolstikhin et al. 2018, arXiv:1711.01558")
class MMD(Term):
    """MMD²(q(z), p(z)) between one posterior sample of each example and as many prior draws; a scalar.

    Unbiased, whatever the batch size. The kernel is averaged over seven scales around 2 D (see `kernel_mean`).
    """

    name = "mmd"

    def __init__(self, weight: Schedule | float | str = 1.0, kernel: Kernel = "imq", latent: str = "z") -> None:
        super().__init__(weight)
        self.kernel: Kernel = kernel
        self.latent = latent

    def forward(self, trace: Trace) -> Tensor:
        """Return the unbiased estimate."""
        z = trace.latents[self.latent].code[0]
        z, real = distributed.gather(z.flatten(1)), distributed.gather(prior_sample(trace, self.latent).flatten(1))
        return mmd(z, real, self.kernel)
