"""Faults that metrics are known for elsewhere, each with the number it gives and the right one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import vaekit
from linear_gaussian import LinearGaussian
from vaekit import bounds
from vaekit.data.dataset import Split
from vaekit.data.info import DataInfo
from vaekit.data.shuffling import some_rows
from vaekit.distributions.normal import StandardNormalFamily
from vaekit.inference import inference
from vaekit.metrics import base, distances, interventions, kl_decomposition
from vaekit.metrics.base import METRICS, Result, Subject, evaluate
from vaekit.metrics.gaps import fit_posteriors
from vaekit.metrics.kl_decomposition import AggregatePosterior
from vaekit.metrics.likelihood import FEW, noise_facts, shape_facts
from vaekit.metrics.mcc import mean_correlation
from vaekit.metrics.similarity import ms_ssim
from vaekit.tasks.clustering import Clusters, cluster

# -- scores of codes that know nothing --------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "n"), [((4, 500), 2000), ((3, 6, 40, 32, 32), 1000), ((30,) * 5, 300)])
@pytest.mark.parametrize("score", [interventions.beta_vae_score, interventions.factor_vae_score])
def test_codes_that_know_nothing_are_at_chance_on_few_examples(score: Any, values: tuple[int, ...], n: int) -> None:
    """A row paired with itself gave .994 for .50 in the first case; votes of tested rows .30 for .20 in the last."""
    means = []
    for seed in range(4):
        generator = np.random.default_rng(seed)
        factors = np.stack([generator.integers(0, k, n) for k in values], 1)
        means.append(score(generator.normal(size=(n, 10)), factors, train=400, test=400, seed=seed).mean())
    assert np.mean(means) == pytest.approx(1 / len(values), abs=0.05)


def test_pairs_are_of_distinct_examples_of_one_value() -> None:
    generator = np.random.default_rng(0)
    factors, rows = generator.integers(0, 30, (200, 2)), np.arange(50, 150)
    groups = interventions.Groups(factors, rows)
    for factor in range(2):
        first, second = groups.pairs(factor, 2000, generator)
        assert (first != second).all() and (factors[first, factor] == factors[second, factor]).all()
        assert set(first) | set(second) <= set(rows)
        drawn = groups.draw(factor, 64, generator)
        assert len(set(drawn)) == len(drawn) and len(set(factors[drawn, factor])) == 1


def test_perfect_codes_of_unequal_scales_are_perfect_and_dead_ones_do_not_vote() -> None:
    """A threshold relative to the largest code left out the smaller ones: .758."""
    factors = np.random.default_rng(0).integers(0, 4, (1500, 4))
    scaled = factors * np.array([100.0, 3.0, 0.3, 0.1])
    assert interventions.factor_vae_score(scaled, factors).mean() == 1.0
    dead = np.concatenate([scaled, 1e-3 * np.random.default_rng(1).normal(size=(1500, 1))], 1)
    assert interventions.factor_vae_score(dead, factors).mean() == 1.0


# -- neighbours and pictures ------------------------------------------------------------------------------------------


def test_identical_sets_have_density_and_coverage_1() -> None:
    x = torch.randn(300, 5)
    for k in (3, 5):
        density, covered = distances.density_coverage(x, x, k=k)
        assert float(density.mean()) == pytest.approx(1.0) and bool(covered.all())


def test_neighbours_far_from_the_origin_are_those_near_it() -> None:
    """In single precision the products of features around 2,000 hold no digit of distances of 0.05."""
    real, fake = 0.05 * torch.randn(300, 64).double(), 0.05 * torch.randn(300, 64).double()
    near = [part.double().mean() for part in distances.density_coverage(real, fake)]
    near += [part.double().mean() for part in distances.precision_recall(real, fake)]
    far = [part.double().mean() for part in distances.density_coverage(real + 2000, fake + 2000)]
    far += [part.double().mean() for part in distances.precision_recall(real + 2000, fake + 2000)]
    assert far == near


@pytest.mark.parametrize("side", [161, 168, 175, 177])
def test_ms_ssim_of_sides_that_do_not_halve_evenly(side: int) -> None:
    a = torch.rand(2, 1, side, side + 3)
    b = (a + 0.2 * torch.randn_like(a)).clamp(0, 1)
    value = ms_ssim(a, b)
    assert bool((value > 0).all() and (value < 1).all())
    torch.testing.assert_close(ms_ssim(a, a), torch.ones(2))
    whole = torch.rand(2, 1, 192, 192)
    noisy = (whole + 0.2 * torch.randn_like(whole)).clamp(0, 1)
    assert float(value.mean()) == pytest.approx(float(ms_ssim(whole, noisy).mean()), abs=0.03)


# -- ranks, order, seeds ----------------------------------------------------------------------------------------------


def test_equal_values_share_their_rank() -> None:
    """A binary factor and the latent that is it: 1; ranks by order gave 0.742, and correlation with the row number."""
    s = torch.arange(400).remainder(2).double()[:, None]
    assert mean_correlation(s, 3 * s + 1, rank=True) == pytest.approx(1.0)
    z = s + 0.3 * torch.randn(400, 1)
    expected = stats.spearmanr(s[:, 0], z[:, 0]).statistic  # type: ignore[attr-defined]
    assert mean_correlation(s, z, rank=True) == pytest.approx(abs(expected), abs=1e-9)
    row = torch.arange(400.0)[:, None]
    assert mean_correlation(s, row, rank=True) < 0.01


def test_some_examples_of_sorted_data_are_of_every_class() -> None:
    y = torch.arange(1000) // 100
    split = Split(torch.randn(1000, 2), y)
    few = split.some(100)
    assert len(torch.unique(few.y)) == 10 and len(few) == 100  # type: ignore[arg-type]
    assert torch.equal(few.x, split.some(100).x) and split.some(2000) is split
    assert set(some_rows(1000, 50).tolist()) < set(some_rows(1000, 100).tolist())


def test_limited_metrics_read_the_same_examples() -> None:
    run = vaekit.train("vae", "digits", steps=2, pictures=False)
    subject = run.subject()
    x, _ = subject.some(100)
    assert torch.equal(x.cpu(), subject.x[some_rows(len(subject.x), 100)])
    assert torch.equal(run.subject(limit=20).x, subject.x[some_rows(len(subject.x), 20)])


# -- labels that leak -------------------------------------------------------------------------------------------------


LABELLED = ("linear_probe", "knn_accuracy", "cluster_nmi", "cluster_ari", "cluster_accuracy")


@pytest.mark.parametrize("recipe", ["cvae", "identifiable-vae"])
def test_codes_that_are_given_the_label_are_not_asked_for_it(recipe: str) -> None:
    """They hold it whatever x shows: every one of these was 1.0."""
    run = vaekit.train(recipe, "digits", steps=20, pictures=False)
    found = run.evaluate(["latents"], limit=60)
    for name in LABELLED:
        assert found[name].value is None and "given the label" in found[name].facts["refused"], name


def test_codes_that_are_not_given_the_label_are_probed() -> None:
    run = vaekit.train("vae", "digits", steps=20, pictures=False)
    assert all(run.evaluate(["linear_probe", "clustering"])[name].value is not None for name in ("linear_probe",))
    assert not run.subject().labelled_codes


# -- a metric that fails ----------------------------------------------------------------------------------------------


class Broken:
    """A registry with one entry in place of its own."""

    def __init__(self, registry: Any, entry: Any) -> None:
        self.registry, self.entry, self.names = registry, entry, registry.names

    def __iter__(self) -> Any:
        return iter(self.registry)

    def __getitem__(self, name: str) -> Any:
        return self.entry if name == self.entry.name else self.registry[name]


def test_the_failure_of_a_metric_costs_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(subject: Subject) -> Mapping[str, Result]:
        raise IndexError("a window of 11 in 10 pixels")

    run = vaekit.train("vae", "digits", steps=2, pictures=False)
    entry = replace(METRICS["ssim"], part=fails)
    registry: Any = Broken(METRICS, entry)
    monkeypatch.setattr(base, "METRICS", registry)
    with pytest.warns(UserWarning, match="ssim: the metric failed: IndexError"):
        found = evaluate(run.subject(limit=20, k=2), ["reconstruction", "likelihood"])
    assert found["ssim"].value is None and "IndexError: a window of 11" in found["ssim"].facts["refused"]
    assert found["mse"].value is not None and found["elbo"].value is not None


# -- bounds that are limited by the number of examples ----------------------------------------------------------------


def test_total_correlation_says_that_it_is_an_upper_bound() -> None:
    """q(z) = N(0, I) exactly, so both are 0; of 200 examples the estimates are 11 nats, log 200 short of the KL."""
    rho, n, d = 0.9, 200, 20
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(7))
    mixture = AggregatePosterior(rho * x, torch.full((n, d), 0.5 * math.log(1 - rho**2)))
    found = _decomposed(mixture)
    for name in ("total_correlation", "marginal_kl"):
        result = found[name]
        assert result.value is not None and result.value > 5
        assert "would fall with more examples" in result.facts["limited_by_log_n"]
        assert 0 <= result.facts["lower"] < 1.5, name
    kl = float(0.5 * (rho**2 * x.square() + (1 - rho**2) - 1 - math.log(1 - rho**2)).sum(1).mean())
    assert found["mutual_information_upper"].value is not None
    assert found["mutual_information_upper"].value < kl + 1.0


def test_bounds_of_well_known_posteriors_are_not_said_to_be_limited() -> None:
    found = _decomposed(AggregatePosterior(0.3 * torch.randn(500, 2), torch.zeros(500, 2)))
    assert "limited_by_log_n" not in found["total_correlation"].facts


def _decomposed(mixture: AggregatePosterior) -> Mapping[str, Result]:
    prior = StandardNormalFamily(torch.zeros(mixture.loc.shape[1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kl_decomposition, "mixture_of", lambda _: (mixture, prior))
        info = DataInfo("toy", (2,), "real", None, 1, 1, 1, ())
        model: Any = torch.nn.Identity()
        return kl_decomposition.kl_decomposition(Subject(model, info, mixture.loc, options={}))


# -- importance weights -----------------------------------------------------------------------------------------------


def test_pareto_shapes_of_known_tails() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in (0.3, 0.7, 1.2):
        u = torch.rand(4000, 50, generator=generator).double()
        log_w = -shape * u.log()
        top = log_w.topk(bounds.tail_length(4000) + 1, 0).values
        assert float(bounds.pareto_shape(top).mean()) == pytest.approx(shape, abs=0.06)
    assert bool((bounds.pareto_shape(torch.zeros(40, 3)) == 0).all())  # equal weights have no tail
    assert bool(bounds.pareto_shape(torch.zeros(4, 3)).isnan().all())


def test_weights_facts_are_of_the_examples_that_have_a_shape() -> None:
    facts = shape_facts(torch.tensor([0.5, 0.8, 1.0, math.nan, 0.7]))
    assert facts == {"pareto_k": pytest.approx(0.75), "pareto_k_above_0.7": 0.5}
    assert shape_facts(torch.tensor([math.nan])) == {}


def test_the_bound_says_where_its_weights_cannot_be_trusted() -> None:
    torch.manual_seed(0)
    good, bad = LinearGaussian.make(), LinearGaussian.make(off=1.5)
    x = good.sample(40)
    exact, poor = (bounds.log_likelihood(one.model, x, k=400) for one in (good, bad))
    assert float(exact.pareto_k.mean()) < 0.3 and float(exact.ess.mean()) > 300
    assert float(poor.pareto_k.mean()) > 0.4
    chunked = bounds.log_likelihood(good.model, x, k=400, rows=64)
    assert chunked.pareto_k.shape == (40,)


def test_a_monte_carlo_error_of_few_effective_samples_is_said_to_be_too_small() -> None:
    few, many = torch.full((10,), 5.0), torch.full((10,), 5.0 * FEW)
    assert "mc_stderr_too_small" in noise_facts(few, torch.ones(10))
    assert "mc_stderr_too_small" not in noise_facts(many, torch.ones(10))


# -- what is run to its end -------------------------------------------------------------------------------------------


def test_gaps_of_an_encoder_far_from_the_optimum_are_run_to_their_end() -> None:
    """Where 500 steps left 1.5 nats: each round goes on from the last until it adds nothing."""
    toy = LinearGaussian.make(features=8, latent=4, sigma=0.3, off=3.0)
    x = toy.sample(6)
    precision = torch.linalg.inv(toy.posterior_covariance())
    gap = float(0.5 * (precision.diagonal().log().sum() - precision.logdet()))
    with inference(toy.model, 0):
        found = fit_posteriors(toy.model, x, steps=60, scoring=4000)
    reached = float((toy.marginal().log_prob(x) - found.elbo).detach().mean())
    assert reached == pytest.approx(gap, abs=0.05)
    assert found.steps > 60 and found.left < 0.01


def test_the_interval_of_stability_does_not_shrink_with_the_number_of_fits() -> None:
    z = np.random.default_rng(0).normal(size=(150, 2))
    few, many = (cluster(z, 3, "kmeans", bootstraps=count) for count in (10, 80))

    def width(made: Clusters) -> float:
        return made.interval[1] - made.interval[0]

    assert width(many) > 0.6 * width(few)
    low, high = many.interval
    assert np.mean((many.stability >= low) & (many.stability <= high)) >= 0.9
