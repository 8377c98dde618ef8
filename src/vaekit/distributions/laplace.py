"""Laplace: the absolute-error likelihood, with its constant and a scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event
from vaekit.distributions.kl import register_kl

LOG_2 = math.log(2)


class LaplaceFamily(Family):
    """Laplace(loc, exp log_scale) over the last `event_dims` axes of `loc`; `log_scale` broadcasts.

    log p(x) = -Σ_j [|x_j - μ_j| / b_j + log b_j + log 2], nats/example.

    >>> LaplaceFamily(torch.zeros(3, 2), torch.zeros(())).log_prob(torch.zeros(3, 2))[0].item()
    -1.3862...
    """

    has_unit = True

    def __init__(self, loc: Tensor, log_scale: Tensor, event_dims: int = 1) -> None:
        self.loc = loc
        self.log_scale = log_scale
        split = loc.dim() - event_dims
        super().__init__(loc.shape[:split], loc.shape[split:])

    @property
    def mean(self) -> Tensor:
        """The mean μ, also the median."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The mode, which is the mean."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance 2 b²."""
        return (2 * torch.exp(2 * self.log_scale)).expand_as(self.loc)

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw μ + b (e₁ - e₂) with e₁, e₂ standard exponential."""
        shape = self._extended_shape(sample_shape)
        noise = torch.empty((2, *shape), dtype=self.loc.dtype, device=self.loc.device).exponential_()
        return torch.addcmul(self.loc, noise[0] - noise[1], self.log_scale.exp())

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density, nats/example."""
        total = sum_event(self._elements(value), len(self.event_shape))
        return total if self.unit is None else total - self.unit.total

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-density of each element, shaped as `value`."""
        each = self._elements(value)
        return each if self.unit is None else each - self.unit.elements

    def _elements(self, value: Tensor) -> Tensor:
        return -(value - self.loc).abs() * torch.exp(-self.log_scale) - (self.log_scale + LOG_2)

    def entropy(self) -> Tensor:
        """Return Σ_j 1 + log 2 b_j, nats/example."""
        return sum_event((1 + LOG_2 + self.log_scale).expand_as(self.loc), len(self.event_shape))


@register_kl(LaplaceFamily, LaplaceFamily, elements=True)
def _laplace_laplace(q: LaplaceFamily, p: LaplaceFamily) -> Tensor:
    """log(b_p / b_q) + (b_q exp(-|Δ| / b_q) + |Δ|) / b_p - 1 for each element, with Δ = μ_q - μ_p; never negative."""
    ratio = q.log_scale - p.log_scale
    off = (q.loc - p.loc).abs() * torch.exp(-q.log_scale)
    return torch.expm1(ratio) - ratio + torch.exp(ratio) * (off + torch.expm1(-off))
