"""Imputation against the exact conditional of a linear-Gaussian model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vaekit.conditional import Posterior
from vaekit.data import DataSettings, load
from vaekit.data.info import DataInfo
from vaekit.data.prepare import Prepare
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import NotALikelihood, UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.discretised_logistic import DiscretisedLogistic
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.normal import DiagonalNormal, FullNormal
from vaekit.priors.mixture import GaussianMixture
from vaekit.priors.normal import StandardNormal
from vaekit.tasks import imputation
from vaekit.tasks.array_imputation import in_source_terms, with_gaps
from vaekit.tasks.imputation import impute, observed_log_prob


def linear(posterior: type = DiagonalNormal) -> VAE:
    torch.manual_seed(0)
    model = VAE(posterior(mlp(5, 2, ())), StandardNormal(2), Gaussian(mlp(2, 5, ()), scale=0.4)).double().eval()
    with torch.no_grad():  # columns large enough that what is observed says much
        for name, weight in model.likelihood.named_parameters():
            if name.endswith("weight"):
                weight.mul_(2)
    return model


def conditional(model: VAE, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Exact mean and covariance of the missing entries of one row."""
    with torch.no_grad():
        mean = model.decode(torch.zeros(1, 2, dtype=torch.float64)).mean[0]
        w = model.decode(torch.eye(2, dtype=torch.float64)).mean - mean
    cov = w.T @ w + 0.16 * torch.eye(5, dtype=torch.float64)
    gap = torch.isnan(x)
    gain = cov[gap][:, ~gap] @ torch.linalg.inv(cov[~gap][:, ~gap])
    return mean[gap] + gain @ (x[~gap] - mean[~gap]), cov[gap][:, gap] - gain @ cov[~gap][:, gap]


def rows(model: VAE, n: int = 6) -> torch.Tensor:
    with torch.no_grad():
        x = model.sample(n, draw=True)
    for i in range(n):
        x[i, torch.randperm(5)[: 1 + i % 3]] = torch.nan
    return x


@pytest.mark.parametrize("posterior", [DiagonalNormal, FullNormal])
def test_resampling_gives_the_exact_conditional(posterior: type) -> None:
    model = linear(posterior)
    x = rows(model)
    k = 60_000 if posterior is FullNormal else 20_000
    found = impute(model, x, torch.zeros(5), draws=3000, k=k, seed=1)
    for i, row in enumerate(x):
        mean, covariance = conditional(model, row)
        gap = torch.isnan(row)
        assert found.ess is not None and found.ess[i] > 50
        noise = 4 * (covariance.diagonal() / found.ess[i].clamp(max=3000)).sqrt()
        assert ((found.mean[i][gap] - mean).abs() < noise).all()
        assert ((found.draws[:, i][:, gap].mean(0) - mean).abs() < 1.5 * noise).all()
        spread = found.draws[:, i][:, gap].var(0)
        assert torch.allclose(spread, covariance.diagonal(), rtol=0.25 if found.ess[i] > 1000 else 0.6)
        assert torch.equal(found.mean[i][~gap], row[~gap])
        assert torch.equal(found.draws[:, i][:, ~gap], row[~gap].expand(3000, -1))


def test_proposals_come_from_a_prior_of_any_family_too() -> None:
    """A mixture prior far from q: the exact conditional is a mixture of its components' conditionals."""
    model = linear()
    model.prior = GaussianMixture(2, components=2).double()
    with torch.no_grad():
        model.prior.loc.copy_(torch.tensor([[-4.0, 3.0], [5.0, 4.0]]))
        model.prior.raw_log_scale.fill_(-1)
        x = rows(model, 6)
        prior = model.prior()
        assert isinstance(prior.components, DiagonalNormalFamily)
        scale = prior.components.log_scale.exp()
        zero = model.decode(torch.zeros(1, 2, dtype=torch.float64)).mean[0]
        w = (model.decode(torch.eye(2, dtype=torch.float64)).mean - zero).T
    found = impute(model, x, torch.zeros(5), draws=1000, k=40_000, seed=1)
    assert found.ess is not None
    for i, row in enumerate(x):
        gap = torch.isnan(row)
        means, logs = [], []
        for loc, sd in zip(prior.components.loc.detach(), scale):
            mean, cov = zero + w @ loc, w * sd.square() @ w.T + 0.16 * torch.eye(5, dtype=torch.float64)
            seen = torch.distributions.MultivariateNormal(mean[~gap], cov[~gap][:, ~gap])
            logs.append(seen.log_prob(row[~gap]))
            gain = cov[gap][:, ~gap] @ torch.linalg.inv(cov[~gap][:, ~gap])
            means.append(mean[gap] + gain @ (row[~gap] - mean[~gap]))
        exact = torch.softmax(torch.stack(logs), 0) @ torch.stack(means)
        assert found.ess[i] > 50
        assert torch.allclose(found.mean[i][gap], exact, atol=0.3), (found.mean[i][gap], exact, found.ess[i])


