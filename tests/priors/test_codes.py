"""Autoregressive priors of codes: masses that sum to 1, draws that follow them, temperatures, contexts."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vaekit.errors import UserError
from vaekit.priors.codes import AutoregressivePrior, PixelCNNPrior, TransformerPrior

EVERY = torch.tensor(list(itertools.product(range(3), repeat=4))).view(-1, 2, 2)
Make = Callable[[int], AutoregressivePrior]


def stirred(prior: AutoregressivePrior) -> AutoregressivePrior:
    torch.manual_seed(6)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return prior.eval()


def pixelcnn(context: int = 0) -> AutoregressivePrior:
    return stirred(PixelCNNPrior((2, 2), 3, prior_width=8, prior_layers=2, context=context))


def transformer(context: int = 0) -> AutoregressivePrior:
    return stirred(TransformerPrior((2, 2), 3, prior_width=8, prior_layers=2, prior_heads=2, context=context))


def given(*lead: int) -> Tensor:
    return torch.randn(*lead, 2, 2, 2)


@pytest.mark.parametrize("make", [pixelcnn, transformer])
@torch.no_grad()
def test_the_masses_of_all_codes_sum_to_one(make: Make) -> None:
    p = make(0)()
    for temperature in (1.0, 0.5):
        torch.testing.assert_close(p.tempered(temperature).log_prob(EVERY).exp().sum(), torch.tensor(1.0))
    conditional = make(2)(given(4))
    assert conditional.batch_shape == (4,)
    torch.testing.assert_close(conditional.log_prob(EVERY[:, None]).exp().sum(0), torch.ones(4))


@pytest.mark.parametrize("make", [pixelcnn, transformer])
@torch.no_grad()
def test_draws_have_the_masses(make: Make) -> None:
    p, n = make(0)(), 20_000
    drawn = p.sample(torch.Size((n,))).flatten(1)
    counts = torch.bincount(drawn @ torch.tensor([27, 9, 3, 1]), minlength=81) / n
    mass = p.log_prob(EVERY).exp()
    assert bool(((counts - mass).abs() < 5 * (mass * (1 - mass) / n).sqrt() + 1e-4).all())


@pytest.mark.parametrize("make", [pixelcnn, transformer])
@torch.no_grad()
def test_draws_heed_each_examples_own_context(make: Make) -> None:
    context = given(2) * 3
    p = make(2)(context)
    drawn = p.sample(torch.Size((4000,)))
    assert drawn.shape == (4000, 2, 2, 2)
    expected = (EVERY[:, None].float() * p.log_prob(EVERY[:, None]).exp()[..., None, None]).sum(0)
    torch.testing.assert_close(drawn.float().mean(0), expected, rtol=0, atol=0.07)


@pytest.mark.parametrize("make", [pixelcnn, transformer])
@torch.no_grad()
def test_samples_lead_the_context(make: Make) -> None:
    context, codes = given(3, 5), torch.randint(3, (5, 2, 2))
    p = make(2)
    found = p(context).log_prob(codes)
    torch.testing.assert_close(found, torch.stack([p(one).log_prob(codes) for one in context]))


@torch.no_grad()
def test_a_low_temperature_prefers_the_likely() -> None:
    p = pixelcnn()()
    cold = p.tempered(0.2)
    assert float((cold.log_prob(EVERY).exp() * p.log_prob(EVERY)).sum()) > float(
        (p.log_prob(EVERY).exp() * p.log_prob(EVERY)).sum()
    )


@torch.no_grad()
def test_what_it_starts_as_is_nearly_uniform() -> None:
    torch.manual_seed(0)
    for prior in (PixelCNNPrior((2, 2), 3), TransformerPrior((2, 2), 3)):
        assert float((prior().log_prob(EVERY).exp() * 81).log().abs().max()) < 0.5


def test_shapes_that_are_no_map_are_refused() -> None:
    with pytest.raises(UserError, match="causal-transformer"):
        PixelCNNPrior((7,), 4)
    with pytest.raises(UserError, match="3 heads"):
        TransformerPrior((7,), 4, prior_width=16, prior_heads=3)


@torch.no_grad()
def test_a_mass_is_in_double_precision_where_the_network_is_and_else_in_single() -> None:
    codes = EVERY[:4]
    for dtype, expected in ((torch.float64, torch.float64), (torch.float32, torch.float32)):
        assert pixelcnn().to(dtype)().log_prob(codes).dtype == expected
    half = pixelcnn()()
    exact, net = half.log_prob(codes), half.net
    half.net = lambda *given: net(*given).bfloat16()
    found = half.log_prob(codes)
    assert found.dtype == torch.float32 and float((found - exact).abs().max()) < 0.1
