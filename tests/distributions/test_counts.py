"""Poisson and negative binomial against scipy."""

from __future__ import annotations

import pytest
import torch
from scipy import special, stats

from vaekit.distributions.counts import NegativeBinomialFamily, PoissonFamily, log_rising

COUNTS = torch.tensor([[0.0, 1.0, 7.0, 90.0, 1500.0]], dtype=torch.float64)


def test_poisson_is_scipys() -> None:
    log_rate = torch.tensor([[-3.0, 0.0, 2.0, 4.5, 7.3]], dtype=torch.float64)
    expected = stats.poisson.logpmf(COUNTS, log_rate.exp())
    torch.testing.assert_close(PoissonFamily(log_rate).log_prob(COUNTS), torch.from_numpy(expected.sum(-1)))
    single = PoissonFamily(log_rate.float()).log_prob_elements(COUNTS.float())
    torch.testing.assert_close(single.double(), torch.from_numpy(expected), rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize("log_dispersion", [-16.0, -7.0, -2.4, -2.3, -2.2, 0.0, 3.0, 7.0])
def test_negative_binomial_is_scipys(log_dispersion: float) -> None:
    log_mean = torch.tensor([[-3.0, 0.0, 2.0, 4.5, 7.3]], dtype=torch.float64)
    alpha = torch.tensor(log_dispersion, dtype=torch.float64)
    n = torch.exp(-alpha)
    p = n / (n + log_mean.exp())
    d = NegativeBinomialFamily(log_mean, alpha)
    expected = torch.from_numpy(stats.nbinom.logpmf(COUNTS.numpy(), n.numpy(), p.numpy()))
    torch.testing.assert_close(d.log_prob_elements(COUNTS), expected, rtol=1e-8, atol=1e-6)
    single = NegativeBinomialFamily(log_mean.float(), alpha.float()).log_prob_elements(COUNTS.float())
    torch.testing.assert_close(single.double(), expected, rtol=1e-4, atol=5e-3)
    torch.testing.assert_close(d.variance, torch.from_numpy(stats.nbinom.var(n.numpy(), p.numpy())))


def test_little_dispersion_is_poisson() -> None:
    log_mean = torch.tensor([[0.5, 2.0]], dtype=torch.float64)
    x = torch.tensor([[1.0, 9.0]], dtype=torch.float64)
    d = NegativeBinomialFamily(log_mean, torch.tensor(-20.0, dtype=torch.float64))
    torch.testing.assert_close(d.log_prob(x), PoissonFamily(log_mean).log_prob(x), rtol=0, atol=1e-6)


def test_log_rising_keeps_float32_digits_where_gammas_cancel() -> None:
    r, x = torch.tensor([10.0, 1e3, 1e5, 1e7]), torch.tensor(3.0)
    exact = torch.log(r.double()) + torch.log(r.double() + 1) + torch.log(r.double() + 2)
    torch.testing.assert_close(log_rising(r, x).double(), exact, rtol=3e-6, atol=0)


@pytest.mark.parametrize("log_dispersion", [-1.0, 1.0])
def test_modes_have_the_most_mass(log_dispersion: float) -> None:
    log_mean = torch.tensor([[-1.0, 0.3, 2.2]], dtype=torch.float64)
    for d in (
        PoissonFamily(log_mean),
        NegativeBinomialFamily(log_mean, torch.tensor(log_dispersion, dtype=torch.float64)),
    ):
        grid = torch.arange(60, dtype=torch.float64).view(-1, 1, 1)
        torch.testing.assert_close(d.log_prob_elements(grid).argmax(0).double(), d.mode)


def test_support_is_whole_and_not_negative() -> None:
    x = torch.tensor([[0.0, 2.0], [0.5, 1.0], [-1.0, 1.0], [float("inf"), 0.0], [float("nan"), 0.0]])
    assert PoissonFamily(torch.zeros(5, 2)).in_support(x).tolist() == [True, False, False, False, False]


def test_rising_factorials_are_right_on_both_sides_of_their_series() -> None:
    r = torch.tensor([0.3, 9.999, 10.0, 10.5, 14.0, 300.0], dtype=torch.float64)
    for x in (0.0, 0.5, 1.0, 25.0):
        exact = special.gammaln(r.numpy() + x) - special.gammaln(r.numpy())
        torch.testing.assert_close(log_rising(r, torch.tensor(x).double()), torch.from_numpy(exact), rtol=0, atol=3e-12)