@pytest.mark.slow
def test_gibbs_gives_the_conditional_where_q_is_exact() -> None:
    model = linear(FullNormal)
    with torch.no_grad():  # put the exact posterior into the linear encoder
        zero = model.decode(torch.zeros(1, 2, dtype=torch.float64)).mean[0]
        w = (model.decode(torch.eye(2, dtype=torch.float64)).mean - zero).T
        covariance = torch.linalg.inv(torch.eye(2, dtype=torch.float64) + w.T @ w / 0.16)

    class Exact(torch.nn.Module):
        takes_label, net = False, None

        def forward(self, x: torch.Tensor) -> torch.distributions.Distribution:
            loc = (x - zero) @ w @ covariance / 0.16
            return torch.distributions.MultivariateNormal(loc, covariance)

        draw = Posterior.draw
        embed = Posterior.embed
        mean = Posterior.mean

    model.posterior = Exact()  # type: ignore[assignment]
    x = rows(model, 4)
    found = impute(model, x, torch.zeros(5), method="gibbs", draws=2000, k=8000, sweeps=50)
    for i, row in enumerate(x):
        mean, covariance_ = conditional(model, row)
        gap = torch.isnan(row)
        assert torch.allclose(found.mean[i][gap], mean, atol=0.15)
        assert torch.allclose(found.draws[:, i][:, gap].var(0), covariance_.diagonal(), rtol=0.4)


def test_the_mean_depends_on_its_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = linear()
    x = rows(model, 10)
    whole = impute(model, x, torch.zeros(5), k=64).mean
    with monkeypatch.context() as patch:
        patch.setattr(imputation, "BATCH", 3)
        assert torch.allclose(impute(model, x, torch.zeros(5), k=64).mean, whole, atol=1e-9)
    assert torch.allclose(impute(model, x[[4]], torch.zeros(5), k=64).mean, whole[[4]], atol=1e-9)


def test_a_row_with_nothing_observed_gets_the_prior() -> None:
    model = linear()
    found = impute(model, torch.full((1, 5), torch.nan, dtype=torch.float64), torch.zeros(5), k=20_000, draws=2)
    with torch.no_grad():
        mean = model.decode(torch.zeros(1, 2, dtype=torch.float64)).mean[0]
    assert torch.allclose(found.mean[0], mean, atol=0.15)


@pytest.mark.parametrize("part", [Bernoulli, DiscretisedLogistic])
def test_discrete_families_keep_their_values(part: type) -> None:
    torch.manual_seed(0)
    likelihood = part(mlp(2, (1, 4, 4)), levels=17) if part is DiscretisedLogistic else part(mlp(2, (1, 4, 4)))
    model = VAE(DiagonalNormal(mlp((1, 4, 4), 2)), StandardNormal(2), likelihood).eval()
    levels = 17 if part is DiscretisedLogistic else 2
    with torch.no_grad():
        x = model.sample(8, draw=True)
    x[:, :, :2] = torch.nan
    found = impute(model, x, torch.full((1, 4, 4), 0.5), draws=4, k=32)
    grey = found.draws * (levels - 1)
    assert torch.allclose(grey, grey.round(), atol=1e-4) and bool(((found.mean >= 0) & (found.mean <= 1)).all())


