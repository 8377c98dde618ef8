"""The KL in three parts: rows that sum to 1, exactness on a whole data set, known answers on a correlated Gaussian."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
from vaekit.objectives.base import Objective
from vaekit.objectives.decomposition import Estimator, decompose, decomposed_kl, log_weights
from vaekit.objectives.elbo import Reconstruction
from vaekit.trace import Latent, Trace


@pytest.mark.parametrize(("batch", "n"), [(1, 100), (2, 2), (7, 7), (8, 1000), (128, 55_000), (5, 3)])
def test_stratified_rows_sum_to_one(batch: int, n: int) -> None:
    weights = log_weights(batch, n, "mss", like=torch.zeros((), dtype=torch.float64)).exp()
    torch.testing.assert_close(weights.sum(1), torch.ones(batch, dtype=torch.float64), rtol=0, atol=1e-12)
    own = 1.0 if batch == 1 else 1 / max(n, batch)
    torch.testing.assert_close(weights.diagonal(), torch.full((batch,), own, dtype=torch.float64), rtol=1e-12, atol=0)


def test_weighted_rows_are_the_papers() -> None:
    torch.testing.assert_close(log_weights(4, 10, "mws").exp(), torch.full((4, 4), 1 / 40))


def test_stratified_weights_are_unbiased_for_the_mixture() -> None:
    """Over all batches of 3 of 5 examples, the mean estimate of q(z) at a z of the second in line is q(z) itself."""
    densities = torch.tensor([0.9, 0.1, 0.4, 0.3, 0.7], dtype=torch.float64)
    found = []
    for others in itertools.permutations(range(1, 5), 2):
        row = log_weights(3, 5, "mss", like=densities)[1].exp()
        found.append((row * densities[[others[0], 0, others[1]]]).sum())
    torch.testing.assert_close(torch.stack(found).mean(), densities.mean(), rtol=1e-12, atol=0)


def correlated(n: int, rho: float, noise: float) -> tuple[DiagonalNormalFamily, Tensor]:
    """Posteriors N(μ_n, noise² I) whose aggregate is N(0, C) with unit variances and correlation rho."""
    torch.manual_seed(0)
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)
    inner = covariance - noise**2 * torch.eye(2, dtype=torch.float64)
    means = torch.randn(n, 2, dtype=torch.float64) @ torch.linalg.cholesky(inner).mT
    return DiagonalNormalFamily(means, torch.full_like(means, math.log(noise))), covariance


def test_a_correlated_gaussian_has_the_parts_it_should() -> None:
    """TC = -½ log(1 - ρ²); MI = ½ log det C - log det noise; the marginals are N(0, 1), so their KL is 0."""
    rho, noise, n = 0.8, 0.4, 2000
    q, covariance = correlated(n, rho, noise)
    p = StandardNormalFamily(torch.zeros(2, dtype=torch.float64))
    z = q.rsample()
    parts = decompose(q, p, z, n)
    expected = {
        "total_correlation": -0.5 * math.log(1 - rho**2),
        "mutual_information": float(0.5 * torch.logdet(covariance)) - 2 * math.log(noise),
        "dimension_kl": 0.0,
    }
    for name, value in expected.items():
        found = getattr(parts, name)
        assert abs(float(found.mean()) - value) < 4 * float(found.std()) / n**0.5 + 0.02, name
    whole = parts.total_correlation + parts.mutual_information + parts.dimension_kl
    torch.testing.assert_close(whole, q.log_prob(z) - p.log_prob(z), rtol=1e-9, atol=1e-9)


def test_a_small_batch_estimates_the_same_total_correlation() -> None:
    """Stratified weights in batches of 100 of 2,000: near the whole data set's; weighted ones are off by log N."""
    n, batch = 2000, 100
    q, _ = correlated(n, 0.8, 0.4)
    p, z = StandardNormalFamily(torch.zeros(2, dtype=torch.float64)), q.rsample()
    exact = decompose(q, p, z, n).total_correlation.mean()
    found: dict[Estimator, list[Tensor]] = {"mss": [], "mws": []}
    for rows in torch.randperm(n).split(batch):
        part = DiagonalNormalFamily(q.loc[rows], q.log_scale[rows])
        for estimator, values in found.items():
            values.append(decompose(part, p, z[rows], n, estimator).total_correlation.mean())
    assert abs(float(torch.stack(found["mss"]).mean() - exact)) < 0.1
    # log q(z) and each log q(z_d) are low by log N, so their difference is high by (D - 1) log N.
    assert abs(float(torch.stack(found["mws"]).mean() - exact) - math.log(n)) < 0.1


def test_terms_with_weight_one_sum_to_the_sampled_kl_and_read_one_trace_once() -> None:
    q = DiagonalNormalFamily(torch.randn(6, 3, requires_grad=True), torch.zeros(6, 3))
    z = q.rsample((1,))
    p = StandardNormalFamily(torch.zeros(3))
    x = torch.randn(6, 4)
    trace = Trace(x, None, {"z": Latent(q, p, z, z)}, DiagonalNormalFamily(torch.zeros(1, 6, 4), torch.zeros(1, 6, 4)))
    objective = Objective(Reconstruction(), *decomposed_kl(50))
    loss = objective(trace)["model"]
    torch.testing.assert_close(loss.total, -trace.log_w.mean(), rtol=1e-5, atol=1e-5)
    other = Trace(x, None, {"z": Latent(q, p, z + 1, z + 1)}, trace.px)
    assert float(objective(other)["model"].parts["dimension_kl"]) != float(loss.parts["dimension_kl"])
    weighted = Objective(Reconstruction(), *decomposed_kl(50, alpha=2.0, beta=6.0, gamma=0.5))(trace)["model"]
    parts = weighted.parts
    expected = (
        parts["reconstruction"]
        + 2 * parts["mutual_information"]
        + 6 * parts["total_correlation"]
        + 0.5 * parts["dimension_kl"]
    )
    torch.testing.assert_close(weighted.total.detach(), expected)
