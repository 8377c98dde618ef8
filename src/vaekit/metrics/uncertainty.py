"""Standard errors and intervals: of shares, by the bootstrap, over folds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vaekit.metrics.base import Result


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n). Source: Wilson 1927, J. Am. Stat. Assoc. 22.

    >>> [round(end, 3) for end in wilson(8, 10)]
    [0.49, 0.943]
    """
    from scipy.stats import binomtest

    interval = binomtest(int(successes), n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def share(hits: Any, unit: str = "share", **facts: Any) -> Result:
    """Return the share of true entries with its interval.

    >>> share(np.array([True, True, False, True])).value
    0.75
    """
    hits = np.asarray(hits, dtype=float)
    return Result(float(hits.mean()), unit, len(hits), interval=wilson(float(hits.sum()), len(hits)), facts=facts)


def bootstrap(statistic: Callable[[np.ndarray], Any], n: int, *, times: int = 50, seed: int = 0) -> Any:
    """Return the standard error of the number or numbers that `statistic` gives for row numbers, by resampling rows.

    Source: Efron 1979, Ann. Statist. 7.

    >>> x = np.random.default_rng(0).normal(size=400)
    >>> round(bootstrap(lambda rows: x[rows].mean(), 400, times=200), 2)
    0.05
    """
    generator = np.random.default_rng(seed)
    return np.std([statistic(generator.integers(0, n, n)) for _ in range(times)], axis=0, ddof=1).tolist()


def folds(n: int, count: int, seed: int = 0) -> list[np.ndarray]:
    """Return `count` disjoint random parts of range(n), as even as can be.

    >>> [len(part) for part in folds(10, 3)]
    [4, 3, 3]
    """
    return np.array_split(np.random.default_rng(seed).permutation(n), count)


def over_folds(values: list[float]) -> tuple[float, float | None]:
    """Return the mean of one value a fold and its standard error.

    >>> over_folds([1.0, 3.0])
    (2.0, 1.0)
    """
    stderr = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return float(np.mean(values)), stderr
