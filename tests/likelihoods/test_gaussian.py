"""The Gaussian likelihood's σ: its five sources, and the fitted one's two modes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy import stats

from vaekit.distributions.optimal import FittedNormal
from vaekit.errors import UserError
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.likelihoods.laplace import Laplace
from vaekit.likelihoods.student import StudentT
from vaekit.nets.mlp import mlp


def test_fixed_sigma_is_scipys_normal_with_its_constant() -> None:
    torch.manual_seed(0)
    part = Gaussian(mlp(2, (1, 3, 3), (4,)), scale=0.3)
    z, x = torch.randn(5, 2), torch.rand(5, 1, 3, 3)
    d = part(z)
    expected = stats.norm.logpdf(x, d.mean.detach(), 0.3).sum((1, 2, 3))
    torch.testing.assert_close(
        d.log_prob(x).detach().double(), torch.from_numpy(expected).double(), rtol=1e-5, atol=1e-5
    )
    assert "scale.log_value" not in part.state_dict()


@pytest.mark.parametrize("scale, count", [(0.3, 0), ("shared", 1), ("channel", 2), ("dimension", 18), ("optimal", 0)])
def test_parameters_of_each_source(scale: float, count: int) -> None:
    part = Gaussian(mlp(2, (2, 3, 3), (4,)), scale=scale)
    assert part.net is not None
    assert sum(p.numel() for p in part.parameters()) - sum(p.numel() for p in part.net.parameters()) == count
    assert part.net.values == 1


def test_pixel_sigma_comes_from_the_network_and_is_bounded() -> None:
    part = Gaussian(mlp(2, (4,), (4,)), scale="pixel")
    assert part.net is not None
    assert part.net.values == 2
    part.net.set_bias(1, torch.tensor([1e9, -1e9, 1e9, -1e9]))
    scale = part(torch.zeros(1, 2)).stddev
    torch.testing.assert_close(scale.log(), torch.tensor([[7.0, -7.0, 7.0, -7.0]]))


@pytest.mark.parametrize("scale", ["pixels", 0.0, -1.0, float("nan"), float("inf")])
def test_a_wrong_scale_is_named(scale: float) -> None:
    with pytest.raises(UserError, match=r"model\.scale"):
        Gaussian(mlp(2, 3), scale=scale)


def train(part: Gaussian, steps: int, noise: float = 0.2) -> None:
    part.train()
    for _ in range(steps):
        d = part(torch.randn(4, 8, 2))
        d.log_prob(d.mean.detach()[0] + noise * torch.randn(8, 5))


def fitted(noise: float = 0.2) -> Gaussian:
    torch.manual_seed(0)
    part = Gaussian(mlp(2, 5, (4,)), scale="optimal")
    assert part.net is not None
    torch.nn.init.zeros_(part.net.head.weight)  # type: ignore[arg-type]
    train(part, 300, noise)
    return part


def test_the_running_sigma_is_the_training_error() -> None:
    part = fitted()
    assert part.mean_square.sqrt().item() == pytest.approx(0.2, rel=0.05)
    train(part, 500, noise=0.6)
    assert part.mean_square.sqrt().item() == pytest.approx(0.6, rel=0.05)


def test_the_first_steps_are_averaged_plainly() -> None:
    torch.manual_seed(0)
    part = Gaussian(mlp(2, 5, (4,)), scale="optimal")
    z, errors = torch.zeros(3, 2), []
    for size in (1.0, 2.0, 6.0):
        d = part(z)
        d.log_prob(d.mean.detach() + size)
        errors.append(size**2)
        torch.testing.assert_close(part.mean_square, torch.tensor(errors).mean())


def test_evaluation_is_a_fixed_normal_that_changes_nothing() -> None:
    part = fitted().eval()
    kept = part.mean_square.clone()
    z, x = torch.randn(6, 2), torch.randn(6, 5)
    d = part(z)
    assert not isinstance(d, FittedNormal)
    expected = stats.norm.logpdf(x, d.mean.detach(), kept.sqrt()).sum(-1)
    torch.testing.assert_close(
        d.log_prob(x).detach().double(), torch.from_numpy(expected).double(), rtol=1e-5, atol=1e-4
    )
    torch.testing.assert_close(part(z[:1]).log_prob(x[:1]), d.log_prob(x)[:1])
    assert torch.equal(part.mean_square, kept)


def test_the_running_sigma_is_saved() -> None:
    part = fitted()
    other = Gaussian(mlp(2, 5, (4,)), scale="optimal")
    other.load_state_dict(part.state_dict())
    assert torch.equal(other.mean_square, part.mean_square)
    assert int(other.steps) == 300


def test_training_scores_the_batch_with_its_own_sigma_over_samples_too() -> None:
    part = fitted()
    z, x = torch.randn(4, 6, 2), torch.randn(6, 5)
    d = part(z)
    log_p = d.log_prob(x)
    assert log_p.shape == (4, 6)
    sigma = (x - d.mean).square().mean().sqrt().detach()
    torch.testing.assert_close(d.stddev, sigma.expand(4, 6, 5))


def test_a_step_that_overflows_leaves_the_running_sigma_alone() -> None:
    part = fitted()
    kept = part.mean_square.clone()
    part(torch.zeros(2, 2)).log_prob(torch.full((2, 5), float("inf")))
    assert torch.equal(part.mean_square, kept)


def test_looking_without_gradients_is_not_a_training_step() -> None:
    part = fitted()
    kept = part.mean_square.clone()
    with torch.no_grad():
        part(torch.zeros(2, 2)).log_prob(torch.ones(2, 5))
    assert torch.equal(part.mean_square, kept)


@pytest.mark.parametrize("scale", ["shared", "channel", "dimension", "pixel", "optimal"])
@pytest.mark.parametrize("part_of", [Gaussian, Laplace, StudentT])
def test_sigma_is_bounded_about_the_deviation_of_data_in_any_unit(part_of: Any, scale: str) -> None:
    """Of data left as they are σ starts at their deviation, and reaches e^±7 times it, no further."""
    if scale == "optimal" and part_of is not Gaussian:
        pytest.skip("the Gaussian's own")
    part = part_of(mlp(2, (2, 3, 3), (4,)), scale=scale)
    part.in_units((1e5, 1e5), (2, 3, 3), standardised=False)
    assert part.net is not None and part.log_unit is None
    torch.nn.init.zeros_(part.net.head.weight)
    torch.nn.init.zeros_(part.net.head.bias)
    part.start_from(torch.full((2, 3, 3), 3e6))
    d = part(torch.zeros(1, 2))
    assert torch.allclose(d.mean, torch.full((1, 2, 3, 3), 3e6), rtol=1e-5)
    if scale == "optimal":
        d.log_prob(d.mean.detach())  # no error at all
        assert torch.allclose(d.log_scale, torch.tensor(math.log(1e5) - 7))
        return
    assert torch.allclose(d.log_scale, torch.tensor(math.log(1e5)))
    with torch.no_grad():
        if scale == "pixel":
            part.net.set_bias(1, torch.full((2, 3, 3), -1e9))
        else:
            part.scale.raw.fill_(-1e9)
    assert torch.allclose(part(torch.zeros(1, 2)).log_scale, torch.tensor(math.log(1e5) - 7))
