"""A trace's quantities: shapes, which KL is used where, and what never enters an importance weight."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from linear_gaussian import LinearGaussian
from vaekit import bounds
from vaekit.distributions.categorical import OneHot
from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
from vaekit.distributions.point import PointMass
from vaekit.trace import Latent, Trace

B, K, D = 4, 3, 2


def _normal_latent() -> Latent:
    q = DiagonalNormalFamily(torch.randn(B, D), torch.randn(B, D))
    z = q.rsample(torch.Size((K,)))
    return Latent(q, StandardNormalFamily(torch.zeros(D)), z, z)


def _trace(latent: Latent, **more: Any) -> Trace:
    px = DiagonalNormalFamily(latent.z, torch.zeros_like(latent.z))
    return Trace(torch.randn(B, D), None, {"z": latent}, px, **more)


def test_a_trace_is_frozen() -> None:
    trace = _trace(_normal_latent())
    with pytest.raises(dataclasses.FrozenInstanceError):
        trace.x = None  # pyright: ignore[reportAttributeAccessIssue]


def test_log_w_is_the_joint_less_the_posterior_at_the_samples() -> None:
    latent = _normal_latent()
    trace = _trace(latent)
    q = Independent(Normal(latent.q.mean, latent.q.stddev), 1)
    joint = Normal(latent.z, 1.0).log_prob(trace.x).sum(-1) + Normal(0.0, 1.0).log_prob(latent.z).sum(-1)
    torch.testing.assert_close(trace.log_w, joint - q.log_prob(latent.z))


def test_a_closed_form_kl_never_enters_log_w() -> None:
    """The weights' spread over samples is that of the sampled log-ratio, not of log p(x|z) alone."""
    trace = _trace(_normal_latent())
    closed = trace.log_px - trace.kl["z"]
    assert trace.kl["z"].shape == (B,)
    assert not torch.allclose(trace.log_w, closed, atol=1e-3)
    sampled = trace.latents["z"].log_p_code - trace.latents["z"].log_q_code
    torch.testing.assert_close(trace.log_w, trace.log_px + sampled)


def test_with_a_closed_form_kl_the_weights_would_not_be_exact() -> None:
    """The exact posterior tells: only sampled ratios make every weight log p(x)."""
    toy = LinearGaussian.make()
    x = toy.sample(5)
    with torch.no_grad():
        trace = toy.model.trace(x, k=10)
    exact = toy.marginal().log_prob(x)
    torch.testing.assert_close(trace.log_w, exact.expand(10, -1), rtol=0, atol=1e-9)
    assert (trace.log_px - trace.kl["z"] - exact).abs().mean() > 0.1


def test_log_q_that_sampling_knows_is_used_and_q_is_not_asked() -> None:
    class Silent(DiagonalNormalFamily):
        def log_prob(self, value: Tensor) -> Tensor:
            raise AssertionError("asked")

    log_q = torch.randn(K, B)
    plain = _normal_latent()
    assert isinstance(plain.q, DiagonalNormalFamily)
    latent = Latent(Silent(plain.q.loc, plain.q.log_scale), plain.p, plain.z, plain.z, log_q)
    torch.testing.assert_close(latent.kl, log_q - plain.log_p_code)
    assert latent.kl_elements is None
    trace = _trace(latent)
    torch.testing.assert_close(trace.log_w, trace.log_px + latent.log_p_code - log_q)


def test_the_kl_of_independent_dimensions_sums_to_the_whole() -> None:
    latent = _normal_latent()
    assert latent.kl_elements is not None
    assert latent.kl_elements.shape == (B, D)
    assert (latent.kl_elements >= 0).all()
    torch.testing.assert_close(latent.kl_elements.sum(-1), latent.kl)


def test_a_point_mass_costs_the_logarithm_of_its_codes_prior_and_on_a_density_raises() -> None:
    code = torch.eye(5)[:B]
    z = code.expand(K, B, 5)
    latent = Latent(PointMass(code), OneHot(torch.zeros(5)), z, z)
    torch.testing.assert_close(latent.log_q_code, torch.zeros(K, B))
    torch.testing.assert_close(latent.kl, torch.full((K, B), 5.0).log())
    continuous = Latent(PointMass(code), StandardNormalFamily(torch.zeros(5)), z, z)
    with pytest.raises(ValueError, match="no density"):
        _ = continuous.log_q_code


@pytest.mark.parametrize("shape", [(B,), (K, B)])
def test_what_a_model_adds_to_log_w_is_in_every_bound(shape: tuple[int, ...]) -> None:
    extra = torch.randn(shape)
    torch.manual_seed(0)
    without = _trace(_normal_latent())
    torch.manual_seed(0)
    trace = _trace(_normal_latent(), log_w_extra=extra)
    torch.testing.assert_close(trace.log_w, without.log_w + extra)
    mean = extra if extra.dim() == 1 else extra.mean(0)
    torch.testing.assert_close(bounds.elbo(trace), bounds.elbo(without) + mean)


def test_several_latents_add_up() -> None:
    first, second = _normal_latent(), _normal_latent()
    px = DiagonalNormalFamily(first.z + second.z, torch.zeros_like(first.z))
    trace = Trace(torch.randn(B, D), None, {"a": first, "b": second}, px)
    ratios = [latent.log_p_code - latent.log_q_code for latent in (first, second)]
    torch.testing.assert_close(trace.log_w, trace.log_px + ratios[0] + ratios[1])
    torch.testing.assert_close(bounds.elbo(trace), trace.log_px.mean(0) - first.kl - second.kl)
