"""Normal families, kept as mean and log standard deviation so that no exp/log round trip loses digits."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event

LOG_2PI = math.log(2 * math.pi)
LOG_SCALE_BOUND = 7.0


def bounded_log_scale(raw: Tensor) -> Tensor:
    """Squash a network's output to (-7, 7), the identity near 0: no overflow and no collapsed scale.

    >>> bounded_log_scale(torch.tensor([0.0, 1e9, -1e9]))
    tensor([ 0.,  7., -7.])
    """
    return LOG_SCALE_BOUND * torch.tanh(raw / LOG_SCALE_BOUND)


class DiagonalNormalFamily(Family):
    """N(loc, diag exp(2 log_scale)) over the last `event_dims` axes.

    log p(x) = -½ Σ_j [((x_j - μ_j) / σ_j)² + 2 log σ_j + log 2π], nats/example.

    >>> d = DiagonalNormalFamily(torch.zeros(5, 2), torch.zeros(5, 2))
    >>> d.batch_shape, d.event_shape, d.rsample((3,)).shape
    (torch.Size([5]), torch.Size([2]), torch.Size([3, 5, 2]))
    """

    has_unit = True

    def __init__(self, loc: Tensor, log_scale: Tensor, event_dims: int = 1) -> None:
        self.loc = loc
        self.log_scale = log_scale
        split = loc.dim() - event_dims
        super().__init__(loc.shape[:split], loc.shape[split:])

    @property
    def mean(self) -> Tensor:
        """The mean μ."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The mode, which is the mean."""
        return self.loc

    @property
    def scale(self) -> Tensor:
        """The standard deviation σ, shaped as the mean."""
        return self.log_scale.exp().expand_as(self.loc)

    @property
    def stddev(self) -> Tensor:
        """The standard deviation σ."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """The variance σ²."""
        return (2 * self.log_scale).exp().expand_as(self.loc)

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw μ + σ ε with ε ~ N(0, I)."""
        noise = torch.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.at(noise)

    def at(self, noise: Tensor) -> Tensor:
        """Return μ + σ ε for a given standard normal ε."""
        return torch.addcmul(self.loc, noise, self.log_scale.exp())

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density, nats/example."""
        z = (value - self.loc) * torch.exp(-self.log_scale)
        total = sum_event(-0.5 * (z * z + LOG_2PI) - self.log_scale, len(self.event_shape))
        return total if self.unit is None else total - self.unit.total

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-density of each element, shaped as `value`."""
        z = (value - self.loc) * torch.exp(-self.log_scale)
        each = -0.5 * (z * z + LOG_2PI) - self.log_scale
        return each if self.unit is None else each - self.unit.elements

    def tempered(self, temperature: float) -> DiagonalNormalFamily:
        """Return the normal with every standard deviation multiplied by `temperature`."""
        log_scale = self.log_scale.expand_as(self.loc) + math.log(temperature)
        return DiagonalNormalFamily(self.loc, log_scale, len(self.event_shape))

    def entropy(self) -> Tensor:
        """Return ½ Σ_j (1 + log 2π) + Σ_j log σ_j, nats/example."""
        return sum_event(0.5 * (1 + LOG_2PI) + self.log_scale.expand_as(self.loc), len(self.event_shape))


class FullNormalFamily(Family):
    """N(loc, L Lᵀ) with L lower triangular and a positive diagonal, kept as log-diagonal and strictly lower part.

    log p(x) = -½ ‖L⁻¹(x - μ)‖² - Σ_j log L_jj - (D/2) log 2π, nats/example.

    >>> d = FullNormalFamily(torch.zeros(5, 2), torch.zeros(5, 2), torch.zeros(5, 2, 2))
    >>> d.log_prob(torch.zeros(5, 2))[0].item()
    -1.8378...
    """

    def __init__(self, loc: Tensor, log_diagonal: Tensor, lower: Tensor) -> None:
        self.loc = loc
        self.log_diagonal = log_diagonal
        self.scale_tril = lower.tril(-1) + torch.diag_embed(log_diagonal.exp())
        super().__init__(loc.shape[:-1], loc.shape[-1:])

    @property
    def mean(self) -> Tensor:
        """The mean μ."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The mode, which is the mean."""
        return self.loc

    @property
    def covariance(self) -> Tensor:
        """The covariance L Lᵀ, (..., D, D)."""
        return self.scale_tril @ self.scale_tril.mT

    @property
    def variance(self) -> Tensor:
        """The marginal variances, the diagonal of L Lᵀ."""
        return self.scale_tril.square().sum(-1)

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw μ + L ε with ε ~ N(0, I)."""
        shape = self._extended_shape(sample_shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.at(noise)

    def at(self, noise: Tensor) -> Tensor:
        """Return μ + L ε for a given standard normal ε."""
        return self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density, nats/example."""
        off = (value - self.loc).unsqueeze(-1)
        tril = self.scale_tril.expand(*off.shape[:-2], *self.scale_tril.shape[-2:])
        z = torch.linalg.solve_triangular(tril, off, upper=False).squeeze(-1)
        return -0.5 * (z.square().sum(-1) + z.shape[-1] * LOG_2PI) - self.log_diagonal.sum(-1)

    def tempered(self, temperature: float) -> FullNormalFamily:
        """Return the normal with L multiplied by `temperature`."""
        return FullNormalFamily(self.loc, self.log_diagonal + math.log(temperature), self.scale_tril * temperature)

    def entropy(self) -> Tensor:
        """Return ½ D (1 + log 2π) + Σ_j log L_jj, nats/example."""
        return 0.5 * self.loc.shape[-1] * (1 + LOG_2PI) + self.log_diagonal.sum(-1)


class StandardNormalFamily(DiagonalNormalFamily):
    """N(0, I) of a given event shape and no batch: the usual prior, with a cheaper log-density.

    >>> StandardNormalFamily(torch.zeros(2)).log_prob(torch.zeros(7, 2)).shape
    torch.Size([7])
    """

    def __init__(self, like: Tensor) -> None:
        super().__init__(like, like, like.dim())

    def log_prob(self, value: Tensor) -> Tensor:
        """Return -½ Σ_j (x_j² + log 2π), nats/example."""
        return sum_event(-0.5 * (value * value + LOG_2PI), len(self.event_shape))
