"""Spike and slab against integrals, enumeration of its gates, and a linear model whose evidence is a sum."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

import vaekit
from vaekit.bounds import elbo, importance_weighted
from vaekit.distributions.kl import kl
from vaekit.distributions.spike import SpikeSlabFamily
from vaekit.errors import UserError
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.spike import SpikeSlabPosterior
from vaekit.priors.spike import SpikeSlabPrior

SPIKES = {"model.posterior": "spike-slab", "model.prior": "spike-slab"}


def family(*numbers: tuple[float, float, float]) -> SpikeSlabFamily:
    """Return the family of (γ, μ, σ) for each number."""
    share, loc, scale = torch.tensor(numbers, dtype=torch.float64).T
    return SpikeSlabFamily(torch.logit(share), loc, scale.log())


def test_kl_is_the_sum_over_the_spike_and_the_integral_over_the_slab() -> None:
    q, p = family((0.3, 0.7, 0.4)), family((0.2, 0.0, 1.0))
    grid = torch.linspace(-12, 12, 200_000, dtype=torch.float64).unsqueeze(1)  # without 0
    log_q, log_p = q.log_prob(grid), p.log_prob(grid)
    slab = torch.trapezoid(log_q.exp() * (log_q - log_p), grid[:, 0])
    spike = 0.7 * math.log(0.7 / 0.8)
    assert kl(q, p).item() == pytest.approx(spike + slab.item(), abs=1e-8)
    assert kl(q, q).item() == pytest.approx(0, abs=1e-12)
    entropy = -torch.trapezoid(log_q.exp() * log_q, grid[:, 0]) - 0.7 * math.log(0.7)
    assert q.entropy().item() == pytest.approx(entropy.item(), abs=1e-8)


def test_samples_have_the_spikes_share_and_its_moments() -> None:
    q = family((0.3, 0.7, 0.4), (0.9, -2.0, 0.1))
    z = q.sample((100_000,))
    torch.testing.assert_close((z != 0).double().mean(0), q.share, atol=0.006, rtol=0)
    torch.testing.assert_close(z.mean(0), q.mean, atol=0.01, rtol=0)
    torch.testing.assert_close(z.var(0), q.variance, atol=0.02, rtol=0)


def test_slabs_have_their_exact_gradient_and_gates_one_of_the_right_sign() -> None:
    """d E[z²] / dμ = 2 γ μ; that of the gate is biased by its relaxation, and E[z²] grows with it."""
    logits, loc = torch.tensor([-0.8], requires_grad=True), torch.tensor([1.5], requires_grad=True)
    q = SpikeSlabFamily(logits, loc, torch.tensor([-1.0]))
    z = q.through(torch.Size((50_000,)), torch.tensor(0.5))
    z.square().mean().backward()
    assert loc.grad is not None and logits.grad is not None
    assert loc.grad.item() == pytest.approx(2 * q.share.item() * 1.5, rel=0.03)
    exact = (q.share * (1 - q.share)).item() * (1.5**2 + math.exp(-2))
    assert 0.3 * exact < logits.grad.item() < 3 * exact
    assert not q.sample().requires_grad


def evidence(x: Tensor, weight: Tensor, bias: Tensor, sd: float, share: float) -> Tensor:
    """Return log p(x) of x = W z + b + noise, a sum over the 2^D patterns of gates."""
    terms = []
    for gates in itertools.product((0.0, 1.0), repeat=weight.shape[1]):
        own = weight * torch.tensor(gates, dtype=x.dtype)
        noise = sd**2 * torch.eye(len(weight), dtype=x.dtype)
        on = sum(gates)
        log_share = on * math.log(share) + (len(gates) - on) * math.log(1 - share)
        terms.append(MultivariateNormal(bias, own @ own.T + noise).log_prob(x) + log_share)
    return torch.stack(terms).logsumexp(0)


def test_bounds_of_a_linear_model_lie_below_and_come_to_its_evidence() -> None:
    torch.manual_seed(0)
    posterior, decoder = SpikeSlabPosterior(mlp(4, 3, (8,)), 0.5), mlp(3, 4, ())
    model = VAE(posterior, SpikeSlabPrior(3, active_share=0.3), Gaussian(decoder, scale=0.7)).double()
    x = 0.5 * torch.randn(5, 4, dtype=torch.float64)
    with torch.no_grad():
        one = torch.cat([torch.zeros(1, 3), torch.eye(3)]).double()
        means = model.decode(one).mean
        exact = evidence(x, (means[1:] - means[0]).T, means[0], 0.7, 0.3)
        trace = model.trace(x, k=40_000, hard=True)
        assert bool((elbo(trace).mean() < exact.mean()).item())
        torch.testing.assert_close(importance_weighted(trace), exact, atol=0.05, rtol=0)


def test_a_vae_has_sparse_codes_and_refuses_a_prior_without_a_spike() -> None:
    run = vaekit.train("vae", "digits", steps=150, set=SPIKES | {"model.hidden": [32], "model.active_share": 0.1})
    z = run.model.trace(run.test.first(50).inputs, hard=True).latents["z"].z
    assert 0.3 < (z == 0).double().mean().item() < 1
    found = run.evaluate(["likelihood"], k=20)
    assert found["iw_bound"].value is not None and found["elbo"].value is not None
    assert found["iw_bound"].value > found["elbo"].value
    with pytest.raises(UserError, match="choose a prior on numbers or zeros"):
        vaekit.train("vae", "digits", steps=1, set={"model.posterior": "spike-slab"})
