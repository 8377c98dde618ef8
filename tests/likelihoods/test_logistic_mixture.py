"""Mixtures of discretised logistics: masses by enumeration, channels in order; and the autoregressive decoder."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from vaekit.distributions.discretised_logistic import DiscretisedLogisticFamily
from vaekit.distributions.logistic_mixture import DiscretisedLogisticMixture
from vaekit.errors import UserError
from vaekit.likelihoods.logistic_mixture import LogisticMixture, PixelCNNLikelihood, mixture
from vaekit.nets.mlp import mlp


def pixel(levels: int, channels: int, mixtures: int = 3) -> DiscretisedLogisticMixture:
    """One pixel's mixture, with everything away from its start."""
    torch.manual_seed(levels)
    params = torch.randn(2, mixtures * (2 + channels), channels, 1, 1, dtype=torch.float64)
    params[:, mixtures : 2 * mixtures] *= 0.3
    return mixture(params, mixtures, levels, 3)


def every(levels: int, channels: int) -> Tensor:
    grid = torch.linspace(0, 1, levels, dtype=torch.float64).tolist()
    return torch.tensor(list(itertools.product(grid, repeat=channels)), dtype=torch.float64)[:, None, :, None, None]


@pytest.mark.parametrize(("levels", "channels"), [(2, 1), (256, 1), (6, 3), (5, 2), (16, 2)])
def test_the_masses_of_all_colours_sum_to_one(levels: int, channels: int) -> None:
    total = pixel(levels, channels).log_prob(every(levels, channels)).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("loc", [-3.0, 0.0, 1.0, 4.0])
def test_the_ends_take_the_tails(loc: float) -> None:
    # means far outside the range: all mass at an end, and still a sum of 1
    shape = (1, 2, 1, 1, 1)
    where = torch.full(shape, loc, dtype=torch.float64)
    d = DiscretisedLogisticMixture(
        torch.zeros(1, 2, 1, 1, dtype=torch.float64), where, torch.full_like(where, -4.0), levels=256, dims=2
    )
    mass = d.log_prob(every(256, 1)).exp()[:, 0]
    torch.testing.assert_close(mass.sum(), torch.ones((), dtype=torch.float64), rtol=0, atol=1e-10)
    if loc in (-3.0, 4.0):
        assert float(mass[0 if loc < 0 else -1]) == pytest.approx(1, abs=1e-6)


def test_one_component_and_channel_is_the_discretised_logistic() -> None:
    loc, log_scale = torch.rand(4, 1, 1, 3, 3), torch.randn(4, 1, 1, 3, 3)
    one = DiscretisedLogisticMixture(torch.zeros(4, 1, 3, 3), loc, log_scale, levels=17, dims=2)
    plain = DiscretisedLogisticFamily(loc[:, 0], log_scale[:, 0], 17, 3)
    x = plain.sample()
    torch.testing.assert_close(one.log_prob(x), plain.log_prob(x))
    torch.testing.assert_close(one.mean, plain.mean)
    torch.testing.assert_close(one.variance, plain.variance)


def test_draws_have_the_masses_of_their_colours() -> None:
    d, n, levels = pixel(4, 3), 60_000, 4
    drawn = (d.sample(torch.Size((n,)))[:, 0, :, 0, 0] * 3).round().long()
    counts = torch.bincount(drawn @ torch.tensor([16, 4, 1]), minlength=64) / n
    mass = d.log_prob(every(levels, 3)).exp()[:, 0]
    assert bool(((counts - mass).abs() < 5 * (mass * (1 - mass) / n).sqrt() + 1e-4).all())


def test_a_channel_depends_on_those_before_it_alone() -> None:
    d = pixel(8, 3)
    assert d.coefficients is not None
    d.coefficients.requires_grad_()
    x = torch.rand(2, 3, 1, 1, dtype=torch.float64).mul(7).round().div(7)
    used = torch.autograd.grad(d.log_prob(x).sum(), d.coefficients)[0].abs().sum((0, 1, 4, 5)) > 0
    assert used.tolist() == [[False, True, True], [False, False, True]]  # [d, c]: only d < c
    # p(x_0) summed over the others does not change with the coefficients
    points = every(8, 3)
    first = d.log_prob(points).exp().view(8, 64, 2).sum(1)
    with torch.no_grad():
        d.coefficients.mul_(-2)
    torch.testing.assert_close(d.log_prob(points).exp().view(8, 64, 2).sum(1), first)


