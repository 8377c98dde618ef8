"""Bounds against an exact log p(x): the linear-Gaussian model, and probabilistic PCA as scikit-learn computes it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from linear_gaussian import LinearGaussian
from vaekit import bounds


def _log_w(toy: LinearGaussian, x: Tensor, k: int) -> Tensor:
    with torch.no_grad():
        return toy.model.trace(x, k=k).log_w


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_the_exact_posterior_gives_the_exact_likelihood_at_every_sample(dtype: torch.dtype, tolerance: float) -> None:
    toy = LinearGaussian.make(dtype=dtype)
    x = toy.sample(50)
    exact = toy.marginal().log_prob(x)
    log_w = _log_w(toy, x, 20)
    assert log_w.shape == (20, 50)
    assert ((log_w - exact).abs() / exact.abs().clamp(min=1)).max() < tolerance
    trace = toy.model.trace(x, k=7)
    torch.testing.assert_close(bounds.importance_weighted(trace), exact, rtol=tolerance, atol=tolerance)


def test_with_the_exact_posterior_the_elbo_is_exact_in_expectation() -> None:
    toy = LinearGaussian.make()
    x = toy.sample(20)
    with torch.no_grad():
        trace = toy.model.trace(x, k=20_000)
        error = (trace.log_px.std(0) / math.sqrt(20_000)).max()
        torch.testing.assert_close(bounds.elbo(trace), toy.marginal().log_prob(x), rtol=0, atol=5 * float(error))


def test_the_anchor_elbo_is_below_by_exactly_the_kl_to_the_true_posterior() -> None:
    toy = LinearGaussian.make(off=0.3)
    x = toy.sample(20)
    with torch.no_grad():
        trace = toy.model.trace(x, k=20_000)
        expected = toy.marginal().log_prob(x) - toy.gap(x)
        error = trace.log_px.std(0) / math.sqrt(20_000)
        assert toy.gap(x).min() > 0.05
        assert ((bounds.elbo(trace) - expected).abs() < 5 * error).all()
        # Sampled KL in place of the closed form: the same expectation.
        sampled = trace.log_w.mean(0)
        assert ((sampled - expected).abs() < 5 * trace.log_w.std(0) / math.sqrt(20_000)).all()


def test_elbo_below_iw_below_exact_and_tighter_with_every_doubling_of_k() -> None:
    toy = LinearGaussian.make(off=0.3)
    x = toy.sample(20)
    exact = toy.marginal().log_prob(x).mean()
    log_w = _log_w(toy, x, 2**14)
    means: list[float] = [float(log_w.mean())]
    for k in (2**power for power in range(1, 14)):
        # Disjoint groups of the same samples: by Jensen's inequality their mean bound can only rise with k.
        groups = log_w.view(-1, k, 20).transpose(0, 1)
        means.append(float(bounds.log_mean_exp(groups).mean()))
    assert means == sorted(means)
    assert means[0] < means[1] < means[4] < exact
    assert means[-1] == pytest.approx(float(exact), abs=2e-3)
    assert means[-1] <= float(exact) + 2e-3


def test_importance_weights_average_to_the_likelihood() -> None:
    toy = LinearGaussian.make(off=0.3)
    x = toy.sample(10)
    ratio = (_log_w(toy, x, 50_000) - toy.marginal().log_prob(x)).exp()
    assert ((ratio.mean(0) - 1).abs() < 5 * ratio.std(0) / math.sqrt(50_000)).all()


@pytest.mark.parametrize("rows", [1, 3, 7, 64, 512])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_log_likelihood_does_not_depend_on_chunks(k: int, rows: int) -> None:
    """With the exact posterior every weight is log p(x): dividing by a count other than the one drawn would show."""
    toy = LinearGaussian.make()
    x = toy.sample(9)
    found = bounds.log_likelihood(toy.model, x, k=k, rows=rows)
    torch.testing.assert_close(found.values, toy.marginal().log_prob(x), rtol=0, atol=1e-9)
    assert (found.k, found.measure) == (k, "density")


def test_log_likelihood_does_not_depend_on_the_batch_or_its_order() -> None:
    toy = LinearGaussian.make()
    x = toy.sample(11)
    whole = bounds.log_likelihood(toy.model, x, k=10).values
    each = torch.cat([bounds.log_likelihood(toy.model, row[None], k=10).values for row in x])
    backwards = bounds.log_likelihood(toy.model, x.flip(0), k=10).values.flip(0)
    torch.testing.assert_close(whole, each, rtol=0, atol=1e-10)
    torch.testing.assert_close(whole, backwards, rtol=0, atol=1e-10)


def test_chunks_agree_statistically_with_a_rough_posterior() -> None:
    toy = LinearGaussian.make(off=0.2)
    x = toy.sample(5)
    exact = toy.marginal().log_prob(x)
    spread = float((_log_w(toy, x, 20_000) - exact).exp().std(0).max())
    for rows in (11, 512, 5000):
        found = bounds.log_likelihood(toy.model, x, k=2001, rows=rows).values
        torch.testing.assert_close(found, exact, rtol=0, atol=5 * spread / math.sqrt(2001))


def test_weights_can_be_summed_in_double() -> None:
    toy = LinearGaussian.make(dtype=torch.float32)
    found = bounds.log_likelihood(toy.model, toy.sample(3), k=10, double=True).values
    assert found.dtype == torch.float64


@pytest.mark.parametrize("k", [1, 100, 5000])
def test_decoder_rows_do_not_grow_with_k(k: int) -> None:
    toy = LinearGaussian.make()
    seen: list[int] = []
    net = toy.model.likelihood.net
    assert net is not None
    net.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    bounds.log_likelihood(toy.model, toy.sample(13), k=k, rows=64)
    assert max(seen) <= 64
    assert sum(seen) == 13 * k


def _trained(run: Any) -> tuple[LinearGaussian, Tensor, Tensor]:
    """Read W, μ, σ off a trained linear-vae, in double and the data's own units.

    Returns them with the training data, in these units (N, D) and as the model sees them, which may be standardised.
    """
    model = run.model.double()
    latent, values = model.likelihood.net.in_shape[0], run.data.prepare.values
    with torch.no_grad():
        px = model.decode(torch.zeros(1, latent).double())
        mean = values(px.mean).flatten(1)
        weight = (values(model.decode(torch.eye(latent).double()).mean).flatten(1) - mean).T
        sigma = (values(px.mean + px.scale) - values(px.mean)).flatten()[0]
    seen = run.data.prepare(run.data.train.x).double()
    return LinearGaussian(model, weight, mean[0], sigma), values(seen).flatten(1), seen


@pytest.mark.slow
def test_linear_vae_is_probabilistic_pca() -> None:
    """With the recipe's defaults: PCA's exact log-likelihood to 0.1%, its subspace, its noise, and a tight bound."""
    from scipy.linalg import subspace_angles
    from sklearn.decomposition import PCA

    import vaekit

    toy, x, seen = _trained(vaekit.train("linear-vae", "digits", pictures=False))
    pca: Any = PCA(toy.weight.shape[1]).fit(x.numpy())
    oracle = float(pca.score(x.numpy()))
    assert oracle == pytest.approx(8.9463, abs=1e-3)
    found = float(toy.marginal().log_prob(x).mean())
    assert oracle - 1e-3 * abs(oracle) < found < oracle + 1e-4
    assert np.degrees(subspace_angles(toy.weight.numpy(), pca.components_.T)).max() < 2.0
    assert float(toy.sigma) ** 2 == pytest.approx(pca.noise_variance_, rel=5e-3)
    # What the model scores is the density of the data in their own units, whatever it sees.
    scored = toy.model.decode(torch.zeros(1, toy.weight.shape[1]).double()).log_prob(seen)
    exact = torch.distributions.Normal(toy.mean, toy.sigma).log_prob(x).sum(1)
    torch.testing.assert_close(scored, exact, rtol=1e-5, atol=1e-3)
    # The posterior is the model's own within 0.1% too, so the bound it reports is as good.
    with torch.no_grad():
        model: Any = toy.model
        q = model.encode(seen)
        full = torch.distributions.MultivariateNormal(q.mean, torch.diag_embed(q.variance))
        cov = toy.posterior_covariance()
        true = torch.distributions.MultivariateNormal((x - toy.mean) @ (cov @ toy.weight.T / toy.sigma**2).T, cov)
        gap = float(torch.distributions.kl_divergence(full, true).mean())
    assert gap < 1e-3 * abs(oracle)
