"""Intervals and areas against scipy and scikit-learn; tests/metrics/test_coverage.py simulates what they cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score

from vaekit.errors import UserError
from vaekit.intervals import auroc, auroc_error, auroc_interval, average_precision, average_precision_interval, wilson


@pytest.mark.parametrize(("right", "n"), [(90, 100), (1, 3), (0, 20), (20, 20)])
def test_wilson_is_scipys(right: int, n: int) -> None:
    exact = binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right / n, n) == pytest.approx((exact.low, exact.high), abs=1e-6)


@pytest.mark.parametrize("ties", [False, True])
def test_areas_are_scikit_learns(ties: bool) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(300) < 0.3
    score = rng.normal(truth, 1.0)
    score = score.round() if ties else score
    assert auroc(score, truth) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert average_precision(score, truth) == pytest.approx(average_precision_score(truth, score), abs=1e-12)


def test_the_error_of_an_area_is_its_spread_over_samples() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(200) < 80
    found = [(auroc(s, truth), auroc_error(s, truth)) for s in rng.normal(truth, 1.0, (600, 200))]
    values, errors = np.array(found).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.1)


def test_the_interval_of_an_area_is_the_equations_two_roots() -> None:
    """Where placements are spread no more widely than Newcombe's V supposes: (θ̂ - θ)² = z² V(θ)."""
    truth = np.arange(100) < 40
    score = np.random.default_rng(2).normal(truth, np.where(truth, 0.7, 1.0))

    def v(at: float) -> float:
        return at * (1 - at) * (1 + 49 * ((1 - at) / (2 - at) + at / (1 + at))) / (40 * 60)

    area = auroc(score, truth)
    assert auroc_error(score, truth) ** 2 < v(area)
    for end in auroc_interval(score, truth):
        assert (area - end) ** 2 == pytest.approx(1.959964**2 * v(end), rel=1e-6)


@pytest.mark.parametrize("positives", [1, 2, 30, 59])
def test_an_interval_holds_the_area_and_turns_with_the_sign(positives: int) -> None:
    score, truth = np.random.default_rng(1).normal(size=60), np.arange(60) < positives
    low, high = auroc_interval(score, truth)
    assert 0 <= low < auroc(score, truth) < high <= 1
    assert auroc_interval(-score, truth) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    low, high = average_precision_interval(score, truth)
    assert 0 <= low < average_precision(score, truth) < high <= 1


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_ranking_of_few_has_a_wide_interval(sign: int) -> None:
    score, truth = sign * np.arange(100.0), np.arange(100) >= 98
    low, high = auroc_interval(score, truth)
    assert (low, high) == pytest.approx((0.60, 1.0) if sign > 0 else (0.0, 0.40), abs=0.01)
    far = auroc_interval(sign * np.arange(100.0), np.arange(100) >= 50)
    assert far[1] - far[0] < 0.1


def test_one_kind_alone_is_refused() -> None:
    for truth in (np.zeros(5, bool), np.ones(5, bool)):
        for judge in (auroc, auroc_interval, average_precision, average_precision_interval):
            with pytest.raises(UserError, match="both kinds"):
                judge(np.arange(5.0), truth)
