"""The continuous Bernoulli against quadrature and calculus."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from vaekit.distributions.continuous_bernoulli import (
    ContinuousBernoulliFamily,
    log_partition,
    logits_for,
    mean_of,
)

LOGITS = [-300.0, -20.0, -1.0001, -1.0, -0.9999, -0.1, -1e-3, -1e-8, 0.0, 1e-8, 1e-3, 0.3, 1.0, 5.0, 80.0]


def partition_by_quadrature(logit: float) -> tuple[float, float, float]:
    """A(l), mean and variance of exp(x l) on [0, 1], scaled so that nothing overflows."""
    shift = max(logit, 0.0)
    points = [0.0, 1.0, 0.5, min(1.0, 5 / max(abs(logit), 5)), 1 - min(1.0, 5 / max(abs(logit), 5))]
    moments = [
        integrate.quad(
            lambda x, k=k: x**k * np.exp(x * logit - shift), 0, 1, points=points, epsabs=1e-14, epsrel=1e-13, limit=200
        )[0]
        for k in range(3)
    ]
    mean = moments[1] / moments[0]
    return float(np.log(moments[0]) + shift), mean, moments[2] / moments[0] - mean**2


@pytest.mark.parametrize("logit", LOGITS)
def test_normaliser_mean_and_variance_are_quadratures(logit: float) -> None:
    value, mean, variance = partition_by_quadrature(logit)
    at = torch.tensor([logit], dtype=torch.float64)
    d = ContinuousBernoulliFamily(at)
    assert log_partition(at).item() == pytest.approx(value, abs=1e-11, rel=1e-11)
    assert d.mean.item() == pytest.approx(mean, abs=1e-10)
    assert d.variance.item() == pytest.approx(variance, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_of_the_normaliser_is_the_mean_everywhere(dtype: torch.dtype) -> None:
    at = torch.tensor([*LOGITS, 1e4, -1e4, 1e30, -1e30], dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(log_partition(at).sum(), at, create_graph=True)
    assert bool(torch.isfinite(slope).all())
    tight = 1e-12 if dtype == torch.float64 else 1e-6
    torch.testing.assert_close(slope, mean_of(at), rtol=0, atol=tight)
    (bend,) = torch.autograd.grad(slope.sum(), at)
    assert bool(torch.isfinite(bend).all())


def test_float32_agrees_with_float64_across_the_series_boundary() -> None:
    at = torch.linspace(-3, 3, 60_001)
    exact = log_partition(at.double())
    torch.testing.assert_close(log_partition(at).double(), exact, rtol=0, atol=5e-7)
    torch.testing.assert_close(mean_of(at).double(), mean_of(at.double()), rtol=0, atol=5e-7)


def test_the_soft_bernoulli_form_lacks_log_c() -> None:
    x, logit = torch.tensor([[0.3]], dtype=torch.float64), torch.tensor([[2.0]], dtype=torch.float64)
    cross_entropy = x * logit - torch.nn.functional.softplus(logit)
    log_c = torch.log(logit / torch.tanh(logit / 2))
    torch.testing.assert_close(ContinuousBernoulliFamily(logit).log_prob(x), (cross_entropy + log_c).sum(-1))


@pytest.mark.parametrize("logit", [-1e4, -30.0, -2.0, -5e-3, 0.0, 5e-3, 2.0, 30.0, 1e4])
def test_samples_follow_the_distribution_function(logit: float) -> None:
    torch.manual_seed(0)
    x = ContinuousBernoulliFamily(torch.tensor([logit], dtype=torch.float64)).sample((20_000,)).flatten()
    assert 0 <= x.min() <= x.max() <= 1
    if abs(logit) < 100:
        u = torch.expm1(x * logit) / np.expm1(logit) if logit else x
        from scipy.stats import kstest

        assert kstest(u.numpy(), "uniform").pvalue > 1e-3


def test_samples_have_the_gradient_of_the_mean() -> None:
    torch.manual_seed(0)
    at = torch.tensor([-3.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    n = 50_000
    x = ContinuousBernoulliFamily(at).rsample((n,)).mean(0)
    (slope,) = torch.autograd.grad(x.sum(), at)
    expected = ContinuousBernoulliFamily(at.detach()).variance
    torch.testing.assert_close(slope, expected, rtol=0.02, atol=0)


def test_logits_for_inverts_the_mean() -> None:
    mean = torch.tensor([0.01, 0.3, 0.5, 0.77, 0.99], dtype=torch.float64)
    torch.testing.assert_close(mean_of(logits_for(mean)), mean)


def test_entropy_is_minus_the_expected_log_density() -> None:
    d = ContinuousBernoulliFamily(torch.tensor([[0.7, -4.0]], dtype=torch.float64))
    torch.manual_seed(0)
    log_p = d.log_prob(d.sample((40_000,)))
    assert abs((log_p.mean(0) + d.entropy()).item()) < 4 * log_p.std().item() / 200


@pytest.mark.parametrize("part", ["mean", "variance", "rsample"])
def test_moments_and_samples_have_finite_gradients_everywhere(part: str) -> None:
    at = torch.tensor([*LOGITS, 1e4, -1e4, 1e30, -1e30], requires_grad=True)
    d = ContinuousBernoulliFamily(at)
    torch.manual_seed(0)
    value = d.rsample((3,)) if part == "rsample" else getattr(d, part)
    assert bool(torch.isfinite(value).all())
    (slope,) = torch.autograd.grad(value.sum(), at)
    assert bool(torch.isfinite(slope).all())
    if part == "mean":
        torch.testing.assert_close(slope, d.variance.detach(), rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize("logit", [-3.0, -0.0099, -0.004, 0.0, 0.004, 0.0099, 0.0101, 3.0])
def test_a_sample_is_the_quantile_of_its_noise(logit: float) -> None:
    """x = log(1 + u (exp l - 1)) / l, in its series near l = 0 too, to 1e-7; well above 0 it is that of 1 - u."""
    torch.manual_seed(0)
    x = ContinuousBernoulliFamily(torch.full((1,), logit, dtype=torch.float64)).sample((200,)).flatten()
    torch.manual_seed(0)
    u = torch.rand(200, 1, dtype=torch.float64).flatten()
    u = 1 - u if logit > 0.01 else u
    expected = u if logit == 0 else torch.log1p(u * math.expm1(logit)) / logit
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-7)
