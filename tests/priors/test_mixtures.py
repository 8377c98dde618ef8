"""Mixture priors: densities by quadrature in two dimensions, sklearn's mixture, and a Vamp that owns no posterior."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vaekit.distributions.mixture import Mixture
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.base import POSTERIORS
from vaekit.priors.mixture import GaussianMixture
from vaekit.priors.vamp import VampPrior
from vaekit.runs.train import train


def over_the_plane(d: Mixture, half: float = 12.0, n: int = 301) -> float:
    line = torch.linspace(-half, half, n, dtype=torch.float64)
    points = torch.cartesian_prod(line, line)
    return float(d.log_prob(points).exp().sum()) * float(line[1] - line[0]) ** 2


def vamp(name: str = "diagonal-normal", **options: Any) -> tuple[Any, VampPrior]:
    torch.manual_seed(0)
    q = POSTERIORS[name].part(mlp(6, 2, (8,)), **options)
    return q, VampPrior(q, (6,), components=9, limits=(0.0, 1.0))


@torch.no_grad()
def test_gaussian_mixture_integrates_to_one() -> None:
    prior = GaussianMixture(2, components=4).double()
    prior.logits.copy_(torch.tensor([0.0, 1.0, -2.0, 0.5]))
    prior.raw_log_scale.copy_(0.5 * torch.randn(4, 2))
    assert over_the_plane(prior()) == pytest.approx(1.0, abs=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("name", ["diagonal-normal", "full-normal"])
def test_vamp_integrates_to_one(name: str) -> None:
    q, prior = vamp(name)
    q.double()
    assert over_the_plane(prior.double()()) == pytest.approx(1.0, abs=1e-6)


@torch.no_grad()
def test_densities_and_assignments_are_sklearns() -> None:
    from sklearn.mixture import GaussianMixture as Reference

    prior = GaussianMixture(3, components=4).double()
    prior.logits.copy_(torch.tensor([0.0, 1.0, -2.0, 0.5]))
    prior.raw_log_scale.copy_(0.3 * torch.randn(4, 3))
    d: Any = prior()
    reference = Reference(4, covariance_type="diag")
    reference.weights_ = prior.logits.softmax(0).numpy()
    reference.means_ = prior.loc.numpy()
    reference.covariances_ = d.components.variance.numpy()
    reference.precisions_cholesky_ = 1 / np.sqrt(reference.covariances_)
    x = torch.randn(50, 3, dtype=torch.float64)
    np.testing.assert_allclose(d.log_prob(x).numpy(), reference.score_samples(x.numpy()), atol=1e-10)
    np.testing.assert_allclose(d.responsibilities(x).numpy(), reference.predict_proba(x.numpy()), atol=1e-10)


@torch.no_grad()
def test_the_quick_table_keeps_its_digits_far_out_and_where_components_are_narrow() -> None:
    narrow = DiagonalNormalFamily(5 * torch.randn(7, 20), torch.full((7, 20), -4.0))
    d = Mixture(narrow, torch.zeros(7))
    z = narrow.loc[3] + 0.02 * torch.randn(6, 20)
    each: Tensor = narrow.log_prob(z.unsqueeze(1)).double()
    torch.testing.assert_close(d.log_prob(z).double(), (each - np.log(7)).logsumexp(-1), rtol=1e-5, atol=2e-3)


def test_vamp_is_the_mean_of_the_posteriors_at_its_inputs() -> None:
    q, prior = vamp()
    z = torch.randn(5, 2)
    u = prior.inputs.clamp(0, 1)
    expected = torch.stack([q(u[i : i + 1]).log_prob(z) for i in range(9)]).logsumexp(0) - np.log(9)
    torch.testing.assert_close(prior().log_prob(z), expected)


def test_vamp_names_the_posterior_once_and_copies_follow_theirs() -> None:
    q, prior = vamp()
    model = VAE(q, prior, Bernoulli(mlp(2, 6)))
    assert [name for name in model.state_dict() if name.startswith("prior.")] == ["prior.inputs"]
    twin = deepcopy(model)
    z = torch.randn(3, 2)
    before = twin.prior_of().log_prob(z)
    with torch.no_grad():
        for parameter in model.posterior.parameters():
            parameter.add_(0.5)
    torch.testing.assert_close(twin.prior_of().log_prob(z), before)
    assert not torch.allclose(model.prior_of().log_prob(z), before)
    model.prior_of().log_prob(z).sum().backward()
    assert all(p.grad is not None for p in model.posterior.parameters())


def test_vamp_starts_at_training_examples() -> None:
    run = train("vamp-vae", "digits", steps=1, device="cpu", set={"model.components": 30, "train.lr": 1e-9})
    prior: Any = run.model.prior
    inputs = prior.inputs.detach().flatten(1)
    data = run.prepare.expected(run.data.train.x).flatten(1)
    near = torch.cdist(inputs, data).min(1).values
    assert len(inputs) == 30 and float(near.max()) < 3.2, "pseudo-inputs are binarised digits, not noise"
    assert float(inputs.min()) > 0 and float(inputs.max()) < 1


def test_vamp_refuses_point_masses_and_labels() -> None:
    with pytest.raises(UserError, match="point mass"):
        train("ae", "digits", steps=1, set={"model.prior": "vamp"})
    with pytest.raises(UserError, match="no labels"):
        train("cvae", "digits", steps=1, set={"model.prior": "vamp"})


def test_temperature_narrows_components() -> None:
    d: Any = GaussianMixture(4, components=3)()
    torch.testing.assert_close(d.tempered(0.5).components.scale, 0.5 * d.components.scale)
