"""The KL's decomposition against closed forms, a brute-force mixture, and its own sum; gaps where both are known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from linear_gaussian import LinearGaussian
from vaekit.data.info import DataInfo
from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.metrics.base import Subject, evaluate
from vaekit.metrics.gaps import fit_posteriors
from vaekit.metrics.kl_decomposition import AggregatePosterior, decompose
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.normal import DiagonalNormal, FullNormal
from vaekit.priors.normal import StandardNormal


def near(values: torch.Tensor, expected: float, slack: float = 0.0) -> None:
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - expected) < 4 * error + slack, (float(values.mean()), expected, error)


def test_closed_forms_of_a_linear_gaussian_encoder() -> None:
    """x ~ N(0, C), q(z|x) = N(A x, diag s²): q(z) = N(0, A C Aᵀ + diag s²), so every piece is known."""
    torch.manual_seed(1)
    c = torch.tensor([[1.0, 0.6, 0.0], [0.6, 1.0, 0.3], [0.0, 0.3, 0.5]])
    a, s = torch.tensor([[0.9, 0.2, 0.0], [0.3, 0.8, 0.1]]), torch.tensor([0.6, 0.9])
    x = MultivariateNormal(torch.zeros(3), c).sample((8000,))
    cov = a @ c @ a.T + torch.diag(s.square())
    mixture = AggregatePosterior(x @ a.T, s.log().expand(8000, 2))
    pieces = decompose(mixture, StandardNormalFamily(torch.zeros(2)), samples=4000)
    mutual = 0.5 * float(cov.logdet()) - float(s.log().sum())
    correlation = 0.5 * float(cov.diagonal().log().sum() - cov.logdet())
    wise = 0.5 * float((cov.diagonal() - 1 - cov.diagonal().log()).sum())
    # the 8,000 x are themselves a sample: a slack of about their number's root on top of the samples' own error
    near(pieces.index_code, mutual, 0.03)
    near(pieces.left_out, mutual, 0.03)
    near(pieces.total_correlation, correlation, 0.03)
    assert pieces.dimension_wise is not None
    near(pieces.dimension_wise, wise, 0.03)
    near(pieces.marginal_kl, correlation + wise, 0.04)


def test_the_pieces_add_up_to_the_kl() -> None:
    q = DiagonalNormalFamily(torch.randn(30, 4), 0.5 * torch.randn(30, 4))
    p = StandardNormalFamily(torch.zeros(4))
    pieces = decompose(AggregatePosterior(q.loc, q.log_scale), p, samples=3000)
    assert pieces.dimension_wise is not None
    total = pieces.index_code + pieces.total_correlation + pieces.dimension_wise
    torch.testing.assert_close(
        pieces.total_correlation + pieces.dimension_wise, pieces.marginal_kl, rtol=1e-4, atol=1e-4
    )
    kl = (0.5 * (q.loc.square() + torch.expm1(2 * q.log_scale)) - q.log_scale).sum(1)
    near(total, float(kl.mean()))


def test_the_mixture_against_torch_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    loc, log_scale = torch.randn(11, 3), 0.3 * torch.randn(11, 3)
    z = torch.randn(50, 3)
    joint = MixtureSameFamily(Categorical(torch.ones(11)), Independent(Normal(loc, log_scale.exp()), 1))
    every = [MixtureSameFamily(Categorical(torch.ones(11)), Normal(loc[:, j], log_scale[:, j].exp())) for j in range(3)]
    for block in (1, 100, 1 << 22):
        monkeypatch.setattr("vaekit.metrics.kl_decomposition.BLOCK", block)
        found, marginal, own, _ = AggregatePosterior(loc, log_scale).log_probs(z, torch.arange(50) % 11)
        torch.testing.assert_close(found, joint.log_prob(z))
        torch.testing.assert_close(marginal, torch.stack([m.log_prob(z[:, j]) for j, m in enumerate(every)], 1))
        torch.testing.assert_close(
            own,
            Independent(Normal(loc, log_scale.exp()), 1).log_prob(z[:, None])[torch.arange(50), torch.arange(50) % 11],
        )


@pytest.mark.parametrize(("width", "mutual"), [(0.01, math.log(6)), (1e3, 0.0)])
def test_mutual_information_at_its_ends(width: float, mutual: float) -> None:
    """Posteriors far apart tell the example; posteriors all alike tell nothing."""
    mixture = AggregatePosterior(torch.arange(6.0).unsqueeze(1), torch.full((6, 1), width).log())
    pieces = decompose(mixture, StandardNormalFamily(torch.zeros(1)), samples=500)
    near(pieces.index_code, mutual, 1e-3)
    # the bound from above stays finite in single precision, where one component's density is all there is
    assert torch.isfinite(pieces.left_out).all() and pieces.left_out.mean() >= pieces.index_code.mean() - 1e-3


def test_leaving_out_equals_the_mixture_of_the_others() -> None:
    loc, log_scale = torch.randn(5, 2).double(), 0.2 * torch.randn(5, 2).double()
    pieces = decompose(AggregatePosterior(loc, log_scale), StandardNormalFamily(torch.zeros(2).double()), samples=400)
    above = pieces.left_out.mean() >= pieces.index_code.mean()
    assert above
    # log q(z|n) - log q(z) = a and the left-out b obey: N e^(-a) = (N-1) e^(-b) + 1
    torch.testing.assert_close(5 * (-pieces.index_code).exp(), 4 * (-pieces.left_out).exp() + 1)


def test_duplicated_and_independent_dimensions() -> None:
    """Independent marginals have no total correlation; a dimension and its copy have that of a Gaussian pair."""
    torch.manual_seed(0)
    mu = torch.randn(4000, 1)
    same = AggregatePosterior(mu.expand(4000, 2), torch.full((4000, 2), math.log(0.5)))
    apart = AggregatePosterior(torch.randn(4000, 2), torch.full((4000, 2), math.log(0.5)))
    p = StandardNormalFamily(torch.zeros(2))
    rho = 1 / 1.25
    near(decompose(same, p, 3000).total_correlation, -0.5 * math.log(1 - rho**2), 0.02)
    near(decompose(apart, p, 3000).total_correlation, 0.0, 0.02)


def subject(model: Any, x: torch.Tensor, **options: Any) -> Subject:
    return Subject(model, DataInfo("toy", tuple(x.shape[1:]), "real", None, len(x), 0, len(x)), x, options=options)


def _vae(posterior: Any) -> VAE:
    return VAE(posterior, StandardNormal(2), Gaussian(mlp(2, 6), scale=1.0)).eval()


def test_the_metric_reports_errors_and_its_ceiling() -> None:
    found = evaluate(subject(_vae(DiagonalNormal(mlp(6, 2))), torch.randn(40, 6)), ["kl_decomposition", "elbo"])
    parts = [found[name].value for name in ("mutual_information", "total_correlation", "dimension_wise_kl")]
    assert all(part is not None for part in parts)
    assert sum(p for p in parts if p is not None) == pytest.approx(found["kl"].value, abs=0.2)
    plain = found["mutual_information"].to_dict()
    assert plain["stderr"] > 0 and plain["ceiling"] == pytest.approx(math.log(40)) and plain["n"] == 40


@pytest.mark.parametrize(
    ("posterior", "words"),
    [(lambda: FullNormal(mlp(6, 2)), "not a diagonal"), (lambda: Delta(mlp(6, 2)), "not a diagonal")],
)
def test_other_posteriors_are_refused(posterior: Any, words: str) -> None:
    found = evaluate(subject(_vae(posterior()), torch.randn(10, 6)), ["decomposition"])
    assert all(words in result.facts["refused"] for result in found.values())


def _toy() -> LinearGaussian:
    toy = LinearGaussian.make(6, 4, 1.0, off=0.4)
    toy.model.eval()
    return toy


def test_the_best_full_normal_closes_the_gap_and_the_best_diagonal_one_is_known() -> None:
    """p(z|x) is normal with covariance S = M⁻¹: full q reaches log p(x); the best diagonal one has variances
    1/(S⁻¹)_jj, at KL = ½ (Σ_j log (S⁻¹)_jj + log det S)."""
    toy = _toy()
    x = toy.sample(6)
    exact = toy.marginal().log_prob(x)
    full = fit_posteriors(toy.model, x, family="full", steps=300, scoring=2000)
    assert ((exact - full.elbo).abs() < 4 * full.noise + 0.03).all()
    diagonal = fit_posteriors(toy.model, x, family="diagonal", steps=300, scoring=2000)
    precision = torch.linalg.inv(toy.posterior_covariance())
    gap = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    assert gap > 0.05
    assert ((exact - diagonal.elbo - gap).abs() < 4 * diagonal.noise + 0.03).all()


def test_the_gaps_add_up_to_what_the_elbo_lacks() -> None:
    toy = _toy()
    x = toy.sample(8)
    found = evaluate(subject(toy.model, x, gaps_steps=150, ais_steps=60, ais_chains=8, ais_leapfrog=4), ["gaps"])
    values = {name: result.value for name, result in found.items()}
    assert values["approximation_gap"] is not None and values["amortisation_gap"] is not None
    total = values["approximation_gap"] + values["amortisation_gap"]
    assert total == pytest.approx(float(toy.gap(x).detach().mean()), abs=0.15)
    assert values["approximation_gap_full"] == pytest.approx(0, abs=0.1)
    refused = evaluate(subject(_vae(Delta(mlp(6, 2))), torch.randn(4, 6)), ["gaps"])
    assert "point mass" in refused["amortisation_gap"].facts["refused"]
