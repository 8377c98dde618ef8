"""KL between normals in closed form against torch's own, and the KL by samples of a pair that has no closed form."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal, kl_divergence

from vaekit.distributions.kl import closed_form_kl, kl, kl_elements
from vaekit.distributions.normal import DiagonalNormalFamily, FullNormalFamily, StandardNormalFamily
from vaekit.distributions.student import StudentTFamily

D = 3


def diagonal(batch: tuple[int, ...]) -> DiagonalNormalFamily:
    return DiagonalNormalFamily(torch.randn(*batch, D).double(), 0.5 * torch.randn(*batch, D).double())


def full(batch: tuple[int, ...]) -> FullNormalFamily:
    log_diagonal = 0.5 * torch.randn(*batch, D).double()
    return FullNormalFamily(torch.randn(*batch, D).double(), log_diagonal, torch.randn(*batch, D, D).double())


def standard(batch: tuple[int, ...]) -> StandardNormalFamily:
    return StandardNormalFamily(torch.zeros(D).double())


def plain(d: Distribution) -> MultivariateNormal:
    """Return torch's distribution of the same mean and covariance."""
    if isinstance(d, FullNormalFamily):
        return MultivariateNormal(d.loc, scale_tril=d.scale_tril)
    return MultivariateNormal(d.mean, torch.diag_embed(d.variance))


@pytest.mark.parametrize(("q", "p"), list(product((diagonal, full), (standard, diagonal, full))))
@pytest.mark.parametrize("batch", [(), (5,), (2, 5)])
def test_normals_have_the_kl_that_torch_gives_them(q: type, p: type, batch: tuple[int, ...]) -> None:
    a, b = q(batch), p(batch)
    found = closed_form_kl(a, b)
    if found is None:
        assert (q, p) == (diagonal, full)
        return
    torch.testing.assert_close(found, kl_divergence(plain(a), plain(b)))
    elements = kl_elements(a, b)
    if elements is not None:
        torch.testing.assert_close(elements.sum(-1), found)


@pytest.mark.parametrize("make", [diagonal, full])
def test_a_normal_has_no_kl_from_itself(make: type) -> None:
    d = make((4,))
    torch.testing.assert_close(closed_form_kl(d, d), torch.zeros(4).double(), rtol=0, atol=1e-12)


def test_the_kl_by_samples_is_their_average() -> None:
    """q normal, p Student-t of many degrees of freedom, which is nearly normal: no closed form, a known value."""
    loc, log_scale = torch.tensor([[0.5, -0.3], [0.0, 0.0]]).double(), torch.tensor([[0.2, -0.4], [0.0, 0.0]]).double()
    q = DiagonalNormalFamily(loc, log_scale)
    zero = torch.zeros(2).double()
    p = StudentTFamily(zero, zero, torch.tensor(1e6).double())
    assert closed_form_kl(q, p) is None
    expected = kl_divergence(plain(q), plain(StandardNormalFamily(zero)))
    many = [kl(q, p, samples=20_000) for _ in range(3)]
    for found in many:
        assert found.shape == (2,)
        torch.testing.assert_close(found, expected, rtol=0, atol=0.04)
    # one sample has the same mean as many
    single = torch.stack([kl(q, p) for _ in range(4000)])
    error = single.std(0) / math.sqrt(4000)
    assert ((single.mean(0) - expected).abs() < 4 * error + 1e-4).all()


def test_the_kl_by_samples_has_a_gradient() -> None:
    loc: Tensor = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1).double()
    kl(
        DiagonalNormalFamily(loc, torch.zeros(1, 1).double()), StudentTFamily(zero, zero, zero + 1e6), 5000
    ).sum().backward()
    assert loc.grad is not None and float(loc.grad) == pytest.approx(1.0, abs=0.06)  # of ½ μ²


@pytest.mark.parametrize("make", [diagonal, full])
@pytest.mark.parametrize("batch", [(), (5,), (2, 5)])
def test_normals_have_the_entropy_and_density_that_torch_gives_them(make: type, batch: tuple[int, ...]) -> None:
    d, x = make(batch), torch.randn(4, *batch, D).double()
    torch.testing.assert_close(d.entropy(), plain(d).entropy())
    torch.testing.assert_close(d.log_prob(x), plain(d).log_prob(x))
    torch.testing.assert_close(d.variance, plain(d).variance)
