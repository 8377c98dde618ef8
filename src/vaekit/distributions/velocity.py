"""A velocity that carries a standard normal to another law: the map of an ordinary differential equation."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = 32
"""Steps of the integration."""
WAVES = 6
"""Cosines that t enters as."""
NEAR = 1e-5
"""Deviation of the last layer's first weights."""


class Velocity(nn.Module):
    """v(z, t), a network of two hidden layers, and the map z(0) → z(1) of dz/dt = v(z, t) with its log-determinant.

    With layers a₁ = W₁z + U₁e(t), a₂ = W₂σ(a₁) + U₂e(t) and v = W₃σ(a₂) the divergence is known exactly, at the price
    of one more matrix product,

        ∇·v = tr(W₃ D₂ W₂ D₁ W₁) = d₂ᵀ (W₂ ∘ (W₁W₃)ᵀ) d₁,    dᵢ = σ'(aᵢ),

    so that log |∂z(1)/∂z(0)| = ∫ ∇·v dt is integrated beside z, by 32 steps of Runge and Kutta's fourth order. It
    starts next to v = 0, the identity.

    Source: Chen et al. 2018, arXiv:1806.07366; Lipman et al. 2023, arXiv:2210.02747.

    >>> field = Velocity(2, 16)
    >>> z, ladj = field(None).call_and_ladj(torch.ones(5, 2))
    >>> torch.allclose(z, torch.ones(5, 2), atol=1e-3), ladj.shape
    (True, torch.Size([5]))
    """

    waves: Tensor

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.into, self.between = nn.Linear(features, width), nn.Linear(width, width)
        self.at_first, self.at_second = (nn.Linear(WAVES, width, bias=False) for _ in range(2))
        self.out = nn.Linear(width, features)
        nn.init.normal_(self.out.weight, std=NEAR)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("waves", torch.pi * torch.arange(1, WAVES + 1), persistent=False)

    def forward(self, context: Any = None) -> Integrated:
        """Return the map from t = 0 to t = 1; there is no context."""
        return Integrated(self, 0.0, 1.0)

    def velocity(self, z: Tensor, t: Tensor) -> Tensor:
        """Return v(z, t), (..., D), for z (..., D) and t (..., 1)."""
        return self.out(F.silu(self._hidden(z, t)[1]))

    def with_divergence(self, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return v(z, t) and its divergence, (..., D) and (...)."""
        first, second = self._hidden(z, t)
        paths = self.between.weight * (self.into.weight @ self.out.weight).T
        divergence = (F.linear(_slope(first), paths) * _slope(second)).sum(-1)
        return self.out(F.silu(second)), divergence

    def _hidden(self, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        when = torch.cos(self.waves * t)
        first = self.into(z) + self.at_first(when)
        return first, self.between(F.silu(first)) + self.at_second(when)


def _slope(a: Tensor) -> Tensor:
    """Return the derivative of SiLU."""
    s = torch.sigmoid(a)
    return s * (1 + a * (1 - s))


class Integrated:
    """The map z(start) → z(stop) of a velocity; `inv` runs time the other way."""

    def __init__(self, field: Velocity, start: float, stop: float, steps: int = STEPS) -> None:
        self.field, self.start, self.stop, self.steps = field, start, stop, steps

    @property
    def inv(self) -> Integrated:
        """The map back."""
        return Integrated(self.field, self.stop, self.start, self.steps)

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z(stop) and the log-determinant, in float32 or finer: rounding would add up along the way."""
        with torch.autocast(x.device.type, enabled=False):
            z, total = x.float() if x.dtype.itemsize < 4 else x, x.new_zeros(x.shape[:-1])
            h = (self.stop - self.start) / self.steps
            for i in range(self.steps):
                t = self.start + i * h
                v1, d1 = self._at(z, t)
                v2, d2 = self._at(z + h / 2 * v1, t + h / 2)
                v3, d3 = self._at(z + h / 2 * v2, t + h / 2)
                v4, d4 = self._at(z + h * v3, t + h)
                z = z + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
                total = total + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
        return z, total

    def _at(self, z: Tensor, t: float) -> tuple[Tensor, Tensor]:
        return self.field.with_divergence(z, z.new_full((1,), t))
