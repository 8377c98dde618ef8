"""What each number adds to a score: exact sums, and the closed form of a linear Gaussian model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from vaekit.distributions.bernoulli import BernoulliFamily
from vaekit.distributions.mixed import Layout, MixedColumns
from vaekit.distributions.normal import DiagonalNormalFamily, FullNormalFamily
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.normal import DiagonalNormal, FullNormal
from vaekit.priors.normal import StandardNormal
from vaekit.tasks.anomaly import Scorer
from vaekit.tasks.contributions import DECOMPOSED, contributions, elements


@pytest.mark.parametrize("name", DECOMPOSED)
@pytest.mark.parametrize("posterior", [DiagonalNormal, FullNormal])
def test_they_sum_to_the_score(name: str, posterior: type) -> None:
    torch.manual_seed(0)
    shape = (1, 4, 4)
    model = VAE(posterior(mlp(shape, 2, (8,))), StandardNormal(2), Bernoulli(mlp(2, shape, (8,)))).double().eval()
    x = (torch.rand(9, *shape) < 0.4).double()
    scorer = Scorer(model, k=20, batch=4)
    parts, latents = contributions(scorer, name, x)
    assert parts.shape == x.shape and latents.shape == (9,)
    assert torch.allclose(parts.flatten(1).sum(1) + latents, scorer.score(name, x), atol=1e-9)
    assert (latents == 0).all() == (name == "reconstruction")


class Linear(VAE):
    """x_j = w_j z + 0.5 ε_j, and q with the posterior's mean but 1.5 times its deviation."""

    def __init__(self, w: Tensor) -> None:
        super().__init__(DiagonalNormal(mlp(len(w), 1, ())), StandardNormal(1), Gaussian(mlp(1, len(w), ()), scale=0.5))
        with torch.no_grad():
            decoder = dict(self.likelihood.named_parameters())
            weight = next(value for value in decoder.values() if value.shape == (len(w), 1))
            for value in decoder.values():
                value.zero_()
            weight.copy_(w[:, None])
            variance = 1 / (1 + w @ w / 0.25)
            head = dict(self.posterior.named_parameters())
            for value in head.values():
                value.zero_()
            next(value for value in head.values() if value.shape == (2, len(w)))[0] = variance * w / 0.25
            next(value for value in head.values() if value.shape == (2,))[1] = math.log(1.5) + 0.5 * variance.log()


def test_they_are_expected_costs_under_the_true_posterior_and_its_kl() -> None:
    w = torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64)
    model = Linear(w).double().eval()
    x = torch.tensor([[0.3, -1.0, 0.2], [0.3, 3.0, 0.2]], dtype=torch.float64)
    variance = 1 / (1 + w @ w / 0.25)
    mean = variance * (x @ w) / 0.25
    assert torch.allclose(model.posterior_mean(x)[:, 0], mean, atol=1e-6)
    costs = 0.5 * math.log(2 * math.pi * 0.25) + 0.5 * ((x - mean[:, None] * w) ** 2 + variance * w**2) / 0.25
    kl = 0.5 * (variance + mean**2 - 1 - variance.log())
    parts, latents = contributions(Scorer(model, k=20_000), "iw", x)
    assert torch.allclose(parts, costs, rtol=0.02, atol=0.02)
    assert torch.allclose(latents, kl, rtol=0.02, atol=0.02)


def test_a_missing_cell_adds_nothing() -> None:
    columns = MixedColumns(
        Layout.of([{"type": "boolean", "levels": ["no", "yes"]}] * 2), None, None, torch.zeros(1, 2, 2)
    )
    assert elements(columns, torch.tensor([[1.0, torch.nan]])).tolist() == [[pytest.approx(-math.log(2)), 0.0]]


def test_likelihoods_that_do_not_factorise_are_refused() -> None:
    full = FullNormalFamily(torch.zeros(3), torch.zeros(3), torch.zeros(3, 3))
    independent: Distribution = Independent(Normal(torch.zeros(3), 1.0), 1)
    x = torch.zeros(2, 3)
    assert torch.allclose(elements(independent, x).sum(-1), independent.log_prob(x))
    with pytest.raises(UserError, match="one by one"):
        elements(full, x)
    model = VAE(DiagonalNormal(mlp(3, 1)), StandardNormal(1), Gaussian(mlp(1, 3))).eval()
    with pytest.raises(UserError, match="'distance' is no sum"):
        contributions(Scorer(model), "distance", x)


def test_elements_have_the_shape_of_an_example() -> None:
    """Of images every axis counts; what is shorter at the end alone, tokens after END, is padded with zeros."""
    x = torch.rand(2, 1, 4, 4)
    fair = elements(BernoulliFamily(torch.zeros(2, 1, 4, 4), 3), x.round())
    torch.testing.assert_close(fair, torch.full_like(x, -math.log(2)))

    class Short(DiagonalNormalFamily):
        def log_prob_elements(self, value: Tensor) -> Tensor:
            return super().log_prob_elements(value)[..., :3]

    found = elements(Short(torch.zeros(2, 5), torch.zeros(2, 5)), torch.zeros(2, 5))
    torch.testing.assert_close(found, torch.tensor([-0.5 * math.log(2 * math.pi)] * 3 + [0.0] * 2).expand(2, 5))
    with pytest.raises(UserError, match="other parts"):
        elements(DiagonalNormalFamily(torch.zeros(2, 3, 4), torch.zeros(()), 2), torch.zeros(2, 1, 4))
