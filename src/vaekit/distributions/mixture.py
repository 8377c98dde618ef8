"""Mixtures of any family: log-density by logsumexp, samples, and which component a value belongs to."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, measure_of, tempered
from vaekit.distributions.normal import LOG_2PI, DiagonalNormalFamily


class Mixture(Family):
    """Σ_c π_c p_c(x): `components` is one distribution of batch shape (C,), `logits` (C,) gives log π up to a constant.

    It has no batch shape itself. log p(x) = logsumexp_c [log π_c + log p_c(x)], nats.

    >>> two = DiagonalNormalFamily(torch.tensor([[-3.0], [3.0]]), torch.zeros(2, 1))
    >>> d = Mixture(two, torch.zeros(2))
    >>> d.responsibilities(torch.tensor([[2.9]])).round(decimals=3)
    tensor([[0., 1.]])
    """

    has_rsample = False

    def __init__(self, components: Distribution, logits: Tensor, shares_posterior: bool = False) -> None:
        self.components = components
        self.logits = logits
        self.shares_posterior = shares_posterior
        self.measure = measure_of(components)
        super().__init__(SCALAR, components.event_shape)

    @property
    def support(self) -> constraints.Constraint:
        """The components' support."""
        support = self.components.support
        return constraints.real_vector if support is None else support

    @property
    def mean(self) -> Tensor:
        """Σ_c π_c μ_c."""
        return self._average(self.components.mean)

    @property
    def variance(self) -> Tensor:
        """Σ_c π_c (σ_c² + μ_c²) - μ², elementwise."""
        mean = self.components.mean
        off = mean - self._average(mean)
        return self._average(self.components.variance + off * off)

    def _average(self, values: Tensor) -> Tensor:
        return torch.tensordot(self.logits.softmax(0), values, 1)

    def component_log_prob(self, value: Tensor) -> Tensor:
        """Return log π_c + log p_c(x) for x (..., *event): (..., C)."""
        dims = len(self.event_shape)
        c = self.components
        if type(c) is DiagonalNormalFamily:
            each = _normal_table(c, value.flatten(-dims))
        else:
            each = c.log_prob(value.unsqueeze(value.dim() - dims))
        return each + self.logits.log_softmax(0)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density, nats/example."""
        return self.component_log_prob(value).logsumexp(-1)

    def responsibilities(self, value: Tensor) -> Tensor:
        """Return p(c|x), (..., C)."""
        return self.component_log_prob(value).softmax(-1)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw a component, then from it."""
        with torch.no_grad():
            shape = torch.Size(sample_shape)
            chosen = torch.multinomial(self.logits.softmax(0), max(shape.numel(), 1), replacement=True)
            c = self.components
            if type(c) is DiagonalNormalFamily:
                picked = DiagonalNormalFamily(
                    c.loc[chosen], c.log_scale.expand_as(c.loc)[chosen], len(self.event_shape)
                )
                return picked.sample().view(*shape, *self.event_shape)
            every = c.sample(torch.Size((len(chosen),)))
            return every[torch.arange(len(chosen)), chosen].view(*shape, *self.event_shape)

    def tempered(self, temperature: float) -> Mixture:
        """Return the mixture with every component's spread multiplied by `temperature`; the centres stay."""
        return Mixture(tempered(self.components, temperature), self.logits, self.shares_posterior)

    def in_support(self, x: Tensor) -> Tensor:
        """Whether the components can give it."""
        dims = len(self.event_shape)
        c = self.components
        if isinstance(c, Family):
            return c.in_support(x)
        return torch.isfinite(x).flatten(-dims).all(-1)


def _normal_table(c: DiagonalNormalFamily, x: Tensor) -> Tensor:
    """log N(x; μ_c, σ_c²) for every c: (..., D) → (..., C), as one matrix product.

    ‖(x - μ)/σ‖² is multiplied out, which cancels: in float64, where there is one, nothing of it is seen.
    """
    wide = torch.float32 if x.device.type == "mps" else torch.float64
    log_scale = c.log_scale.expand_as(c.loc).flatten(1)
    loc, precision, rows = c.loc.flatten(1).to(wide), torch.exp(-2 * log_scale.to(wide)), x.to(wide)
    constant = (loc * loc * precision + LOG_2PI).sum(1) + 2 * log_scale.to(wide).sum(1)
    square = torch.cat([rows * rows, rows], -1) @ torch.cat([precision, -2 * loc * precision], 1).T
    return (-0.5 * (square + constant)).to(x.dtype)
