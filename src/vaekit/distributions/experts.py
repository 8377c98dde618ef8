"""Experts on one latent: products of normals, and mixtures of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family
from vaekit.distributions.normal import DiagonalNormalFamily

NEVER = -1e30
"""The logit of a component that an example does not have."""


class ProductOfExperts(DiagonalNormalFamily):
    """A product of normal experts and N(0, I), which is a normal, and the experts that it is made of.

    `experts` has batch shape (..., V); `taken` (..., V) is 1 for those that the product has, else 0.
    """

    def __init__(self, loc: Tensor, log_scale: Tensor, experts: DiagonalNormalFamily, taken: Tensor) -> None:
        self.experts, self.taken = experts, taken
        super().__init__(loc, log_scale)


def product(loc: Tensor, log_scale: Tensor, taken: Tensor) -> ProductOfExperts:
    """Return N(0, I) times those of V normal experts that are taken, normalised: a normal.

    Precisions add up, Λ = 1 + Σ_v t_v σ_v⁻², μ = Λ⁻¹ Σ_v t_v σ_v⁻² μ_v; of none it is N(0, I).
    loc, log_scale (..., V, D); taken t (..., V), 0 or 1; batch shape (...). Source: Wu & Goodman 2018, §2.1.

    >>> two = product(torch.tensor([[[2.0], [4.0]]]), torch.zeros(1, 2, 1), torch.ones(1, 2))
    >>> two.mean, two.variance
    (tensor([[2.]]), tensor([[0.3333]]))
    """
    precision = taken.unsqueeze(-1) * torch.exp(-2 * log_scale)
    total = 1 + precision.sum(-2)
    each = DiagonalNormalFamily(loc, log_scale)
    return ProductOfExperts((precision * loc).sum(-2) / total, -0.5 * total.log(), each, taken)


class MixtureOfNormals(Family):
    """q(z) = Σ_c π_c N(z; μ_c, diag σ_c²), a mixture for each example: loc, log_scale (B, C, D), logits (B, C).

    log q(z) = logsumexp_c [log π_c + log N(z; μ_c, σ_c²)], nats/example. Samples are reparameterised within their
    component, which is chosen without a gradient: right where the logits depend on no parameter.

    >>> q = MixtureOfNormals(torch.zeros(5, 3, 2), torch.zeros(5, 3, 2), torch.zeros(5, 3))
    >>> q.batch_shape, q.rsample((4,)).shape, q.log_prob(torch.zeros(4, 5, 2)).shape
    (torch.Size([5]), torch.Size([4, 5, 2]), torch.Size([4, 5]))
    """

    def __init__(self, loc: Tensor, log_scale: Tensor, logits: Tensor) -> None:
        self.loc, self.log_scale, self.logits = loc, log_scale, logits
        super().__init__(logits.shape[:-1], loc.shape[-1:])

    @property
    def mean(self) -> Tensor:
        """Σ_c π_c μ_c."""
        return self._average(self.loc)

    @property
    def variance(self) -> Tensor:
        """Σ_c π_c (σ_c² + (μ_c - μ)²)."""
        off = self.loc - self.mean.unsqueeze(-2)
        return self._average((2 * self.log_scale).exp() + off * off)

    def _average(self, values: Tensor) -> Tensor:
        return (self.logits.softmax(-1).unsqueeze(-1) * values).sum(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density, nats/example."""
        each = DiagonalNormalFamily(self.loc, self.log_scale).log_prob(value.unsqueeze(-2))
        return (each + self.logits.log_softmax(-1)).logsumexp(-1)

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw a component, then from it."""
        uniform = torch.rand(torch.Size(sample_shape) + self.batch_shape, device=self.loc.device)
        return self._within(uniform)

    def stratified(self, k: int) -> Tensor:
        """Draw `k` samples (k, B, D), each distributed as q, that share the components out as evenly as their weights.

        Uniform numbers (i + u) / k, with one u for all k of an example and in random order, choose the components, so
        that means over the k samples stay unbiased and vary less.
        """
        first = torch.rand(self.batch_shape, device=self.loc.device)
        place = torch.rand((k, *self.batch_shape), device=self.loc.device).argsort(0)
        return self._within((place + first) / k)

    def _within(self, uniform: Tensor) -> Tensor:
        """Draw from the components that uniform numbers (..., B) on [0, 1) choose."""
        upto = self.logits.detach().softmax(-1).cumsum(-1)
        chosen = (uniform.unsqueeze(-1) >= upto[..., :-1]).sum(-1)
        index = chosen[..., None, None].expand(*chosen.shape, 1, self.loc.shape[-1])
        lead = chosen.shape[: chosen.dim() - len(self.batch_shape)]
        loc, log_scale = (part.expand(*lead, *part.shape).gather(-2, index) for part in (self.loc, self.log_scale))
        return DiagonalNormalFamily(loc.squeeze(-2), log_scale.squeeze(-2)).rsample()

    def tempered(self, temperature: float) -> MixtureOfNormals:
        """Return the mixture with every component's deviations multiplied by `temperature`; the centres stay."""
        return MixtureOfNormals(self.loc, self.log_scale + math.log(temperature), self.logits)
