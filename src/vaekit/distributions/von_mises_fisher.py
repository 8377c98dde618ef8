"""Directions: the von Mises-Fisher family on the unit sphere, the uniform distribution on it, and the KL between them.

Densities are with respect to the sphere's surface measure.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Beta, constraints
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family
from vaekit.distributions.bessel import iv_ratio, log_iv_scaled
from vaekit.distributions.kl import register_kl

NODES = 48
WIDTH = 12.0
ON_SPHERE = 1e-3
"""How far from 1 the length of a vector may be that still counts as a direction (float32 sums round)."""


class _UnitSphere(constraints.Constraint):
    """Vectors of length 1."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return (value.norm(dim=-1) - 1).abs() < ON_SPHERE


unit_sphere = _UnitSphere()


class _OnSphere(Family):
    """What both families share: the support."""

    domain = unit_sphere

    def in_support(self, x: Tensor) -> Tensor:
        """Whether each vector has length 1, within 1e-3."""
        return unit_sphere.check(x)


def log_area(dimension: int) -> float:
    """Return the log of the area of the unit sphere in R^D, log 2 + (D/2) log π - log Γ(D/2).

    >>> math.exp(log_area(3)) / math.pi
    4.0...
    """
    return math.log(2) + 0.5 * dimension * math.log(math.pi) - math.lgamma(0.5 * dimension)


class SphereUniform(_OnSphere):
    """The uniform distribution on the unit sphere in R^D, of no batch shape: log p(x) = -log area.

    >>> SphereUniform(torch.zeros(3)).log_prob(torch.eye(3)).exp()[0].item() * 4 * math.pi
    1.0...
    """

    def __init__(self, like: Tensor) -> None:
        self.like = like
        super().__init__(SCALAR, like.shape)

    @property
    def mean(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.like)

    @property
    def variance(self) -> Tensor:
        """1 / D of each coordinate."""
        return torch.full_like(self.like, 1 / len(self.like))

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw directions."""
        shape = self._extended_shape(sample_shape)
        return torch.nn.functional.normalize(torch.randn(shape, dtype=self.like.dtype, device=self.like.device), dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return -log area, nats/example."""
        return torch.full(value.shape[:-1], -log_area(len(self.like)), dtype=value.dtype, device=value.device)


