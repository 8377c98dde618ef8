"""Modified Bessel functions of the first kind, of any order v ≥ 0: their logarithm and ratio, in pure torch.

I_v over- and underflows; its logarithm does not. Debye's expansion, uniform in x, gives log I at orders of at least 32
to 1e-13; the ratios I_{v+1} / I_v are carried down from there, where the recurrence is stable, to the order asked for.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any

import torch
from torch import Tensor

START = 32
TERMS = 8


@cache
def debye_polynomials(terms: int = TERMS) -> tuple[tuple[float, ...], ...]:
    """Return the coefficients, lowest power first, of the polynomials U_k(p) of Debye's expansion.

    U_0 = 1, U_{k+1}(p) = ½ p² (1 - p²) U_k'(p) + ⅛ ∫_0^p (1 - 5t²) U_k(t) dt. Source: DLMF 10.41.9.

    >>> [round(24 * c, 9) for c in debye_polynomials()[1]]
    [0.0, 3.0, 0.0, -5.0]
    """
    out = [[Fraction(1)]]
    for _ in range(terms - 1):
        last = out[-1]
        new = [Fraction(0)] * (len(last) + 3)
        for power, c in enumerate(last):
            if power:
                new[power + 1] += c * power / 2
                new[power + 3] -= c * power / 2
            new[power + 1] += c / (8 * (power + 1))
            new[power + 3] -= 5 * c / (8 * (power + 3))
        out.append(new)
    return tuple(tuple(float(c) for c in row) for row in out)


def _debye(v: float, x: Tensor) -> Tensor:
    """Return log I_v(x) - v log x for a large order v; DLMF 10.41.3. Finite at x = 0."""
    z = x / v
    root = torch.sqrt(1 + z * z)
    p = 1 / root
    series = torch.zeros_like(x)
    for k in reversed(range(TERMS)):
        value = torch.zeros_like(x)
        for c in reversed(debye_polynomials()[k]):
            value = value * p + c
        series = series / v + value
    # v η less v log x, with η = root + log(z / (1 + root))
    return (
        v * (root - torch.log1p(root) - math.log(v)) - 0.5 * math.log(2 * math.pi * v) - 0.5 * root.log() + series.log()
    )


def _log_and_ratio(v: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return log I_v(x) - v log x and I_{v+1}(x) / I_v(x), in float64."""
    steps = max(0, math.ceil(START - v))
    top = v + steps
    log_i = _debye(top, x)
    ratio = x * torch.exp(_debye(top + 1, x) - log_i)
    for step in range(steps):
        # I_{u-1} = (2u / x) I_u + I_{u+1}, so x / r_{u-1} = 2u + x r_u.
        under = 2 * (top - step) + x * ratio
        log_i = log_i + under.log()
        ratio = x / under
    return log_i, ratio


class _LogIv(torch.autograd.Function):
    """log I_v(x) - v log x, whose derivative is I_{v+1} / I_v."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, v: float) -> Tensor:
        value, ratio = _log_and_ratio(v, x.double())
        ctx.save_for_backward(ratio)
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (ratio,) = ctx.saved_tensors
        return grads[0] * ratio, None


class _Ratio(torch.autograd.Function):
    """r = I_{v+1} / I_v, whose derivative is 1 - r² - (2v + 1) r / x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, v: float) -> Tensor:
        ratio = _log_and_ratio(v, x.double())[1]
        ctx.save_for_backward(x.double(), ratio)
        ctx.v = v
        return ratio

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        x, ratio = ctx.saved_tensors
        return grads[0] * (1 - ratio * ratio - (2 * ctx.v + 1) * ratio / x), None


def log_iv_scaled(v: float, x: Tensor) -> Tensor:
    """Return log I_v(x) - v log x for x ≥ 0 and an order v ≥ 0, in float64; finite at 0, differentiable once.

    >>> x = torch.tensor([1e-3, 1.0, 1e4])
    >>> (log_iv_scaled(0.5, x) + 0.5 * x.log()).round(decimals=6).tolist()
    [-3.679669, -0.064352, 9994.475891]
    """
    return _LogIv.apply(x.double(), v)  # pyright: ignore[reportReturnType]


def iv_ratio(v: float, x: Tensor) -> Tensor:
    """Return I_{v+1}(x) / I_v(x) for x > 0 and v ≥ 0, in float64, in (0, 1); differentiable once.

    >>> iv_ratio(0.5, torch.tensor([2.0])).item()  # coth 2 - 1/2
    0.5373...
    """
    return _Ratio.apply(x.double(), v)  # pyright: ignore[reportReturnType]