def test_it_starts_around_the_training_mean() -> None:
    torch.manual_seed(0)
    px = LogisticMixture(mlp(5, (3, 4, 4), (8,)), levels=256)
    mean = torch.rand(3, 4, 4) * 0.5 + 0.25
    px.start_from(mean)
    with torch.no_grad():
        found = px(torch.zeros(1, 5)).loc.mean(1)[0]
    assert float((found - mean).abs().max()) < 0.5
    assert float((found - mean).mean().abs()) < 0.05


# --- the autoregressive decoder ----------------------------------------------------------------------------------


def decoder(channels: int = 1) -> PixelCNNLikelihood:
    torch.manual_seed(1)
    px = PixelCNNLikelihood(
        mlp(2, (channels, 2, 2), (8,)), levels=3, mixtures=2, pixel_width=8, pixel_layers=2, pixel_context=4
    )
    with torch.no_grad():
        for parameter in px.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return px.eval()


@torch.no_grad()
def test_the_masses_of_all_images_sum_to_one_given_z() -> None:
    d = decoder()(torch.randn(3, 2))
    images = torch.tensor(list(itertools.product([0.0, 0.5, 1.0], repeat=4))).view(-1, 1, 1, 2, 2)
    torch.testing.assert_close(d.log_prob(images).exp().sum(0), torch.ones(3))


@torch.no_grad()
def test_drawn_images_have_their_masses() -> None:
    d, n = decoder()(torch.randn(1, 2)), 20_000
    images = torch.tensor(list(itertools.product([0.0, 0.5, 1.0], repeat=4))).view(-1, 1, 1, 2, 2)
    drawn = (d.sample(torch.Size((n,))).flatten(1) * 2).round().long()
    counts = torch.bincount(drawn @ torch.tensor([27, 9, 3, 1]), minlength=81) / n
    mass = d.log_prob(images).exp()[:, 0]
    assert bool(((counts - mass).abs() < 5 * (mass * (1 - mass) / n).sqrt() + 1e-4).all())


def test_a_pixel_depends_on_z_and_on_pixels_before_it_alone() -> None:
    px = decoder(channels=3)
    z = torch.randn(1, 2, requires_grad=True)
    x = torch.randint(3, (1, 3, 2, 2)).float().div(2)
    own = px(z).log_prob_pixels(x)[0, 1, 0]
    assert float(torch.autograd.grad(own, z)[0].abs().min()) > 0
    for i, j in itertools.product(range(2), range(2)):
        other = x.clone()
        other[0, :, i, j] = 1 - other[0, :, i, j] + 0.5 * (other[0, :, i, j] == 0.5)
        changed = px(z).log_prob_pixels(other)[0]
        moved = changed != px(z).log_prob_pixels(x)[0]
        before = torch.tensor([[0, 1], [2, 3]]) < 2 * i + j
        assert not bool((moved & before).any()), f"changing {i, j} changed a pixel before it"


@torch.no_grad()
def test_its_stand_in_for_a_mean_is_deterministic_and_on_the_grid() -> None:
    d = decoder()(torch.randn(5, 2))
    assert torch.equal(d.mean, d.mean)
    assert bool(d.in_support(d.mean).all())
    with pytest.raises(NotImplementedError, match="sample"):
        _ = d.variance


def test_data_that_are_no_images_are_refused() -> None:
    with pytest.raises(UserError, match="pixelcnn' needs images"):
        PixelCNNLikelihood(mlp(2, (9,)), levels=3)
    with pytest.raises(UserError, match="vectors or images"):
        LogisticMixture(mlp(2, (3, 3)), levels=3)
