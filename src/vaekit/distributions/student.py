"""Student's t: a likelihood that outliers do not dominate."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Gamma
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event

LOG_PI = math.log(math.pi)
_FAR = 10.0


def log_gamma_half_step(a: Tensor) -> Tensor:
    """Return log Γ(a + ½) - log Γ(a), without the cancellation of two large terms where a is large.

    From a = 10 on by the series ½ log a - 1/(8a) + 1/(192a³) - 1/(640a⁵) + 17/(14336a⁷), right to 1e-11.

    >>> log_gamma_half_step(torch.tensor([0.5, 1e6]))
    tensor([-0.5724,  6.9078])
    """
    far = a >= _FAR
    near, large = torch.where(far, 1.0, a), torch.where(far, a, _FAR)
    r = 1 / large
    s = r * r
    series = 0.5 * torch.log(large) - r * (1 / 8 - s * (1 / 192 - s * (1 / 640 - s * (17 / 14336))))
    return torch.where(far, series, torch.lgamma(near + 0.5) - torch.lgamma(near))


class StudentTFamily(Family):
    """Student's t with location, scale and degrees of freedom, over the last `event_dims` axes of `loc`.

    log p(x) = Σ_j log Γ((ν+1)/2) - log Γ(ν/2) - ½ log(νπ) - log σ_j - ((ν+1)/2) log(1 + ((x_j - μ_j)/σ_j)² / ν),
    nats/example. `log_scale` and `df` broadcast against `loc`.

    >>> StudentTFamily(torch.zeros(3, 1), torch.zeros(()), torch.tensor(1.0)).log_prob(torch.zeros(3, 1))[0].item()
    -1.1447...
    """

    has_unit = True

    def __init__(self, loc: Tensor, log_scale: Tensor, df: Tensor, event_dims: int = 1) -> None:
        self.loc = loc
        self.log_scale = log_scale
        self.df = df
        split = loc.dim() - event_dims
        super().__init__(loc.shape[:split], loc.shape[split:])

    @property
    def mean(self) -> Tensor:
        """The mean μ for ν > 1, else NaN: there is none."""
        return torch.where(self.df > 1, self.loc, torch.nan)

    @property
    def mode(self) -> Tensor:
        """The mode μ."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """σ² ν / (ν - 2) for ν > 2, infinite for 1 < ν ≤ 2, else NaN."""
        two = self.df > 2
        finite = torch.exp(2 * self.log_scale) * (self.df / (torch.where(two, self.df, 3.0) - 2))
        return torch.where(two, finite, torch.where(self.df > 1, torch.inf, torch.nan)).expand_as(self.loc)

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw μ + σ ε / sqrt(g / (ν/2)) with ε standard normal and g ~ Gamma(ν/2, 1)."""
        shape = self._extended_shape(sample_shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        half = (0.5 * self.df).expand_as(self.loc)
        gamma = Gamma(half, torch.ones_like(half), validate_args=False).rsample(torch.Size(sample_shape))
        return self.loc + self.log_scale.exp() * noise * torch.rsqrt(gamma / half)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density, nats/example."""
        total = sum_event(self._elements(value), len(self.event_shape))
        return total if self.unit is None else total - self.unit.total

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-density of each element, shaped as `value`."""
        each = self._elements(value)
        return each if self.unit is None else each - self.unit.elements

    def _elements(self, value: Tensor) -> Tensor:
        z = (value - self.loc) * torch.exp(-self.log_scale)
        constant = log_gamma_half_step(0.5 * self.df) - 0.5 * (torch.log(self.df) + LOG_PI) - self.log_scale
        return constant - (0.5 * (self.df + 1)) * torch.log1p(z * z / self.df)
