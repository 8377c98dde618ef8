"""Rows of cells of which only some are observed: those of a series, with its gaps and its end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, Measure, measure_of, sum_event


class ObservedCells(Family):
    """A product over cells, of which those that are not finite have no factor: NaN is missing, inf lies past the end.

    log p(x | T) = Σ over observed (c, t) of log f((x_ct - m_c) / s_c) - log s_c, nats/example given the length T: cells
    are stored standardised, and `log_unit` (C, 1) are the log s_c. `base` is a family over (C, T) that is independent
    from cell to cell. The marginal of a product is the product of the marginals, so this is p(x_observed) itself.
    `lengths` (n,) and `shares` (n,) say how often examples have which length; `ended` draws from them.

    >>> from vaekit.distributions.normal import DiagonalNormalFamily
    >>> base = DiagonalNormalFamily(torch.zeros(1, 1, 3), torch.zeros(1, 1, 3), 2)
    >>> ObservedCells(base, torch.zeros(1, 1)).log_prob(torch.tensor([[[0.0, torch.nan, torch.inf]]])).item()
    -0.9189...
    """

    has_rsample = False
    domain = constraints.dependent  # pyright: ignore[reportAssignmentType]

    def __init__(
        self, base: Family, log_unit: Tensor, lengths: Tensor | None = None, shares: Tensor | None = None
    ) -> None:
        self.base = base
        self.log_unit = log_unit
        self.lengths, self.shares = lengths, shares
        super().__init__(base.batch_shape, base.event_shape)

    @property
    def measure(self) -> Measure:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The base's."""
        return measure_of(self.base)

    @property
    def mean(self) -> Tensor:
        """The mean of every cell, as stored."""
        return self.base.mean

    @property
    def variance(self) -> Tensor:
        """The variance of every cell, as stored."""
        return self.base.variance

    @property
    def mode(self) -> Tensor:
        """The mode of every cell, as stored."""
        return self.base.mode

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw every cell; `ended` says where an example stops."""
        with torch.no_grad():
            return self.base.sample(torch.Size(sample_shape))

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-density of each cell in its own units; 0 where it is not observed."""
        seen = torch.isfinite(value)
        base: Any = self.base
        each = base.log_prob_elements(torch.where(seen, value, 0.0)) - self.log_unit
        return torch.where(seen, each, 0.0)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of the observed cells in their own units, nats/example given its length."""
        return sum_event(self.log_prob_elements(value), len(self.event_shape))

    def in_support(self, x: Tensor) -> Tensor:
        """Whether the family can give every observed cell."""
        return self.base.in_support(torch.where(torch.isfinite(x), x, 0.0))

    def ended(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        """Return values (..., C, T) with inf after the end of each: that of `like`, or of a length drawn at random."""
        if like is not None:
            return torch.where(torch.isinf(like).all(-2, keepdim=True), torch.inf, x)
        if self.lengths is None or self.shares is None or len(self.lengths) == 1:
            return x
        drawn = torch.multinomial(self.shares, x.shape[:-2].numel(), replacement=True)
        lengths = self.lengths[drawn].view(*x.shape[:-2], 1, 1)
        return torch.where(torch.arange(x.shape[-1], device=x.device) < lengths, x, torch.inf)
