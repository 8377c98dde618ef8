"""Counts 0, 1, 2, …: Poisson and negative binomial, on log means."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Gamma, constraints
from torch.nn.functional import softplus
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event

_FAR = 10.0


def is_count(x: Tensor, dims: int) -> Tensor:
    """Return, for each example, whether all its elements are whole and not negative.

    >>> is_count(torch.tensor([[0.0, 3.0], [0.5, 1.0], [-1.0, 1.0]]), 1)
    tensor([ True, False, False])
    """
    return sum_event((~((x >= 0) & (x == x.round()) & torch.isfinite(x))).to(torch.float32), dims) == 0


def log_rising(r: Tensor, x: Tensor) -> Tensor:
    """Return log Γ(r + x) - log Γ(r) for x ≥ 0, by Stirling's series from r = 10 on, where the difference cancels.

    >>> log_rising(torch.tensor([2.0, 1e6]), torch.tensor([3.0, 1.0]))
    tensor([ 3.1781, 13.8155])
    """
    far = r >= _FAR
    near, large = torch.where(far, 1.0, r), torch.where(far, r, _FAR)
    top = large + x
    series = (large - 0.5) * torch.log1p(x / large) + x * (torch.log(top) - 1) + _stirling(top) - _stirling(large)
    return torch.where(far, series, torch.lgamma(near + x) - torch.lgamma(near))


def _stirling(z: Tensor) -> Tensor:
    """log Γ(z) - [(z - ½) log z - z + ½ log 2π] = 1/(12z) - 1/(360z³) + 1/(1260z⁵) - 1/(1680z⁷) + …"""
    r = 1 / z
    s = r * r
    return r * (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s / 1680)))


class PoissonFamily(Family):
    """Independent counts with rates exp(log_rate), over the last `event_dims` axes.

    log p(x) = Σ_j x_j η_j - exp η_j - log x_j!, nats/example.

    >>> PoissonFamily(torch.zeros(1, 3)).log_prob(torch.ones(1, 3)).item()
    -3.0
    """

    measure = "mass"
    has_rsample = False
    domain = constraints.nonnegative_integer

    def __init__(self, log_rate: Tensor, event_dims: int = 1) -> None:
        self.log_rate = log_rate
        split = log_rate.dim() - event_dims
        super().__init__(log_rate.shape[:split], log_rate.shape[split:])

    @property
    def mean(self) -> Tensor:
        """The rate."""
        return self.log_rate.exp()

    @property
    def mode(self) -> Tensor:
        """The whole part of the rate."""
        return self.mean.floor()

    @property
    def variance(self) -> Tensor:
        """The rate."""
        return self.log_rate.exp()

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw counts, as floats."""
        with torch.no_grad():
            return torch.poisson(self.mean.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass, nats/example."""
        return sum_event(self.log_prob_elements(value), len(self.event_shape))

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-mass of each count, shaped as the rates."""
        return value * self.log_rate - self.log_rate.exp() - torch.lgamma(value + 1)

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every element of each example is a whole number from 0 on."""
        return is_count(x, len(self.event_shape))


class NegativeBinomialFamily(Family):
    """Independent counts with mean m = exp(log_mean) and variance m + α m², α = exp(log_dispersion).

    With r = 1/α, log p(x) = Σ_j log Γ(x_j + r) - log Γ(r) - log x_j! + r log(r / (r + m)) + x_j log(m / (r + m)),
    nats/example: scipy's nbinom(n=r, p=r / (r + m)). α → 0 is the Poisson. `log_dispersion` broadcasts.

    >>> NegativeBinomialFamily(torch.zeros(1, 1), torch.zeros(())).log_prob(torch.zeros(1, 1)).item()
    -0.6931...
    """

    measure = "mass"
    has_rsample = False
    domain = constraints.nonnegative_integer

    def __init__(self, log_mean: Tensor, log_dispersion: Tensor, event_dims: int = 1) -> None:
        self.log_mean = log_mean
        self.log_dispersion = log_dispersion
        split = log_mean.dim() - event_dims
        super().__init__(log_mean.shape[:split], log_mean.shape[split:])

    @property
    def mean(self) -> Tensor:
        """The mean m."""
        return self.log_mean.exp()

    @property
    def mode(self) -> Tensor:
        """The whole part of m (1 - α) where α < 1, else 0."""
        return (self.mean * (1 - self.log_dispersion.exp())).clamp_min(0).floor()

    @property
    def variance(self) -> Tensor:
        """m + α m²."""
        return self.mean + torch.exp(2 * self.log_mean + self.log_dispersion)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw counts, as floats: Poisson with a rate from Gamma(r, r / m)."""
        with torch.no_grad():
            count = torch.exp(-self.log_dispersion).expand_as(self.log_mean)
            gamma = Gamma(count, torch.ones_like(count), validate_args=False).sample(torch.Size(sample_shape))
            return torch.poisson(gamma * torch.exp(self.log_mean + self.log_dispersion))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass, nats/example."""
        return sum_event(self.log_prob_elements(value), len(self.event_shape))

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-mass of each count, shaped as the means."""
        odds = self.log_mean + self.log_dispersion
        count = torch.exp(-self.log_dispersion)
        ways = log_rising(count, value) - torch.lgamma(value + 1)
        return ways - count * softplus(odds) - value * softplus(-odds)

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every element of each example is a whole number from 0 on."""
        return is_count(x, len(self.event_shape))
