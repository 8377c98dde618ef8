"""The discretised logistic: a likelihood of grey levels with two parameters an element."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import logsigmoid
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event
from vaekit.distributions.levels import on_grid

_CHUNK = 1 << 22
# Stands for ∞, where log sigmoid is 0, without the NaN of 0 × ∞ in the gradient.
_FAR = 1e9


class DiscretisedLogisticFamily(Family):
    """A logistic variable rounded to the grid i / (levels - 1), the first and last level taking the tails.

    With a = (x - δ/2 - μ) / s and b = (x + δ/2 - μ) / s the edges of x's bin, δ = 1 / (levels - 1) its width,
    P(x) = sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(-δ/s)), each factor taken in logs, so that no
    difference of nearly equal numbers is formed; at x = 0 the bin reaches down to -∞ and at x = 1 up to ∞
    (Salimans et al. 2017, arXiv:1701.05517). Over the last `event_dims` axes of `loc`; `log_scale` broadcasts.

    >>> d = DiscretisedLogisticFamily(torch.tensor([[0.3]]), torch.tensor([[-2.0]]), 4)
    >>> d.log_prob(torch.linspace(0, 1, 4).view(4, 1, 1)).exp().sum().item()
    1.0...
    """

    measure = "mass"
    has_rsample = False
    domain = constraints.unit_interval

    def __init__(self, loc: Tensor, log_scale: Tensor, levels: int, event_dims: int = 1) -> None:
        self.loc = loc
        self.log_scale = log_scale
        self.levels = levels
        split = loc.dim() - event_dims
        super().__init__(loc.shape[:split], loc.shape[split:])

    def _moments(self) -> tuple[Tensor, Tensor]:
        """E[x] and E[x²], by summing P(x > level) over the levels, some at a time to bound the memory."""
        step = 1 / (self.levels - 1)
        lower = torch.arange(self.levels - 1, dtype=self.loc.dtype, device=self.loc.device)
        inverse = torch.exp(-self.log_scale)
        first, second = torch.zeros_like(self.loc), torch.zeros_like(self.loc)
        for i in lower.split(max(1, _CHUNK // max(1, self.loc.numel()))):
            i = i.view(-1, *[1] * self.loc.dim())
            above = torch.sigmoid((self.loc - (i + 0.5) * step) * inverse)
            first = first + above.sum(0) * step
            second = second + (above * (2 * i + 1)).sum(0) * step * step
        return first, second

    @property
    def mean(self) -> Tensor:
        """E[x_j], exactly: not μ, since the rounded value stays in [0, 1]."""
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        """Var[x_j], exactly."""
        first, second = self._moments()
        return (second - first * first).clamp_min(0)

    @property
    def mode(self) -> Tensor:
        """The likeliest level: the one nearest μ, or an end that gathers a heavy tail."""
        n = self.levels - 1
        best = (self.loc * n).round().clamp(0, n) / n
        score = self.log_prob_elements(best)
        for end in (torch.zeros_like(best), torch.ones_like(best)):
            other = self.log_prob_elements(end)
            best = torch.where(other > score, end, best)
            score = torch.maximum(score, other)
        return best

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw values on the grid: logistic noise, rounded and clipped."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            noise = torch.empty((2, *shape), dtype=self.loc.dtype, device=self.loc.device).exponential_().log()
            x = torch.addcmul(self.loc, noise[0] - noise[1], self.log_scale.exp())
            n = self.levels - 1
            return (x * n).round().clamp(0, n) / n

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass, nats/example."""
        return sum_event(self.log_prob_elements(value), len(self.event_shape))

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-mass of each element, shaped as the broadcast of `value` and `loc`."""
        half = 0.5 / (self.levels - 1)
        inverse = torch.exp(-self.log_scale)
        bottom, top = value < half, value > 1 - half
        above = (torch.where(top, _FAR, value + half) - self.loc) * inverse
        below = (self.loc - torch.where(bottom, -_FAR, value - half)) * inverse
        width = torch.log(-torch.expm1(-2 * half * inverse))
        return torch.where(bottom | top, 0.0, width) + logsigmoid(above) + logsigmoid(below)

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every element of each example is on the grid, within 1e-4 of a step."""
        return on_grid(x, self.levels, len(self.event_shape))
