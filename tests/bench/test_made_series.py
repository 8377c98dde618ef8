"""The exact log p(x) of made series against the Kalman filter."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal

MADE = runpy.run_path(str(Path(__file__).parents[2] / "bench" / "made_series.py"))


def test_log_p_of_oscillations_is_the_kalman_filters() -> None:
    series = MADE["oscillations"](3)[:5]
    carry, emit = MADE["CARRY"], MADE["EMIT"]
    filtered = []
    for x in series:
        mean, cov, log_p = np.zeros(2), np.eye(2), 0.0
        for t, seen in enumerate(x):
            if t:
                mean, cov = carry @ mean, carry @ cov @ carry.T + MADE["PUSH"] ** 2 * np.eye(2)
            spread = emit @ cov @ emit.T + MADE["NOISE"] ** 2 * np.eye(2)
            log_p += multivariate_normal(emit @ mean, spread).logpdf(seen)
            gain = cov @ emit.T @ np.linalg.inv(spread)
            mean, cov = mean + gain @ (seen - emit @ mean), cov - gain @ emit @ cov
        filtered.append(log_p)
    assert MADE["exact"](series) == pytest.approx(filtered, abs=1e-9)
