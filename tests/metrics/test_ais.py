"""Annealed importance sampling against an exact log p(x), its bracket, and importance weighting at a large latent."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from linear_gaussian import LinearGaussian
from vaekit import bounds
from vaekit.data.info import DataInfo
from vaekit.distributions.normal import LOG_2PI
from vaekit.errors import NotALikelihood
from vaekit.likelihoods.bernoulli import Bernoulli, SoftBernoulli
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.metrics.ais import Anneal, annealed_importance, bidirectional
from vaekit.metrics.base import Subject, evaluate
from vaekit.metrics.exact import exact_log_likelihood
from vaekit.metrics.hmc import Bridge, State, adapt, stretch, temperatures, transition
from vaekit.metrics.likelihood import noise_of_mean
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.posteriors.von_mises_fisher import VonMisesFisher
from vaekit.priors.normal import StandardNormal
from vaekit.priors.sphere import UniformSphere


def toy(features: int, latent: int, off: float = 0.3) -> LinearGaussian:
    made = LinearGaussian.make(features, latent, 0.5 if latent < 3 else 1.5, off=off)
    made.model.eval()
    return made


def subject(model: Any, x: torch.Tensor, **options: Any) -> Subject:
    info = DataInfo("toy", tuple(x.shape[1:]), "real", None, len(x), 0, len(x))
    return Subject(model, info, x, k=2000, options=options)


@pytest.mark.parametrize(("features", "latent", "steps"), [(3, 1, 80), (8, 3, 150), (20, 8, 200)])
@pytest.mark.parametrize("start", ["prior", "posterior"])
def test_annealing_agrees_with_the_exact_value(features: int, latent: int, steps: int, start: Any) -> None:
    made = toy(features, latent)
    x = made.sample(20)
    exact = made.marginal().log_prob(x)
    found = annealed_importance(made.model, x, how=Anneal(steps, 32, 5, start=start))
    assert 0.5 < found.acceptance.mean() < 0.98
    # log of an unbiased mean lies below by half its variance; then its own reported noise
    expected = exact - 0.5 * found.noise.square()
    noise = noise_of_mean(found.noise)
    assert abs(float((found.values - expected).mean())) < 4 * noise and noise < 0.06
    assert ((found.values - expected).abs() < 6 * found.noise + 0.02).all()


@pytest.mark.parametrize(("features", "latent"), [(3, 1), (8, 3), (20, 8)])
def test_importance_weighting_agrees_with_the_exact_value(features: int, latent: int) -> None:
    made = toy(features, latent, off=0.3 / latent)
    x = made.sample(20)
    found = bounds.log_likelihood(made.model, x, k=5000)
    expected = made.marginal().log_prob(x) - 0.5 * found.noise.square()
    noise = noise_of_mean(found.noise)
    assert abs(float((found.values - expected).mean())) < 4 * noise + 1e-3 and noise < 0.05


def test_annealing_is_tighter_where_the_latent_is_large() -> None:
    made = toy(60, 40)
    x = made.sample(8)
    exact = made.marginal().log_prob(x)
    annealed = annealed_importance(made.model, x, how=Anneal(300, 8, 4)).values
    weighted = bounds.log_likelihood(made.model, x, k=5000).values
    assert (exact - annealed).mean() < 0.2 * (exact - weighted).mean()
    assert (annealed > weighted).all()


@pytest.mark.parametrize(("features", "latent", "steps"), [(8, 3, 100), (20, 8, 100), (30, 10, 15)])
def test_both_ways_bracket_the_exact_value(features: int, latent: int, steps: int) -> None:
    made = toy(features, latent)
    found = bidirectional(made.model, 20, how=Anneal(steps, 16, 5))
    exact = made.marginal().log_prob(found.x)
    lower, upper = (found.forward.values - exact).mean(), (found.upper - exact).mean()
    noise = noise_of_mean(found.forward.noise)
    assert lower < 3 * noise and upper > -3 * noise
    if steps == 15:  # too few densities: the bracket must say so by its width
        assert lower < -0.3 and upper > 0.3


def test_the_bracket_holds_the_exact_mean_and_narrows() -> None:
    made, widths = toy(8, 3), list[float]()
    for steps in (6, 30):
        ends: list[tuple[float, float]] = []
        for _ in range(10):
            found = bidirectional(made.model, 16, how=Anneal(steps, 4, 2))
            low, high = found.interval
            assert low <= float(made.marginal().log_prob(found.x).mean()) <= high
            means = float(found.forward.values.mean()), float(found.upper.mean())
            error = float((found.upper - found.forward.values).std()) / 4
            assert (low, high) == pytest.approx((means[0] - 1.96 * error, means[1] + 1.96 * error))
            ends.append((low, high))
        widths.append(sum(high - low for low, high in ends))
    assert widths[1] < 0.5 * widths[0]


def test_more_densities_tighten_the_bracket() -> None:
    made = toy(20, 8)
    gaps = []
    for steps in (10, 40, 160):
        found = bidirectional(made.model, 20, how=Anneal(steps, 8, 5))
        gaps.append(float((found.upper - found.forward.values).mean()))
    assert gaps[0] > gaps[1] > gaps[2] > 0


@pytest.mark.parametrize("spacing", ["linear", "geometric", "sigmoid"])
def test_temperatures_go_from_0_to_1(spacing: Any) -> None:
    betas = temperatures(50, spacing)
    assert len(betas) == 51 and betas[0] == 0 and betas[-1] == 1 and (betas.diff() > 0).all()
    made = toy(8, 3)
    x = made.sample(5)
    found = annealed_importance(made.model, x, how=Anneal(100, 32, 5, spacing))
    assert abs(float((found.values - made.marginal().log_prob(x)).mean())) < 0.15


def test_step_sizes_are_interpolated_in_their_logarithms() -> None:
    steps = torch.tensor([[1.0, 8.0], [4.0, 8.0], [2.0, 1.0]], dtype=torch.float64)
    pilot = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    found = stretch(steps, pilot, torch.tensor([0.0, 0.125, 0.25, 0.5, 1.0], dtype=torch.float64))
    wanted = [[1, 8], [2, 8], [4, 8], [4 * 0.5 ** (1 / 3), 8 ** (2 / 3)], [2, 1]]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))


def test_a_transition_leaves_its_density_as_it_is() -> None:
    """From exact samples of N(1, diag(4, 1/4)), a hundred transitions keep mean and variance."""
    mean, sd = torch.tensor([1.0, 1.0]), torch.tensor([2.0, 0.5])
    bridge = Bridge(
        lambda z: (-0.5 * z.square()).sum(-1), lambda z: (0.5 * z.square() - 0.5 * ((z - mean) / sd).square()).sum(-1)
    )
    z = mean + sd * torch.randn(4000, 1, 2)
    state, accept = State.at(bridge, z), torch.zeros(())
    for _ in range(30):
        state, accept = transition(bridge, state, 1.0, torch.tensor([0.7]), 4)
    assert 0.5 < accept.mean() < 1
    assert ((state.z.mean((0, 1)) - mean).abs() < 4 * sd / math.sqrt(4000)).all()
    assert ((state.z.std((0, 1)) / sd - 1).abs() < 4 / math.sqrt(8000)).all()
    assert float(((state.z - z).square().mean((0, 1)) / sd.square()).min()) > 1  # and they do move


def test_step_sizes_find_the_scale() -> None:
    """A density a hundred times narrower gets steps a hundred times shorter."""
    found = []
    for sd in (1.0, 0.01):
        bridge = Bridge(lambda z, sd=sd: (-0.5 * (z / sd).square()).sum(-1), lambda z: 0 * z.sum(-1))
        sizes = adapt(bridge, torch.zeros(8, 3, 5), torch.linspace(0, 1, 60), 5)
        assert sizes.shape == (60, 3)
        found.append(float(sizes[-20:].mean()))
    assert 50 < found[0] / found[1] < 200


def test_the_rate_distortion_curve_of_a_linear_gaussian_model() -> None:
    """At β the optimal q is N(β M⁻¹ Wᵀ (x - μ)/σ², M⁻¹) with M = I + β Wᵀ W/σ²: rate and distortion in closed form."""
    made = toy(6, 2)
    x = made.sample(10)
    found = annealed_importance(made.model, x, how=Anneal(150, 64, 5, "linear"), curve=True)
    betas = temperatures(150, "linear")
    w, s2 = made.weight, made.sigma**2

    def exact(beta: Any) -> tuple[Tensor, Tensor]:
        cov = torch.linalg.inv(torch.eye(2, dtype=w.dtype) + beta * w.T @ w / s2)
        mean = beta * (x - made.mean) @ w @ cov / s2
        off = (x - made.mean - mean @ w.T).square().sum(1) + (w @ cov @ w.T).trace()
        rate = 0.5 * (cov.trace() + mean.square().sum(1) - 2 - cov.logdet())
        return rate, 0.5 * off / s2 + 3 * (LOG_2PI + s2.log())

    for t in (0, 50, 100, 150):
        rate, distortion = exact(betas[t])
        assert float((found.curve["rate"][t] - rate).mean()) == pytest.approx(0, abs=0.25)
        assert float((found.curve["distortion"][t] - distortion).mean()) == pytest.approx(
            0, abs=0.03 * float(distortion.mean()) + 0.3
        )
    rates, distortions = (torch.stack(part) for part in zip(*(exact(b) for b in temperatures(2000, "linear"))))
    area = float(-torch.trapezoid(rates, distortions, dim=0).mean())
    options = {"ais_steps": 150, "ais_chains": 64, "ais_leapfrog": 5, "ais_limit": 10}
    metric = evaluate(subject(made.model, x, **options), ["rate_distortion"])["rate_distortion"]
    assert metric.value == pytest.approx(area, rel=0.1) and metric.n == 10


def test_examples_and_chains_in_parts_give_the_same_estimate_within_noise() -> None:
    made = toy(8, 3)
    x = made.sample(6)
    whole = annealed_importance(made.model, x, how=Anneal(60, 32, 4))
    parts = annealed_importance(made.model, x, how=Anneal(60, 32, 4, rows=64))
    difference = (whole.values - parts.values).abs()
    assert (difference < 6 * (whole.noise + parts.noise) + 0.02).all()


@pytest.mark.parametrize(("features", "latent"), [(5, 1), (12, 4), (60, 30)])
def test_exact_equals_the_closed_form(features: int, latent: int) -> None:
    made = toy(features, latent)
    x = made.sample(30)
    torch.testing.assert_close(exact_log_likelihood(made.model, x), made.marginal().log_prob(x))


def _vae(posterior: Any, likelihood: Any) -> VAE:
    return VAE(posterior, StandardNormal(2), likelihood).eval()


@pytest.mark.parametrize(
    ("model", "x", "words"),
    [
        (lambda: _vae(DiagonalNormal(mlp(6, 2)), Gaussian(mlp(2, 6), scale=1.0)), "real", "not linear"),
        (lambda: _vae(DiagonalNormal(mlp(6, 2)), Gaussian(mlp(2, 6, ()), scale="pixel")), "real", "depends on z"),
        (lambda: _vae(DiagonalNormal(mlp(6, 2)), Bernoulli(mlp(2, 6, ()))), "binary", "not normal"),
        (lambda: _vae(Delta(mlp(6, 2)), Gaussian(mlp(2, 6, ()), scale=1.0)), "real", "point mass"),
    ],
)
def test_exact_is_refused_with_the_reason(model: Any, x: str, words: str) -> None:
    data = torch.randn(4, 6) if x == "real" else torch.ones(4, 6)
    with pytest.raises(NotALikelihood, match=words):
        exact_log_likelihood(model(), data)
    assert words in evaluate(subject(model(), data), ["exact_log_px"])["exact_log_px"].facts["refused"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: _vae(Delta(mlp(6, 2)), Gaussian(mlp(2, 6), scale=1.0)), "point mass"),
        (lambda: _vae(DiagonalNormal(mlp(6, 2)), SoftBernoulli(mlp(2, 6))), "not a normalised"),
        (lambda: VAE(VonMisesFisher(mlp(6, 3)), UniformSphere(3), Gaussian(mlp(3, 6), scale=1.0)).eval(), "support"),
    ],
)
def test_annealing_is_refused_where_it_does_not_apply(model: Any, words: str) -> None:
    x = torch.full((4, 6), 0.5)
    found = evaluate(subject(model(), x), ["ais", "gaps"])
    for name in ("ais", "ais_gap", "rate_distortion", "approximation_gap", "amortisation_gap"):
        assert words in found[name].facts["refused"]


def test_the_metrics_name_what_they_did() -> None:
    made = toy(8, 3)
    made.model.float()
    x = made.sample(8).float()
    options = {"ais_steps": 60, "ais_chains": 8, "ais_leapfrog": 4, "ais_limit": 6, "ais_simulated": 7}
    found = evaluate(subject(made.model, x, **options), ["ais"])
    assert set(found) == {"ais", "ais_gap", "log_px_bracket", "rate_distortion"}
    exact = exact_log_likelihood(made.model, x[:6])
    plain = found["ais"].to_dict()
    assert plain["n"] == 6 and plain["chains"] == 8 and plain["steps"] == 60 and plain["measure"] == "density"
    assert 1 <= plain["ess"] <= 8 and abs(plain["value"] - float(exact.mean())) < 0.5
    gap = found["ais_gap"].to_dict()
    assert gap["n"] == 7 and gap["value"] == pytest.approx(gap["upper"] - gap["lower"], abs=1e-4)
    bracket = found["log_px_bracket"].to_dict()
    low, high = bracket["interval"]
    assert low < bracket["lower"] and bracket["upper"] < high and bracket["n"] == 7 and bracket["measure"] == "density"
    assert bracket["value"] == pytest.approx((bracket["lower"] + bracket["upper"]) / 2)
    assert bracket["lower"] == gap["lower"] and bracket["of"] == "examples simulated by the model"
    assert found["rate_distortion"].to_dict()["rate"][0] == pytest.approx(0, abs=1e-5)


def test_a_deaf_estimator_would_be_seen() -> None:
    """Weights without the transitions between them are importance sampling from the prior, and far too low."""
    made = toy(20, 8)
    x = made.sample(10)
    z = torch.randn(32, 10, 8, dtype=torch.float64)
    plain = bounds.log_mean_exp(made.model.decode(z).log_prob(x))
    assert (made.marginal().log_prob(x) - plain).mean() > 5
