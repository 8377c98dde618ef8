"""Categorical and joint latents: the ELBO against a brute-force marginal, KLs, relaxations and their schedules."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from vaekit import bounds
from vaekit.distributions.base import is_relaxed
from vaekit.distributions.categorical import OneHot
from vaekit.distributions.kl import closed_form_kl
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.models.joint import Given, JointVAE
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.categorical import CategoricalPosterior
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.categorical import UniformCategorical
from vaekit.priors.normal import StandardNormal
from vaekit.runs.train import train

D, C = 3, 4
X = torch.tensor([[0.0, 1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)


def categorical(**options: Any) -> VAE:
    torch.manual_seed(2)
    q = CategoricalPosterior(mlp(5, D, (16,)), classes=C, **options)
    model = VAE(q, UniformCategorical((D, C)), Bernoulli(mlp((D, C), 5, (16,))))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model.double()


def codes() -> Tensor:
    every = torch.tensor(list(itertools.product(range(C), repeat=D)))
    return torch.nn.functional.one_hot(every, C).double()


@torch.no_grad()
def test_bounds_lie_below_the_sum_over_all_codes() -> None:
    model = categorical()
    z = codes().unsqueeze(1).expand(-1, 2, -1, -1)
    exact = torch.logsumexp(model.decode(z).log_prob(X) - D * math.log(C), 0)
    elbo = bounds.elbo(model.trace(X, k=4000, hard=True))
    assert bool((elbo < exact).all())
    # The gap is KL(q ‖ p(z|x)), which can be summed too.
    q: Any = model.encode(X)
    log_q = q.log_prob(z)
    joint = model.decode(z).log_prob(X) - D * math.log(C)
    gap = (log_q.exp() * (log_q - (joint - exact))).sum(0)
    torch.testing.assert_close(exact - elbo, gap, rtol=0, atol=0.1)
    found = bounds.log_likelihood(model, X, k=4000).values
    torch.testing.assert_close(found, exact, rtol=0, atol=0.05)


@torch.no_grad()
def test_the_prior_sums_to_one_and_the_kl_is_log_classes_less_the_entropy() -> None:
    p = UniformCategorical((D, C)).double()()
    assert float(p.log_prob(codes()).exp().sum()) == pytest.approx(1.0)
    q: Any = categorical().encode(X)
    exact = closed_form_kl(q, p)
    assert exact is not None
    torch.testing.assert_close(exact, D * math.log(C) - q.entropy())
    every = q.log_prob(codes().unsqueeze(1))
    torch.testing.assert_close(exact, (every.exp() * (every - p.log_prob(codes()).unsqueeze(1))).sum(0))


def test_relaxed_in_training_and_refused_as_a_bound_until_hard() -> None:
    model = categorical()
    soft = model.trace(X, k=2)
    assert is_relaxed(soft.latents["z"].q) and "hard=True" in str(bounds.refusal(soft))
    values = soft.latents["z"].z
    assert bool(((values > 0) & (values < 1)).any())
    hard = model.trace(X, k=2, hard=True)
    assert bounds.refusal(hard) is None and set(hard.latents["z"].z.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(hard.kl["z"], soft.kl["z"])


def test_straight_through_decodes_one_hot_codes_with_the_relaxations_gradient() -> None:
    model = categorical(straight_through=True)
    trace = model.trace(X, k=3)
    z = trace.latents["z"].z
    assert set(z.unique().tolist()) == {0.0, 1.0} and bounds.refusal(trace) is None
    grads = torch.autograd.grad(trace.log_px.sum(), list(model.posterior.parameters()))
    assert all(float(g.abs().max()) > 0 for g in grads)


def test_relaxed_draws_sharpen_to_the_probabilities() -> None:
    model = categorical(temperature=0.01).eval()
    q = model.encode(X)
    assert isinstance(q, OneHot)
    z = model.posterior.draw(q, 20_000).z
    assert float(((z > 0.01) & (z < 0.99)).double().mean()) < 0.03
    torch.testing.assert_close(z.mean(0), q.probs, rtol=0, atol=0.02)


def test_the_temperature_follows_its_schedule_and_is_kept(tmp_path: Any) -> None:
    run = train(
        "categorical-vae", "digits", steps=11, out=tmp_path / "run", set={"model.temperature": "linear 1 0.5 10"},
        pictures=False,
    )  # fmt: skip
    posterior: Any = run.model.posterior
    assert float(posterior.temperature()) == pytest.approx(0.5)
    from vaekit.runs.loading import load

    again: Any = load(tmp_path / "run").model.posterior
    assert float(again.temperature()) == pytest.approx(0.5)
    with pytest.raises(UserError, match="above 0"):
        train("categorical-vae", "digits", steps=1, set={"model.temperature": "linear 1 0 10"})


def test_posterior_and_prior_must_share_their_space() -> None:
    for settings in (
        {"model.posterior": "categorical"},
        {"model.prior": "uniform-categorical"},
        {"model.posterior": "von-mises-fisher"},
        {"model.prior": "uniform-sphere"},
        {"model.posterior": "von-mises-fisher", "model.prior": "uniform-categorical"},
    ):
        with pytest.raises(UserError, match=r"KL\(q ‖ p\) is infinite"):
            train("vae", "digits", steps=1, set=settings)


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("iwae", {"model.posterior": "flow", "model.prior": "gaussian-mixture"}),
        ("dreg", {"model.posterior": "flow", "model.prior": "flow"}),
        ("dreg", {"model.posterior": "von-mises-fisher", "model.prior": "uniform-sphere"}),
        ("vae", {"model.posterior": "full-normal", "model.prior": "vamp"}),
        ("vae", {"model.posterior": "von-mises-fisher", "model.prior": "vamp"}),
        ("vae", {"model.posterior": "categorical", "model.prior": "uniform-categorical"}),
        ("sigma-vae", {"model.posterior": "flow", "model.prior": "flow"}),
        ("vae", {"model.skip": True, "model.net": "conv", "model.prior": "flow"}),
        ("gmm-vae", {"model.skip": True}),
        ("cvae", {"model.posterior": "flow", "model.prior": "conditional-normal"}),
        ("semi-amortised-vae", {"model.posterior": "full-normal", "model.latent": 4}),
        ("joint-vae", {"model.posterior": "flow", "model.prior": "gaussian-mixture"}),
    ],
)
def test_parts_combine(recipe: str, settings: dict[str, Any]) -> None:
    run = train(recipe, "digits", steps=3, device="cpu", set=settings)
    found = run.evaluate(["likelihood"], k=3, limit=8)
    assert math.isfinite(run.record["result"]["elbo"]) and found["iw_bound"].value is not None
    assert run.sample(2).shape == (2, 1, 8, 8)


def joint() -> JointVAE:
    torch.manual_seed(2)
    model = JointVAE(
        lambda width: mlp(5, width, (16,)),
        {"z": DiagonalNormal(Given((1,))), "c": CategoricalPosterior(Given((1,)), classes=C)},
        {"z": StandardNormal(1), "c": UniformCategorical((1, C))},
        Bernoulli(mlp(1 + C, 5, (16,))),
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.7)
    return model.eval()


@torch.no_grad()
def test_a_joint_models_bound_against_quadrature_and_summation() -> None:
    model = joint()
    line = torch.linspace(-9, 9, 2001, dtype=torch.float64)
    total = torch.full((2,), -math.inf, dtype=torch.float64)
    for c in range(C):
        code = torch.zeros(len(line), 2, C, dtype=torch.float64)
        code[..., c] = 1
        z = line.view(-1, 1, 1).expand(-1, 2, 1)
        log_p = model.decode(torch.cat([z, code], -1)).log_prob(X) + model.prior("z")().log_prob(z) - math.log(C)
        total = torch.logaddexp(total, torch.logsumexp(log_p, 0) + math.log(float(line[1] - line[0])))
    trace = model.trace(X, k=5000, hard=True)
    assert bool((bounds.elbo(trace) < total).all())
    torch.testing.assert_close(bounds.importance_weighted(trace), total, rtol=0, atol=0.05)
    assert trace.log_w.shape == (5000, 2)


def test_a_joint_model_lays_its_latents_side_by_side() -> None:
    model = joint()
    assert model.posterior_mean(X).shape == model.sample_latent(2).shape == (2, 1 + C)
    assert model.sample_latent(50, temperature=0.1)[:, 1:].sum(1).unique().tolist() == [1.0]
    roles = {name.split(".")[0]: role for role, name, _ in model.parameter_roles()}
    assert roles == {"trunk": "encoder", "likelihood": "decoder"}
