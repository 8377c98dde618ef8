"""The continuous Bernoulli: the exponential family on [0, 1] that grey values need in place of the Bernoulli."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import relu
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event

# Coefficients of l² … l¹² in log(sinh(l/2) / (l/2)) = Σ_n B_2n l^2n / (2n (2n)!), B_2n the Bernoulli numbers; at
# |l| < 1 the rest is below 1e-12.
_SERIES = (1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600, -691 / 15692092416000)
_SLOPES = tuple(2 * (n + 1) * c for n, c in enumerate(_SERIES))
_BENDS = tuple(2 * (n + 1) * (2 * n + 1) * c for n, c in enumerate(_SERIES))
_NEAR = 1.0


def _even_series(square: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Horner's rule for c_0 + c_1 s + c_2 s² + …"""
    total = square * coefficients[-1] + coefficients[-2]
    for c in reversed(coefficients[:-2]):
        total = total * square + c
    return total


class _LogPartition(torch.autograd.Function):
    """A(l), whose gradient is taken from the stable form of the mean instead of term by term."""

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor) -> Tensor:
        # The floor only keeps 0 / 0 out: (1 - exp(-a)) / a is 1 to all digits there.
        size = logits.abs().clamp_min(1e-30)
        return torch.expm1(-size).neg_().div_(size).log_().add_(relu(logits))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * mean_of(*ctx.saved_tensors)


def log_partition(logits: Tensor) -> Tensor:
    """Return A(l) = log ∫₀¹ exp(x l) dx = log((exp l - 1) / l), exact in value and gradient also at l = 0.

    >>> log_partition(torch.tensor([0.0, 1.0, 100.0]))
    tensor([ 0.0000,  0.5413, 95.3948])
    """
    result = _LogPartition.apply(logits)
    assert isinstance(result, Tensor)
    return result


def mean_of(logits: Tensor) -> Tensor:
    """Return A'(l) = 1 / (1 - exp(-l)) - 1 / l, the mean, which is ½ at l = 0."""
    size = logits.abs()
    small, large = logits.clamp(-_NEAR, _NEAR), size.clamp_min(_NEAR)  # each branch within its own range
    inner = small * _even_series(small * small, _SLOPES)
    outer = torch.copysign(-1 / torch.expm1(-large) - 1 / large - 0.5, logits)
    return torch.where(size < _NEAR, inner, outer) + 0.5


def logits_for(mean: Tensor, steps: int = 60) -> Tensor:
    """Return the log-odds l with A'(l) = `mean`, by bisection on [-1000, 1000].

    >>> mean_of(logits_for(torch.tensor([0.2, 0.5, 0.9])))
    tensor([0.2000, 0.5000, 0.9000])
    """
    target = mean.detach().cpu().double()
    low, high = torch.full_like(target, -1e3), torch.full_like(target, 1e3)
    for _ in range(steps):
        middle = (low + high) / 2
        below = mean_of(middle) < target
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return ((low + high) / 2).to(mean)


class ContinuousBernoulliFamily(Family):
    """Independent values in [0, 1] with log-odds `logits` over the last `event_dims` axes.

    p(x_j) = C(λ_j) λ_j^x_j (1 - λ_j)^(1 - x_j) with λ = sigmoid(l) and C(λ) = l / tanh(l / 2), which is
    log p(x) = Σ_j x_j l_j - log((exp l_j - 1) / l_j), nats/example (Loaiza-Ganem & Cunningham 2019).

    >>> ContinuousBernoulliFamily(torch.zeros(1, 4)).log_prob(torch.rand(1, 4)).item()
    0.0
    """

    domain = constraints.unit_interval

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = logits
        split = logits.dim() - event_dims
        super().__init__(logits.shape[:split], logits.shape[split:])

    @property
    def mean(self) -> Tensor:
        """E[x_j] = 1 / (1 - exp(-l_j)) - 1 / l_j, which is not λ_j."""
        return mean_of(self.logits)

    @property
    def mode(self) -> Tensor:
        """The end of [0, 1] where the density is highest."""
        return (self.logits > 0).to(self.logits.dtype)

    @property
    def variance(self) -> Tensor:
        """A''(l_j) = 1 / l_j² - exp(-l_j) / (1 - exp(-l_j))²."""
        size = self.logits.abs()
        small, large = size.clamp_max(_NEAR), size.clamp_min(_NEAR)
        outer = 1 / large.square() - torch.exp(-large) / torch.expm1(-large).square()
        return torch.where(size < _NEAR, _even_series(small * small, _BENDS), outer)

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw log(1 + u (exp l - 1)) / l with u uniform, the inverse of the distribution function."""
        shape = self._extended_shape(sample_shape)
        u = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        near = self.logits.abs() < 1e-2
        small = torch.where(near, self.logits, 0.0)
        large = torch.where(near, 1.0, self.logits.abs())
        inner = u + u * (1 - u) * small * (0.5 + (1 - 2 * u) * small / 6)
        outer = -torch.log1p(u * torch.expm1(-large)) / large
        x = torch.where(near, inner, torch.where(self.logits > 0, 1 - outer, outer))
        return x.clamp(0, 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density, nats/example."""
        return sum_event(self.log_prob_elements(value), len(self.event_shape))

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-density of each element, shaped as the logits."""
        return value * self.logits - log_partition(self.logits)

    def entropy(self) -> Tensor:
        """Return the differential entropy Σ_j A(l_j) - l_j E[x_j], nats/example."""
        return sum_event(log_partition(self.logits) - self.mean * self.logits, len(self.event_shape))

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every element of each example lies in [0, 1]."""
        return sum_event((~((x >= 0) & (x <= 1))).to(torch.float32), len(self.event_shape)) == 0