class VonMisesFisherFamily(_OnSphere):
    """Directions x around a mean direction μ: log p(x) = κ μ·x + log C_D(κ), nats; `loc` is (..., D), `kappa` (...).

    C_D(κ) = κ^v / ((2π)^{D/2} I_v(κ)) with v = D/2 - 1. The mean is A μ with A = I_{v+1}(κ) / I_v(κ). Any D ≥ 2.

    Samples x = w μ + √(1 - w²) ξ: the height w by Ulrich's rejection scheme as corrected by Wood (1994), ξ uniform
    among the directions orthogonal to μ. Rejection has no gradient; w gets that of its distribution function,
    dw/dκ = -∂_κ F(w; κ) / p(w; κ) (implicit reparameterisation, Figurnov et al. 2018, arXiv:1805.08498), by quadrature.

    Source: Davidson et al. 2018, arXiv:1804.00891.

    >>> d = VonMisesFisherFamily(torch.eye(3)[:1], torch.tensor([10.0]))
    >>> round(d.mean[0, 0].item(), 6)  # coth 10 - 1/10
    0.9
    """

    def __init__(self, loc: Tensor, kappa: Tensor) -> None:
        if loc.shape[-1] < 2:
            raise ValueError("a direction needs at least 2 dimensions")
        self.loc = loc
        self.kappa = kappa
        super().__init__(loc.shape[:-1], loc.shape[-1:])

    @property
    def dimension(self) -> int:
        """D, of the space around the sphere."""
        return self.loc.shape[-1]

    @property
    def length(self) -> Tensor:
        """A(κ), the length of the mean, (...) in float64."""
        return iv_ratio(0.5 * self.dimension - 1, self.kappa)

    @property
    def log_normaliser(self) -> Tensor:
        """log C_D(κ), (...) in float64."""
        v = 0.5 * self.dimension - 1
        return -0.5 * self.dimension * math.log(2 * math.pi) - log_iv_scaled(v, self.kappa)

    @property
    def mean(self) -> Tensor:
        """A(κ) μ, inside the sphere."""
        return self.length.to(self.loc.dtype).unsqueeze(-1) * self.loc

    @property
    def mode(self) -> Tensor:
        """The mean direction μ."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Of each coordinate: A/κ + μ_j² (1 - D A/κ) - A² μ_j²."""
        a = self.length
        share = a / self.kappa
        square = self.loc.double().square()
        out = share.unsqueeze(-1) + square * (1 - self.dimension * share - a * a).unsqueeze(-1)
        return out.to(self.loc.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density with respect to the sphere's area, nats/example."""
        # 1 - μ·x as half a squared distance keeps its digits where κ is large.
        gap = 0.5 * (value - self.loc).square().sum(-1)
        peak = (self.kappa + self.log_normaliser).to(value.dtype)
        return peak - self.kappa * gap

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw directions, with gradients for μ and κ."""
        shape = self._extended_shape(sample_shape)
        kappa, loc = self.kappa.expand(shape[:-1]), self.loc.expand(shape)
        with torch.no_grad():
            angle = _angles(kappa.double(), self.dimension)
            slope = _angle_slope(angle, kappa.double(), self.length.expand(shape[:-1]), self.dimension)
            noise = torch.randn(shape, dtype=loc.dtype, device=loc.device)
            side = noise - (noise * loc).sum(-1, keepdim=True) * loc
            side = torch.nn.functional.normalize(side - (side * loc).sum(-1, keepdim=True) * loc, dim=-1)
        angle = (angle + slope * (kappa - kappa.detach())).to(loc.dtype).unsqueeze(-1)
        # ξ follows μ without turning about it (parallel transport), which is a rotation to first order.
        side = side - (side * (loc - loc.detach())).sum(-1, keepdim=True) * loc.detach()
        return torch.cos(angle) * loc + torch.sin(angle) * side

    def entropy(self) -> Tensor:
        """Return -κ A - log C, nats/example."""
        return -(self.kappa * self.length + self.log_normaliser).to(self.loc.dtype)


def _angles(kappa: Tensor, dimension: int) -> Tensor:
    """Draw the angle between x and μ for each κ, by rejection: most proposals are kept."""
    m = dimension - 1
    b = m / (2 * kappa + torch.sqrt(4 * kappa * kappa + m * m))
    x0 = (1 - b) / (1 + b)
    c = kappa * x0 + m * torch.log1p(-x0 * x0)
    beta = Beta(torch.tensor(0.5 * m, dtype=kappa.dtype, device=kappa.device), 0.5 * m, validate_args=False)
    out = torch.zeros_like(kappa)
    todo = torch.ones_like(kappa, dtype=torch.bool)
    while todo.any():
        z = beta.sample(kappa.shape)
        # 1 - w = 2 b z / (…): the angle is taken from it, since w itself rounds to 1.
        under = 1 - (1 - b) * z
        gap, sum_ = 2 * b * z / under, 2 * (1 - z) / under
        w = 1 - gap
        chance = kappa * w + m * torch.log1p(-x0 * w) - c
        keep = todo & (chance >= -torch.empty_like(kappa).exponential_())
        out = torch.where(keep, 2 * torch.atan2(gap.sqrt(), sum_.sqrt()), out)
        todo = todo & ~keep
    return out


@cache
def _rule() -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    return torch.from_numpy((x + 1) / 2), torch.from_numpy(w / 2)


def _angle_slope(angle: Tensor, kappa: Tensor, length: Tensor, dimension: int) -> Tensor:
    """Return dθ/dκ at fixed F(θ; κ): -(1/p(θ)) ∫_0^θ (cos s - A) p(s) ds, where p(s) ∝ e^{κ cos s} sin^{D-2} s.

    The integral over all of [0, π] is 0, so the side is taken on which p falls from θ on, and as far as it matters.
    """
    nodes, weights = (part.to(kappa.device) for part in _rule())
    power = dimension - 2
    # p peaks where κ sin² s = (D-2) cos s.
    mode = torch.arccos(2 * kappa / (power + torch.sqrt(power * power + 4 * kappa * kappa)))
    reach = WIDTH / torch.sqrt(kappa + power)
    below = angle < mode
    end = torch.where(below, (angle - reach).clamp(min=0.0), (angle + reach).clamp(max=math.pi))
    s = angle.unsqueeze(-1) + (end - angle).unsqueeze(-1) * nodes
    here = angle.unsqueeze(-1)
    log_ratio = kappa.unsqueeze(-1) * (torch.cos(s) - torch.cos(here))
    if power:
        log_ratio = log_ratio + power * (torch.sin(s).clamp(min=1e-300).log() - torch.sin(here).clamp(min=1e-300).log())
    # ∫_θ^end is the slope on either side: what lies below θ with its sign turned, or what lies above it.
    return ((torch.cos(s) - length.unsqueeze(-1)) * log_ratio.exp() * weights).sum(-1) * (end - angle)


@register_kl(VonMisesFisherFamily, SphereUniform)
def _von_mises_fisher_uniform(q: VonMisesFisherFamily, p: SphereUniform) -> Tensor:
    """κ A(κ) + log C_D(κ) + log area: of κ alone, and never negative."""
    value = q.kappa * q.length + q.log_normaliser + log_area(q.dimension)
    return value.clamp(min=0.0).to(q.loc.dtype)
