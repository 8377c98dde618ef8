"""Perceptual reconstruction: by hand, over layers, with a network that stays still."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.nets.mlp import mlp
from vaekit.objectives.base import MODEL, Objective
from vaekit.objectives.perceptual import FeatureReconstruction, frozen
from vaekit.trace import Trace


class Layers(nn.Module):
    """Two layers of a small network."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.drop = nn.Linear(4, 3), nn.Linear(3, 2), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> list[Tensor]:
        first = torch.tanh(self.a(x))
        return [first, self.drop(self.b(first))]


def trace(mean: Tensor, x: Tensor) -> Trace:
    return Trace(x, None, {}, DiagonalNormalFamily(mean, torch.zeros_like(mean)))


@torch.no_grad()
def test_it_is_half_the_squared_distance_of_each_layer() -> None:
    torch.manual_seed(0)
    network = Layers().eval()
    x, mean = torch.randn(5, 4), torch.randn(3, 5, 4)
    found = FeatureReconstruction(network, layers=(2.0, 0.5))(trace(mean, x))
    assert found.shape == (5,)
    for b in range(5):
        total = 0.0
        for k in range(3):
            for weight, aim, got in zip((2.0, 0.5), network(x[b]), network(mean[k, b])):
                total += 0.5 * weight * float((aim - got).square().sum()) / 3
        assert float(found[b]) == pytest.approx(total, rel=1e-5)


def test_the_data_themselves_cost_nothing_and_layers_must_match() -> None:
    x = torch.randn(5, 4)
    assert float(FeatureReconstruction(Layers().eval())(trace(x[None], x)).detach().abs().max()) == 0
    with pytest.raises(ValueError, match="1 layer weights for a network that returns 2"):
        FeatureReconstruction(Layers(), layers=(1.0,))(trace(x[None], x))


def test_a_frozen_network_is_a_copy_in_eval_mode_that_nobody_trains() -> None:
    network = Layers()
    still = frozen(network)
    objective = Objective(FeatureReconstruction(still)).train()
    x, mean = torch.randn(5, 4), torch.randn(1, 5, 4, requires_grad=True)
    first, second = (objective(trace(mean, x))[MODEL].total for _ in range(2))
    assert torch.equal(first, second)  # dropout is off
    (grad,) = torch.autograd.grad(first, mean)
    assert bool((grad != 0).any())
    assert [p for _, p in objective.own_parameters(MODEL) if p.requires_grad] == []
    with torch.no_grad():
        network.a.weight.zero_()
    assert torch.equal(objective(trace(mean, x))[MODEL].total, first)


def test_a_library_network_will_do() -> None:
    net = frozen(mlp((1, 8, 8), 5, (16,)))
    x = torch.rand(3, 1, 8, 8)
    assert FeatureReconstruction(net)(trace(torch.rand(2, 3, 1, 8, 8), x)).shape == (3,)
