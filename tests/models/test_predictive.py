"""A VAE with a head: the head learns, and no bound knows of it."""

from __future__ import annotations

import math

import pytest
import torch

from vaekit import bounds
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.predictive import PredictiveVAE
from vaekit.nets.mlp import mlp
from vaekit.objectives.base import MODEL, Objective
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.objectives.prediction import Prediction
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal


def model() -> PredictiveVAE:
    torch.manual_seed(0)
    parts = DiagonalNormal(mlp(6, 2, (8,))), StandardNormal(2), Bernoulli(mlp(2, 6, (8,)))
    return PredictiveVAE(*parts, Gaussian(mlp(2, 1, (8,)), scale=0.5)).double()


X = torch.randint(0, 2, (5, 6), generator=torch.Generator().manual_seed(0)).double()
Y = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]


def test_the_bound_is_that_of_x_alone() -> None:
    made = model()
    torch.manual_seed(1)
    plain = bounds.elbo(made.trace(X, k=3))
    torch.manual_seed(1)
    torch.testing.assert_close(bounds.elbo(made.trace(X, Y, k=3)), plain)


def test_the_term_is_the_gaussians_log_density() -> None:
    made = model()
    trace = made.trace(X, Y, k=4)
    wrong = Y - made.predict(trace.latents["z"].z)
    by_hand = (0.5 * (wrong / 0.5).square() + math.log(0.5) + 0.5 * math.log(2 * math.pi))[..., 0].mean(0)
    torch.testing.assert_close(Prediction()(trace), by_hand)
    assert not Prediction()(made.trace(X)).detach().any()


def test_head_and_encoder_learn_from_the_property() -> None:
    made = model()
    loss = Objective(Reconstruction(0.0), Rate(0.0), Prediction())(made.trace(X, Y))[MODEL]
    loss.total.backward()
    for part in (made.target, made.posterior):
        grads = [p.grad for p in part.parameters() if p.grad is not None]
        assert grads and sum(float(g.abs().sum()) for g in grads) > 0
    assert loss.parts["prediction"] == pytest.approx(float(loss.total.detach()))