def test_observed_log_prob_leaves_gaps_out() -> None:
    model = linear()
    x = rows(model)
    seen = ~torch.isnan(x)
    with torch.no_grad():
        px = model.decode(torch.zeros(3, len(x), 2, dtype=torch.float64))
        found = observed_log_prob(px, torch.where(seen, x, 0.0), seen)
        by_hand = torch.distributions.Normal(px.mean, 0.4).log_prob(torch.where(seen, x, 0.0))
    assert torch.allclose(found, torch.where(seen, by_hand, 0.0).sum(-1), atol=1e-6)


def test_two_latents_are_the_fewest() -> None:
    model = VAE(DiagonalNormal(mlp(5, 2)), StandardNormal(2), Gaussian(mlp(2, 5))).eval()
    x = torch.randn(3, 5)
    x[:, 0] = torch.nan
    assert impute(model, x, torch.zeros(5), draws=1, k=2, sweeps=0).mean.isfinite().all()
    few: list[dict[str, Any]] = [{"k": 1}, {"draws": 0}, {"sweeps": -1}]
    for wrong in few:
        with pytest.raises(UserError, match="at least"):
            impute(model, x, torch.zeros(5), **wrong)


def test_refusals() -> None:
    model = linear()
    wrongs: tuple[dict[str, Any], ...] = ({"draws": 0}, {"k": 1}, {"sweeps": -1})
    for wrong in wrongs:
        with pytest.raises(UserError):
            impute(model, rows(model), torch.zeros(5), **wrong)
    plain = VAE(Delta(mlp(5, 2)), StandardNormal(2), Gaussian(mlp(2, 5))).eval()
    with pytest.raises(NotALikelihood):
        impute(plain, rows(model).float(), torch.zeros(5))


@pytest.mark.parametrize("settings", [{}, {"standardise": True}, {"dequantise": True}])
def test_gaps_in_greys_are_on_the_models_scale_under_a_real_likelihood(settings: dict) -> None:
    data = load("digits", DataSettings(**settings), wants="real")
    greys = data.train.x[:20]
    x = greys.double().numpy().copy()
    x[:, 0, 2, 3] = np.nan
    rows, unit = with_gaps(data.info, data.prepare, x, "x")
    seen = ~rows.isnan()
    assert torch.allclose(rows[seen], data.prepare.expected(greys)[seen], atol=1e-5) and int((~seen).sum()) == 20
    back = in_source_terms(data.info, data.prepare, rows, unit)
    np.testing.assert_allclose(back[seen.numpy()], x[seen.numpy()], atol=1e-4)


@pytest.mark.parametrize(("kind", "levels", "top"), [("levels", 17, 16.0), ("unit", None, 255.0), ("unit", None, 1.0)])
def test_greys_with_gaps_go_from_0_to_their_top(kind: Any, levels: int | None, top: float) -> None:
    info = DataInfo("toy", (3,), kind, levels, 1, 1, 1)
    x = np.array([[0.0, np.nan, top], [np.nan, top / 2 if kind == "unit" else 8.0, 0.0]])
    rows, unit = with_gaps(info, Prepare(kind, "scale"), x, "x.npy")
    assert unit == top
    expected = torch.tensor([[0.0, np.nan, 1.0], [np.nan, 0.5, 0.0]])
    torch.testing.assert_close(rows, expected, equal_nan=True)
    for wrong in (-1.0, top + 300):
        with pytest.raises(UserError, match=r"x\.npy has values from"):
            with_gaps(info, Prepare(kind, "scale"), np.array([[wrong, np.nan, 0.0], [top, 0.0, 0.0]]), "x.npy")


def test_greys_may_come_without_their_channel_and_no_other_shape_does() -> None:
    info, x = DataInfo("toy", (1, 2, 3), "unit", None, 1, 1, 1), np.full((4, 2, 3), 0.5)
    x[1, 0, 2] = np.nan
    for own in (x, x[:, None]):
        assert with_gaps(info, Prepare("unit", "scale"), own, "x")[0].shape == (4, 1, 2, 3)
    for other in (x.swapaxes(1, 2), x.reshape(4, 6), x[None]):
        with pytest.raises(UserError, match="this run's model takes"):
            with_gaps(info, Prepare("unit", "scale"), other, "x")
    vector = DataInfo("toy", (6,), "unit", None, 1, 1, 1)
    with pytest.raises(UserError, match="this run's model takes"):
        with_gaps(vector, Prepare("unit", "scale"), x, "x")
