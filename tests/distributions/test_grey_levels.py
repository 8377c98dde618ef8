"""Categorical and discretised logistic on grids of grey levels; one-hot labels."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from contracts import compare_kl
from vaekit.distributions.categorical import CategoricalFamily, OneHot
from vaekit.distributions.discretised_logistic import DiscretisedLogisticFamily
from vaekit.distributions.kl import closed_form_kl, kl_elements
from vaekit.distributions.levels import on_grid

LEVELS = [2, 3, 16, 255, 256]


def grid(levels: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.linspace(0, 1, levels, dtype=dtype).view(-1, 1, 1)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("log_scale", [-9.9, -7.0, -3.0, 0.0, 4.0])
def test_logistic_mass_is_the_difference_of_scipys_distribution_functions(levels: int, log_scale: float) -> None:
    loc = torch.tensor([[-0.7], [0.0], [0.2], [0.5], [1.0], [1.9]], dtype=torch.float64)
    d = DiscretisedLogisticFamily(loc, torch.tensor(log_scale, dtype=torch.float64), levels)
    x = grid(levels)
    half, scale = 0.5 / (levels - 1), torch.tensor(log_scale).double().exp()
    upper = torch.from_numpy(stats.logistic.cdf((x + half - loc) / scale))
    lower = torch.from_numpy(stats.logistic.cdf((x - half - loc) / scale))
    upper[-1], lower[0] = 1, 0
    mass = d.log_prob_elements(x).exp()
    torch.testing.assert_close(mass, upper - lower, rtol=1e-7, atol=1e-12)
    torch.testing.assert_close(mass.sum(0), torch.ones_like(loc))
    torch.testing.assert_close(d.mean, (mass * x).sum(0), rtol=0, atol=1e-9)
    torch.testing.assert_close(d.variance, (mass * (x - d.mean) ** 2).sum(0), rtol=0, atol=1e-9)
    best = torch.gather(mass, 0, (d.mode * (levels - 1)).round().long().unsqueeze(0))
    torch.testing.assert_close(best, mass.max(0, keepdim=True).values)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("log_scale", [-10.0, -5.0, 4.0])
def test_logistic_in_float32_sums_to_one_and_keeps_tails(levels: int, log_scale: float) -> None:
    loc = torch.tensor([[0.0], [0.31], [1.0], [3.0]], requires_grad=True)
    scale = torch.full((4, 1), log_scale, requires_grad=True)
    log_p = DiscretisedLogisticFamily(loc, scale, levels).log_prob(grid(levels, torch.float32))
    assert bool(torch.isfinite(log_p).all())
    torch.testing.assert_close(log_p.exp().sum(0), torch.ones(4), rtol=0, atol=1e-5)
    log_p.sum().backward()
    for t in (loc, scale):
        assert t.grad is not None
        assert bool(torch.isfinite(t.grad).all())
    exact = DiscretisedLogisticFamily(loc.double(), scale.double(), levels).log_prob(grid(levels))
    torch.testing.assert_close(log_p.double(), exact, rtol=2e-3, atol=2e-3)


def test_sixteen_bit_values_are_on_their_grid() -> None:
    x = (torch.arange(65_536, dtype=torch.float32) / 65_535).view(-1, 1)
    assert bool(on_grid(x, 65_536, 1).all())
    assert not on_grid(x + 0.3 / 65_535, 65_536, 1).any()


@pytest.mark.parametrize("levels", LEVELS)
def test_grid_values_of_float32_images_are_in_support(levels: int) -> None:
    x = (torch.arange(levels, dtype=torch.float32) / (levels - 1)).view(-1, 1)
    for d in (
        DiscretisedLogisticFamily(torch.zeros(levels, 1), torch.zeros(()), levels),
        CategoricalFamily(torch.zeros(levels, levels, 1), 1),
    ):
        assert bool(d.in_support(x).all())
        off = (x + 0.01 / (levels - 1)).clone()
        assert not d.in_support(off).any()
        assert not d.in_support(x - 1 - 1 / (levels - 1)).any()
        assert not d.in_support(torch.full_like(x, torch.nan)).any()


def test_categorical_picks_the_logit_of_the_level() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 5, 4, 2, 3, 3)  # K, B, levels, C, H, W
    index = torch.randint(4, (5, 2, 3, 3))
    d = CategoricalFamily(logits, 3)
    assert d.batch_shape == (3, 5)
    expected = torch.zeros(3, 5)
    log_p = logits.log_softmax(2)
    for k in range(3):
        for b in range(5):
            expected[k, b] = log_p[k, b].gather(0, index[b].unsqueeze(0)).sum()
    torch.testing.assert_close(d.log_prob(index / 3), expected)
    torch.testing.assert_close(
        CategoricalFamily(logits[0], 3).log_prob((index / 3).expand(6, 5, 2, 3, 3))[4], expected[0]
    )


def test_categorical_of_two_levels_is_bernoulli() -> None:
    logits = torch.randn(6, 2, 9)
    x = torch.randint(2, (6, 9)).float()
    expected = torch.distributions.Bernoulli(logits=logits[:, 1] - logits[:, 0]).log_prob(x).sum(-1)
    torch.testing.assert_close(CategoricalFamily(logits).log_prob(x), expected)


def test_one_hot_and_class_numbers_agree_with_torch() -> None:
    logits = torch.randn(3, 5, 10)
    y = torch.randint(10, (5,))
    expected = torch.distributions.Categorical(logits=logits).log_prob(y)
    d = OneHot(logits)
    torch.testing.assert_close(d.log_prob(y), expected)
    torch.testing.assert_close(d.log_prob(torch.eye(10)[y]), expected)
    torch.testing.assert_close(d.entropy(), torch.distributions.Categorical(logits=logits).entropy())
    draws = d.sample((4,))
    assert draws.shape == (4, 3, 5, 10)
    assert bool(d.in_support(draws).all())
    assert d.in_support(torch.ones(2, 10)).tolist() == [False, False]
    torch.testing.assert_close(OneHot(logits, 2).log_prob(torch.eye(10)[y]), expected.sum(-1))
    torch.testing.assert_close(OneHot(logits, 2).log_prob(y), expected.sum(-1))


def test_one_hot_samples_have_its_probabilities() -> None:
    torch.manual_seed(0)
    d = OneHot(torch.tensor([2.0, 0.0, -1.0, -30.0]))
    n = 40_000
    off = (d.sample((n,)).mean(0) - d.probs).abs()
    assert bool((off <= 5 * (d.variance / n).sqrt() + 1e-9).all())


@pytest.mark.parametrize("size", [1.0, 1e4, -1e4])
def test_discrete_kls(size: float) -> None:
    torch.manual_seed(0)
    raw = (torch.randn(4, 6, 2) if size == 1 else size * torch.eye(6).view(1, 6, 6)[:, :, :2]).double()
    raw = raw.clone().requires_grad_()
    q, p = CategoricalFamily(raw), CategoricalFamily(torch.zeros(6, 2).double())
    elements = kl_elements(q, p)
    assert elements is not None
    torch.testing.assert_close(elements.sum(-1), 2 * torch.tensor(6.0).double().log() - q.entropy())
    assert bool((elements >= -1e-12).all())
    elements.sum().backward()
    assert raw.grad is not None
    assert bool(torch.isfinite(raw.grad).all())
    one, uniform = OneHot(raw.detach().mT, 2), OneHot(torch.zeros(2, 6).double(), 2)
    exact = closed_form_kl(one, uniform)
    assert exact is not None
    torch.testing.assert_close(exact, elements.detach().sum(-1))
    compare_kl(one, uniform, exact, 5_000)
