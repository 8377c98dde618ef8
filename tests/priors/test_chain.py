"""The autoregressive prior: each number depends on those before it alone, and draws follow its density."""

from __future__ import annotations

import torch

from vaekit.nets.made import MADE
from vaekit.priors.chain import AutoregressivePrior


def prior(context: int = 0) -> AutoregressivePrior:
    torch.manual_seed(0)
    made = AutoregressivePrior(2, prior_components=3, prior_width=16, prior_layers=2, context=context)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def test_outputs_depend_on_the_numbers_before_alone() -> None:
    net, z = MADE(4, 3, (16, 16)), torch.randn(1, 4, requires_grad=True)
    for i in range(4):
        (slope,) = torch.autograd.grad(net(z)[0, i].sum(), z)
        assert bool((slope[0, i:] == 0).all()) and (i == 0 or bool((slope[0, :i] != 0).all()))


def grid(low: float = -16.0, high: float = 16.0, n: int = 801) -> tuple[torch.Tensor, float]:
    axis = torch.linspace(low, high, n)
    return torch.cartesian_prod(axis, axis), float((axis[1] - axis[0]) ** 2)


@torch.no_grad()
def test_it_integrates_to_1_in_two_dimensions_given_anything() -> None:
    points, area = grid()
    assert abs(float(prior()().log_prob(points).exp().sum()) * area - 1) < 1e-3
    given = prior(3)(torch.tensor([[1.0, 0.0, -0.5]]).expand(len(points), 3))
    assert abs(float(given.log_prob(points).exp().sum()) * area - 1) < 1e-3


@torch.no_grad()
def test_draws_have_the_moments_of_the_density() -> None:
    p, (points, area) = prior()(), grid()
    weight = p.log_prob(points).exp() * area
    torch.manual_seed(1)
    drawn = p.sample(torch.Size((40_000,)))
    for moment in (lambda z: z, torch.square, lambda z: z.prod(1, keepdim=True)):
        exact, found = (weight.unsqueeze(1) * moment(points)).sum(0), moment(drawn)
        assert bool(((found.mean(0) - exact).abs() < 5 * found.std(0) / len(drawn) ** 0.5).all())
