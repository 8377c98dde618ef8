"""Directions: Bessel functions against scipy, normaliser and KL by quadrature, samples and their gradients."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, special
from torch import Tensor

from vaekit.distributions.bessel import iv_ratio, log_iv_scaled
from vaekit.distributions.kl import closed_form_kl
from vaekit.distributions.von_mises_fisher import SphereUniform, VonMisesFisherFamily, log_area

CASES = [(2, 0.3), (2, 30.0), (3, 2.0), (5, 8.0), (10, 1.0), (10, 500.0), (50, 40.0)]


def pole(dimension: int, kappa: float) -> VonMisesFisherFamily:
    loc = torch.zeros(1, dimension, dtype=torch.float64)
    loc[0, 0] = 1.0
    return VonMisesFisherFamily(loc, torch.tensor([kappa], dtype=torch.float64))


@pytest.mark.parametrize("v", [0.0, 0.5, 1.0, 4.0, 9.5, 31.5, 32.0, 100.0, 400.0])
def test_bessel_against_scipy(v: float) -> None:
    x = np.array([1e-3, 0.1, 1.0, 7.0, 50.0, 700.0, 2e4])
    value = special.ive(v, x)
    good = value > 1e-290  # scipy's underflows where a logarithm is at ease
    exact = np.log(value[good]) + x[good] - v * np.log(x[good])
    np.testing.assert_allclose(log_iv_scaled(v, torch.from_numpy(x[good])).numpy(), exact, rtol=1e-11, atol=1e-9)
    ratio = special.ive(v + 1, x[good]) / value[good]
    np.testing.assert_allclose(iv_ratio(v, torch.from_numpy(x[good])).numpy(), ratio, rtol=1e-9)


def test_bessel_is_finite_where_scipys_is_not() -> None:
    x = torch.tensor([1e-8, 1e-3, 1e6], dtype=torch.float64)
    for v in (0.0, 300.0):
        assert bool(
            torch.isfinite(log_iv_scaled(v, x)).all() & (iv_ratio(v, x) <= 1).all() & (iv_ratio(v, x) > 0).all()
        )


@pytest.mark.parametrize("v", [0.0, 0.5, 6.0, 60.0])
def test_bessel_gradients(v: float) -> None:
    x = torch.tensor([0.2, 3.0, 40.0], dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda t: log_iv_scaled(v, t), (x,))
    torch.autograd.gradcheck(lambda t: iv_ratio(v, t), (x,))


def heights(d: VonMisesFisherFamily, f: str) -> float:
    """∫ p(x) f dx over the sphere, by the angle to the pole; f is "1" or "log p" or "cos"."""
    dimension = d.dimension

    def density(angle: float) -> float:
        x = torch.zeros(1, dimension, dtype=torch.float64)
        x[0, 0], x[0, 1] = math.cos(angle), math.sin(angle)
        log_p = float(d.log_prob(x))
        ring = math.sin(angle) ** (dimension - 2) * math.exp(log_area(dimension - 1) if dimension > 2 else math.log(2))
        return math.exp(log_p) * ring * {"1": 1.0, "log p": log_p, "cos": math.cos(angle)}[f]

    peak = 6 / math.sqrt(float(d.kappa) + dimension)
    stops = [0.0, min(peak, 1.5), math.pi]
    return sum(integrate.quad(density, a, b, limit=200)[0] for a, b in pairwise(stops))


@pytest.mark.parametrize(("dimension", "kappa"), CASES)
def test_normaliser_mean_and_kl_by_quadrature(dimension: int, kappa: float) -> None:
    d = pole(dimension, kappa)
    assert heights(d, "1") == pytest.approx(1.0, abs=1e-7)
    assert float(d.mean[0, 0]) == pytest.approx(heights(d, "cos"), abs=1e-7)
    exact = closed_form_kl(d, SphereUniform(torch.zeros(dimension, dtype=torch.float64)))
    assert exact is not None
    assert float(exact) == pytest.approx(heights(d, "log p") + log_area(dimension), abs=1e-6)


def test_the_uniform_density_is_one_over_the_area() -> None:
    assert math.exp(log_area(2)) == pytest.approx(2 * math.pi)
    assert math.exp(log_area(3)) == pytest.approx(4 * math.pi)
    assert float(SphereUniform(torch.zeros(3)).log_prob(torch.eye(3)[0])) == pytest.approx(-math.log(4 * math.pi))


@pytest.mark.parametrize(("dimension", "kappa"), CASES)
def test_samples_have_the_mean_direction_and_spread(dimension: int, kappa: float) -> None:
    torch.manual_seed(0)
    loc = torch.nn.functional.normalize(torch.randn(1, dimension, dtype=torch.float64), dim=-1)
    d = VonMisesFisherFamily(loc, torch.tensor([kappa], dtype=torch.float64))
    n = 20_000
    x = d.sample((n,))
    torch.testing.assert_close(x.norm(dim=-1), torch.ones(n, 1, dtype=torch.float64))
    off = (x.mean(0) - d.mean).abs() / (d.variance / n).sqrt()
    assert float(off.max()) < 5
    # The height along μ has variance 1 - (D-1) A/κ - A².
    height = (x * loc).sum(-1)[:, 0]
    a = float(d.length)
    variance = 1 - (dimension - 1) * a / kappa - a * a
    assert float(height.var()) == pytest.approx(variance, rel=0.06)


def moments(loc: Tensor, kappa: Tensor, c: Tensor) -> Tensor:
    """E[c·x + (c·x)²] in closed form."""
    dimension = len(c)
    a = iv_ratio(dimension / 2 - 1, kappa)
    along = loc @ c
    return a * along + a / kappa * (c @ c) + along**2 * (1 - dimension * a / kappa)


@pytest.mark.parametrize(("dimension", "kappa"), [(2, 0.5), (2, 8.0), (3, 3.0), (10, 10.0), (10, 200.0)])
def test_gradients_of_expectations_are_unbiased(dimension: int, kappa: float) -> None:
    torch.manual_seed(1)
    raw = torch.randn(dimension, dtype=torch.float64, requires_grad=True)
    k = torch.tensor(kappa, dtype=torch.float64, requires_grad=True)
    c = torch.randn(dimension, dtype=torch.float64)
    loc = torch.nn.functional.normalize(raw, dim=-1)
    exact = torch.autograd.grad(moments(loc, k, c), (raw, k))
    rounds, n = 40, 1000
    found = []
    for _ in range(rounds):
        loc = torch.nn.functional.normalize(raw, dim=-1)
        x = VonMisesFisherFamily(loc[None], k[None]).rsample((n,))[:, 0] @ c
        found.append(torch.cat([g.reshape(-1) for g in torch.autograd.grad((x + x * x).mean(), (raw, k))]))
    each = torch.stack(found)
    target = torch.cat([g.reshape(-1) for g in exact])
    off = (each.mean(0) - target).abs() / (each.std(0) / rounds**0.5 + 1e-12)
    assert float(off.max()) < 5, off


def test_the_slope_of_an_angle_is_that_of_its_distribution_function() -> None:
    """θ(F, κ) by inverting F numerically at two κ."""
    from scipy.optimize import brentq

    from vaekit.distributions.von_mises_fisher import _angle_slope

    dimension, kappa = 4, 3.0

    def angle(share: float, at: float) -> float:
        def f(s: float) -> float:
            return math.exp(at * math.cos(s)) * math.sin(s) ** (dimension - 2)

        whole = integrate.quad(f, 0, math.pi)[0]
        root: Any = brentq(lambda t: integrate.quad(f, 0, t)[0] / whole - share, 1e-6, math.pi - 1e-6, xtol=1e-13)
        return float(root)

    k = torch.tensor([kappa], dtype=torch.float64)
    for share in (0.001, 0.2, 0.6, 0.99):
        slope = (angle(share, kappa + 1e-4) - angle(share, kappa - 1e-4)) / 2e-4
        here = torch.tensor([angle(share, kappa)], dtype=torch.float64)
        assert float(_angle_slope(here, k, iv_ratio(dimension / 2 - 1, k), dimension)) == pytest.approx(slope, rel=1e-5)


def test_the_kl_keeps_its_gradient_after_sampling() -> None:
    kappa = torch.tensor([5.0], requires_grad=True)
    d = VonMisesFisherFamily(torch.eye(4)[:1], kappa)
    d.rsample((2,))
    value = closed_form_kl(d, SphereUniform(torch.zeros(4)))
    assert value is not None
    (slope,) = torch.autograd.grad(value.sum(), kappa)
    more, less = (closed_form_kl(pole(4, k), SphereUniform(torch.zeros(4).double())) for k in (5.001, 4.999))
    assert more is not None and less is not None
    assert float(slope) == pytest.approx(float(more - less) / 0.002, rel=1e-4)
