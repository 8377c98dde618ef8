"""The Bernoulli family against scipy, and its written-out gradient against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import softplus

from vaekit.distributions.bernoulli import BernoulliFamily


def seeded(*shape: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def bits(*shape: int) -> torch.Tensor:
    return torch.bernoulli(torch.full(shape, 0.5, dtype=torch.float64), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("train", [True, False])
def test_log_mass_is_scipys(train: bool) -> None:
    logits, x = seeded(3, 5, 2, 4), bits(5, 2, 4)
    with torch.set_grad_enabled(train):
        found = BernoulliFamily(logits, 2).log_prob(x)
    oracle = stats.bernoulli.logpmf(x.numpy(), 1 / (1 + np.exp(-logits.numpy()))).sum((-2, -1))
    np.testing.assert_allclose(found.numpy(), oracle, rtol=1e-9)


@pytest.mark.parametrize(("logits", "x"), [((3, 5, 4), (5, 4)), ((5, 4), (3, 5, 4)), ((1, 4), (5, 4)), ((5, 4), (4,))])
def test_slopes_and_their_slopes_also_where_one_side_is_broadcast(logits: tuple[int, ...], x: tuple[int, ...]) -> None:
    at, value = seeded(*logits).requires_grad_(), bits(*x)
    assert gradcheck(lambda a: BernoulliFamily(a, 1).log_prob(value), (at,))
    assert gradgradcheck(lambda a: BernoulliFamily(a, 1).log_prob(value), (at,))


def test_slope_with_respect_to_the_data_is_kept() -> None:
    logits, x = seeded(5, 4), bits(5, 4).requires_grad_()
    (slope,) = torch.autograd.grad(BernoulliFamily(logits, 1).log_prob(x).sum(), x)
    torch.testing.assert_close(slope, logits)


def test_transforms_of_functions_reach_it() -> None:
    x, logits = bits(4), seeded(5, 4)
    slopes = torch.func.vmap(torch.func.grad(lambda a: BernoulliFamily(a, 1).log_prob(x)))(logits)
    torch.testing.assert_close(slopes, x - torch.sigmoid(logits))


def test_bytes_as_data_and_extreme_logits() -> None:
    logits = torch.tensor([[-1e4, 1e4, 80.0, -80.0]], requires_grad=True)
    x = torch.tensor([[0, 1, 0, 1]], dtype=torch.uint8)
    found = BernoulliFamily(logits, 1).log_prob(x)
    torch.testing.assert_close(found, (x * logits - softplus(logits)).sum(-1))
    (slope,) = torch.autograd.grad(found.sum(), logits)
    torch.testing.assert_close(slope, torch.tensor([[0.0, 0.0, -1.0, 1.0]]))


@pytest.mark.parametrize(
    ("logits", "x"), [((4, 3), (1, 3)), ((1, 3), (4, 3)), ((5, 1, 3), (4, 3)), ((5, 4, 3), (4, 3)), ((3,), (4, 3))]
)
def test_examples_and_parameters_broadcast_with_gradients_as_without(
    logits: tuple[int, ...], x: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    family, value = BernoulliFamily(torch.randn(logits, requires_grad=True), 1), (torch.rand(x) > 0.5).float()
    found = family.log_prob(value)
    expected = torch.distributions.Bernoulli(logits=family.logits).log_prob(value.expand_as(family.logits + value))
    torch.testing.assert_close(found, expected.sum(-1))
