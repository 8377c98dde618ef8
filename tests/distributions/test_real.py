"""Laplace, Student-t and the fitted normal against scipy."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from contracts import compare_kl
from vaekit.distributions.kl import closed_form_kl, kl_elements
from vaekit.distributions.laplace import LaplaceFamily
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.distributions.optimal import FittedNormal, log_scale_of
from vaekit.distributions.student import StudentTFamily, log_gamma_half_step


@pytest.fixture
def parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(6, 3).double() * 5, torch.randn(6, 3).double(), torch.randn(6, 3).double()


def test_laplace_is_scipys(parts: tuple[torch.Tensor, ...]) -> None:
    x, loc, log_scale = parts
    expected = stats.laplace.logpdf(x, loc, log_scale.exp()).sum(-1)
    d = LaplaceFamily(loc, log_scale)
    torch.testing.assert_close(d.log_prob(x), torch.from_numpy(expected))
    torch.testing.assert_close(d.variance, torch.from_numpy(stats.laplace.var(loc, log_scale.exp())))
    torch.testing.assert_close(d.entropy(), torch.from_numpy(stats.laplace.entropy(loc, log_scale.exp()).sum(-1)))


@pytest.mark.parametrize("df", [0.5, 1.0, 2.5, 19.9, 20.1, 300.0, 1e7])
def test_student_is_scipys(parts: tuple[torch.Tensor, ...], df: float) -> None:
    x, loc, log_scale = parts
    d = StudentTFamily(loc, log_scale, torch.tensor(df).double())
    expected = torch.from_numpy(stats.t.logpdf(x, df, loc, log_scale.exp()).sum(-1))
    torch.testing.assert_close(d.log_prob(x), expected, rtol=1e-7, atol=1e-7)
    single = StudentTFamily(loc.float(), log_scale.float(), torch.tensor(df)).log_prob(x.float())
    torch.testing.assert_close(single.double(), expected, rtol=2e-6, atol=2e-5)
    if df > 2:
        torch.testing.assert_close(d.variance, torch.from_numpy(stats.t.var(df, loc, log_scale.exp())))


def test_student_says_what_it_lacks() -> None:
    zero = torch.zeros(1, 1)
    assert StudentTFamily(zero, zero, torch.tensor(1.0)).mean.isnan().item()
    assert StudentTFamily(zero, zero, torch.tensor(1.5)).variance.isinf().item()
    assert StudentTFamily(zero, zero, torch.tensor(0.9)).variance.isnan().item()


def test_gamma_ratio_is_smooth_in_value_and_gradient() -> None:
    a = torch.tensor([0.1, 1.0, 9.99, 10.0, 10.01, 500.0, 1e8], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(log_gamma_half_step(a).sum(), a)
    expected = torch.digamma(a.detach() + 0.5) - torch.digamma(a.detach())
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-14)


def test_laplace_kl_is_the_sampled_one(parts: tuple[torch.Tensor, ...]) -> None:
    _, loc, log_scale = parts
    q, p = (
        LaplaceFamily(loc, log_scale),
        LaplaceFamily(torch.zeros(3).double(), torch.full((3,), 0.3).double()),
    )
    exact = closed_form_kl(q, p)
    assert exact is not None
    compare_kl(q, p, exact)


@pytest.mark.parametrize("scale", [-7.0, 0.0, 7.0])
def test_laplace_kl_at_extremes_is_finite_and_not_negative(scale: float) -> None:
    loc = torch.tensor([[1e4, -1e4, 0.0, 1e-4]], requires_grad=True)
    log_scale = torch.full((1, 4), scale, requires_grad=True)
    q, p = LaplaceFamily(loc, log_scale), LaplaceFamily(torch.zeros(4), torch.zeros(()))
    exact = kl_elements(q, p)
    assert exact is not None
    assert bool((torch.isfinite(exact) & (exact >= 0)).all())
    exact.sum().backward()
    for t in (loc, log_scale):
        assert t.grad is not None
        assert bool(torch.isfinite(t.grad).all())
    same = kl_elements(q, q)
    assert same is not None
    torch.testing.assert_close(same, torch.zeros(1, 4))


def test_fitted_normal_is_the_normal_at_the_batch_variance(parts: tuple[torch.Tensor, ...]) -> None:
    x, loc, _ = parts
    seen: list[torch.Tensor] = []
    d = FittedNormal(loc, torch.zeros(()).double(), 1, lambda s: (seen.append(s), s)[1])
    sigma = (x - loc).square().mean().sqrt()
    expected = torch.from_numpy(stats.norm.logpdf(x, loc, sigma).sum(-1))
    torch.testing.assert_close(d.log_prob(x), expected)
    torch.testing.assert_close(seen[0], sigma**2)
    torch.testing.assert_close(d.variance, (sigma**2).expand_as(loc))


def test_no_other_sigma_scores_the_batch_higher(parts: tuple[torch.Tensor, ...]) -> None:
    x, loc, _ = parts
    fitted = FittedNormal(loc, torch.zeros(()).double())
    best = fitted.log_prob(x).sum()
    for shift in (-0.05, 0.05):
        assert DiagonalNormalFamily(loc, fitted.log_scale + shift).log_prob(x).sum() < best


def test_the_batch_gradient_is_that_through_sigma(parts: tuple[torch.Tensor, ...]) -> None:
    x, loc, _ = parts
    a, b = loc.clone().requires_grad_(), loc.clone().requires_grad_()
    FittedNormal(a, torch.zeros(()).double()).log_prob(x).sum().backward()
    DiagonalNormalFamily(b, 0.5 * (x - b).square().mean().log()).log_prob(x).sum().backward()
    torch.testing.assert_close(a.grad, b.grad)


def test_a_fitted_scale_is_half_the_logarithm_of_the_mean_square() -> None:
    square = torch.tensor([math.e**3, 1e-9])
    torch.testing.assert_close(log_scale_of(square), torch.tensor([1.5, -7.0]))
    torch.testing.assert_close(log_scale_of(square, torch.tensor(-2.0)), torch.tensor([1.5, -2.0]))
