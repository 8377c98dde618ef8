"""Upper bounds on log p(x): exact values by quadrature, their order, and what says that an estimate is not enough."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import toys
from linear_gaussian import LinearGaussian
from vaekit import bounds
from vaekit.data.info import DataInfo
from vaekit.errors import NotALikelihood, UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.metrics.base import Subject, evaluate
from vaekit.metrics.upper_bounds import caution_of_upper
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal

ORDERS = (1.0, 1.5, 2.0, 3.0)


def exact(log_joint: Tensor, log_q: Tensor, order: float, dims: int = 1) -> Tensor:
    """(1/n) log ∫ q (p/q)^n, over a grid (G, B) of z."""
    return toys.quadrature(order * log_joint + (1 - order) * log_q, dims) / order


def toy(off: float = 0.3, n: int = 8) -> tuple[LinearGaussian, Tensor]:
    made = LinearGaussian.make(features=4, latent=1, off=off)
    return made, made.sample(n)


def on_grid(model: VAE, x: Tensor, z: Tensor, dims: int) -> dict[float, Tensor]:
    z = z.unsqueeze(1).expand(-1, len(x), -1)
    with torch.no_grad():
        log_joint, log_q = model.log_joint(x, z), model.encode(x).log_prob(z)
    return {order: exact(log_joint, log_q, order, dims) for order in ORDERS}


def test_estimates_are_the_exact_bounds_of_a_linear_gaussian_model() -> None:
    made, x = toy()
    truth = on_grid(made.model, x, toys.GRID.double().unsqueeze(1), 1)
    torch.testing.assert_close(truth[1.0], made.marginal().log_prob(x), rtol=0, atol=1e-6)
    for found in bounds.power_means(made.model, x, k=40_000, orders=ORDERS):
        assert ((found.values - truth[found.order]).abs() < 5 * found.noise + 1e-3).all(), found.estimator
        assert found.noise.max() < 0.03


def test_estimates_are_the_exact_bounds_of_a_two_dimensional_latent() -> None:
    model = VAE(DiagonalNormal(mlp(3, 2, (8,))), StandardNormal(2), Bernoulli(mlp(2, 3, (8,)))).eval()
    x = torch.tensor([[1.0, 0, 0], [1, 1, 1], [0, 1, 0]])
    truth = on_grid(model, x, toys.plane(), 2)
    for found in bounds.power_means(model, x, k=20_000, orders=ORDERS):
        assert ((found.values - truth[found.order]).abs() < 5 * found.noise + 2e-3).all(), found.estimator


def test_upper_is_above_exact_is_above_lower_and_rises_with_the_order() -> None:
    made, x = toy()
    truth = on_grid(made.model, x, toys.GRID.double().unsqueeze(1), 1)
    log_px = made.marginal().log_prob(x)
    elbo = log_px - made.gap(x)
    assert (elbo < log_px - 0.05).all()
    for lower, upper in pairwise(ORDERS):
        assert (truth[upper] > truth[lower] + 0.02).all()
    # of the same samples the estimates keep that order, and are no further apart than their number allows
    estimates = bounds.power_means(made.model, x, k=50, orders=ORDERS)
    for low, high in pairwise(estimates):
        assert (high.values > low.values).all()
        assert (high.values <= estimates[0].values + (1 - 1 / high.order) * math.log(50) + 1e-9).all()


def test_the_estimate_of_an_upper_bound_is_biased_downwards() -> None:
    made, x = toy(off=0.6)
    truth = on_grid(made.model, x, toys.GRID.double().unsqueeze(1), 1)[2.0]
    few = torch.stack([bounds.power_means(made.model, x, k=5, orders=(2.0,))[0].values for _ in range(200)])
    error = few.std(0) / math.sqrt(200)
    assert ((truth - few.mean(0)) > 3 * error).all()


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_chunks_make_no_difference(rows: int) -> None:
    """With the exact posterior every weight is p(x), whatever its power."""
    made, x = toy(off=0.0)
    for found in bounds.power_means(made.model, x, k=50, orders=(0.5, 1.0, 2.0), rows=rows):
        torch.testing.assert_close(found.values, made.marginal().log_prob(x), rtol=0, atol=1e-8)
        torch.testing.assert_close(found.ess, torch.full_like(found.ess, 50.0))
        assert found.k == 50 and found.noise.max() < 1e-6


def test_noise_is_the_spread_of_repeated_estimates() -> None:
    made, x = toy(n=3)
    found = [bounds.power_means(made.model, x, k=300, orders=(2.0,))[0] for _ in range(200)]
    spread = torch.stack([one.values for one in found]).std(0)
    noise = torch.stack([one.noise for one in found]).mean(0)
    assert ((spread / noise - 1).abs() < 0.2).all()


def test_a_point_mass_has_no_upper_bound() -> None:
    """All of its weights are p(x, z) of one code, which is less than p(x)."""
    model = toys.quantised_model().eval()
    x = torch.ones(2, toys.FEATURES)
    assert bounds.log_likelihood(model, x, k=4).values.shape == (2,)
    with pytest.raises(NotALikelihood, match="point mass"):
        bounds.power_means(model, x, k=4, orders=(1.0, 2.0))
    continuous = VAE(Delta(mlp(6, 2)), StandardNormal(2), Bernoulli(mlp(2, 6))).eval()
    with pytest.raises(NotALikelihood, match="point mass on a continuous latent"):
        bounds.power_means(continuous, torch.ones(2, 6), orders=(2.0,))


def subject(model: Any, x: Tensor, k: int = 2000, **options: Any) -> Subject:
    return Subject(model, DataInfo("toy", tuple(x.shape[1:]), "real", None, 1, 1, len(x)), x, k=k, options=options)


def test_the_metric_brackets_the_exact_value_and_says_what_it_is() -> None:
    made, x = toy(n=40)
    truth = {order: float(value.mean()) for order, value in _truth(made, x).items()}
    found = evaluate(subject(made.model, x), ["cubo", "iw_bound"])
    cubo, renyi, lower = (found[name].to_dict() for name in ("cubo", "renyi_upper", "iw_bound"))
    assert cubo["value"] > renyi["value"] > truth[1.0] > lower["value"] - 3 * lower["mc_stderr"]
    assert cubo["value"] == pytest.approx(truth[2.0], abs=4 * cubo["mc_stderr"] + 1e-3)
    assert renyi["value"] == pytest.approx(truth[1.5], abs=4 * renyi["mc_stderr"] + 1e-3)
    assert cubo["lower"] == pytest.approx(lower["value"], abs=1e-6)  # of the same samples
    assert cubo["most"] == pytest.approx(lower["value"] + 0.5 * math.log(2000), abs=1e-6)
    assert (cubo["alpha"], renyi["alpha"]) == (-1, -0.5)
    for entry in (cubo, renyi):
        assert "biased downwards" in entry["caution"] and "not to be trusted" not in entry["caution"]
        assert entry["measure"] == "density" and entry["k"] == 2000 and entry["pareto_k"] < 0.7


def _truth(made: LinearGaussian, x: Tensor) -> dict[float, Tensor]:
    return on_grid(made.model, x, toys.GRID.double().unsqueeze(1), 1)


def test_a_posterior_too_narrow_for_the_bound_is_said_not_to_be_trusted() -> None:
    """q's σ a quarter of the posterior's: E[w²] is infinite, and what is printed is not."""
    made, x = toy(off=-1.4, n=40)
    for name in ("cubo", "renyi_upper"):
        entry = evaluate(subject(made.model, x, k=500), ["upper"])[name].to_dict()
        assert math.isfinite(entry["value"]) and "not to be trusted" in entry["caution"]
        assert entry["pareto_k_above_0.7"] > 0.5


def test_too_few_samples_are_said_to_be_so() -> None:
    made, x = toy(n=5)
    assert "too few samples for k̂" in evaluate(subject(made.model, x, k=10), ["upper"])["cubo"].facts["caution"]


@pytest.mark.parametrize("alpha", [0, 0.5, math.nan])
def test_an_alpha_that_bounds_from_below_is_refused(alpha: float) -> None:
    made, x = toy(n=2)
    with pytest.raises(UserError, match="below 0"):
        evaluate(subject(made.model, x, renyi_alpha=alpha), ["upper"])


@pytest.mark.parametrize(
    ("ess", "shape", "words"), [(29.0, 0.5, "29 effective"), (31.0, 0.5, ""), (31.0, 0.9, "above 0.7")]
)
def test_few_effective_samples_and_heavy_weights_are_cautioned_of(ess: float, shape: float, words: str) -> None:
    one = bounds.Estimate(torch.zeros(40), "x", 500, "density", torch.full((40,), ess), torch.full((40,), shape), 2.0)
    said = caution_of_upper(one)
    assert ("not to be trusted" in said) == bool(words) and words in said and "500 samples" in said
