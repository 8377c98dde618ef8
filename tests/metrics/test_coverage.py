"""Intervals and standard errors cover as they say: over repeated draws of the data, 95% intervals hold the mean value.

The value that an interval is of is the expectation over test sets of the same size, here the mean over the draws.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from vaekit.data.info import DataInfo
from vaekit.metrics import distances, interventions, samples
from vaekit.metrics.base import Metric, Result, Subject
from vaekit.metrics.disentanglement import accuracy_of
from vaekit.metrics.samples import Compared
from vaekit.metrics.uncertainty import error_of_halves, halves

DRAWS = 200


def interval(result: Result) -> tuple[float, float]:
    """Return a result's interval, or ± 1.96 standard errors."""
    if result.interval is not None:
        return result.interval
    assert result.value is not None and result.stderr is not None
    return result.value - 1.96 * result.stderr, result.value + 1.96 * result.stderr


def covered(results: list[Result]) -> float:
    """Return the share of intervals that hold the mean of all values."""
    mean = np.mean([result.value or 0.0 for result in results])
    return float(np.mean([low <= mean <= high for low, high in map(interval, results)]))


def compared(seed: int, n: int = 150, width: int = 6) -> Compared:
    generator = torch.Generator().manual_seed(seed)
    real = torch.randn(n, width, generator=generator)
    fake = 0.8 * torch.randn(n, width, generator=generator) + 0.3
    return Compared(real, fake, real, fake, {})


def measured(function: Metric, monkeypatch: pytest.MonkeyPatch, draws: int = DRAWS) -> dict[str, list[Result]]:
    """Return a metric's numbers of `draws` pairs of feature sets."""
    info = DataInfo("toy", (1, 4, 4), "unit", 2, 1, 1, 1, ())
    subject = Subject(torch.nn.Identity(), info, torch.zeros(1))  # type: ignore[arg-type]
    out: dict[str, list[Result]] = {}
    for seed in range(draws):
        monkeypatch.setattr(samples, "compared", lambda _, seed=seed: compared(seed))
        for name, result in function(subject).items():
            out.setdefault(name, []).append(result)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("function", [samples.precision_recall, samples.density_coverage, samples.kid])
def test_intervals_of_neighbourhoods_and_of_the_kernel_distance(
    function: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, results in measured(function, monkeypatch).items():
        assert 0.90 <= covered(results) <= 0.98, (name, covered(results))


@pytest.mark.slow
def test_the_error_of_a_frechet_distance_is_that_of_its_draws_and_the_extrapolation_has_less_bias(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = measured(samples.fid, monkeypatch)
    for name, results in found.items():
        assert 0.90 <= covered(results) <= 0.98, (name, covered(results))
    every = [compared(seed) for seed in range(DRAWS)]
    truth = distances.fid(torch.cat([one.real for one in every]), torch.cat([one.fake for one in every]))
    plain, extrapolated = (
        np.mean([one.value or 0.0 for one in found[name]]) - truth for name in ("fid", "fid_extrapolated")
    )
    assert plain > 0.05 and abs(extrapolated) < 0.25 * plain


@pytest.mark.slow
@pytest.mark.parametrize("score", [interventions.beta_vae_score, interventions.factor_vae_score])
def test_intervals_of_accuracies_of_held_factors(score: Callable[..., np.ndarray]) -> None:
    """Batches are drawn from the same examples again and again: the examples are what must be resampled."""
    results = []
    for seed in range(DRAWS):
        generator = np.random.default_rng(seed)
        factors = generator.integers(0, 4, (160, 3))
        codes = factors + 1.3 * generator.normal(size=(160, 3)) + 0.8 * np.roll(factors, 1, axis=1)
        results.append(accuracy_of(lambda c, f: score(c, f, batch=16, train=150, test=150), codes, factors))
    assert 0.90 <= covered(results) <= 0.98, covered(results)


def test_halves_give_the_error_of_a_mean_and_of_a_median() -> None:
    for statistic, factor in ((np.mean, 1.0), (np.median, np.sqrt(np.pi / 2))):
        errors = []
        for seed in range(20):
            x = np.random.default_rng(seed).normal(size=300)
            errors.append(error_of_halves(halves(lambda rows, x=x, f=statistic: f(x[rows]), 300, times=20, seed=seed)))
        assert np.mean(errors) == pytest.approx(factor / np.sqrt(300), rel=0.12)
