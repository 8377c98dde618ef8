"""Standard errors and intervals: of shares, by the bootstrap, by halves, over folds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vaekit.intervals import wilson
from vaekit.metrics.base import Result


def share(hits: Any, unit: str = "share", **facts: Any) -> Result:
    """Return the share of true entries with its interval.

    >>> share(np.array([True, True, False, True])).value
    0.75
    """
    hits = np.asarray(hits, dtype=float)
    p = float(hits.mean())
    return Result(p, unit, len(hits), interval=wilson(p, len(hits)), facts=facts)


def bootstrap(statistic: Callable[[np.ndarray], Any], n: int, *, times: int = 50, seed: int = 0) -> Any:
    """Return the standard error of the number or numbers that `statistic` gives for row numbers, by resampling rows.

    Source: Efron 1979, Ann. Statist. 7.

    >>> x = np.random.default_rng(0).normal(size=400)
    >>> round(bootstrap(lambda rows: x[rows].mean(), 400, times=200), 2)
    0.05
    """
    generator = np.random.default_rng(seed)
    return np.std([statistic(generator.integers(0, n, n)) for _ in range(times)], axis=0, ddof=1).tolist()


def halves(statistic: Callable[[np.ndarray], Any], n: int, *, times: int = 10, seed: int = 0) -> np.ndarray:
    """Return a statistic of `times` random halves of range(n) and of each one's complement, (times, 2, ...).

    For statistics that duplicates would change (neighbours, pairs, fits tested on other rows), where the bootstrap,
    which repeats rows, is of no use.
    """
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(n) for _ in range(times)]
    return np.array([[statistic(order[: n // 2]), statistic(order[n // 2 :])] for order in orders], dtype=float)


def error_of_halves(values: np.ndarray) -> Any:
    """Return the standard error of a statistic of all rows from `halves`: √ of the mean of (a − b)²/4.

    With a variance in proportion to 1/n, the two halves' difference has four times that of all rows.
    Source: McCarthy 1969, Rev. Int. Stat. Inst. 37 (balanced half-samples).

    >>> x = np.random.default_rng(0).normal(size=400)
    >>> round(error_of_halves(halves(lambda rows: x[rows].mean(), 400, times=100)), 2)
    0.05
    """
    return np.sqrt(np.mean((values[:, 0] - values[:, 1]) ** 2 / 4, axis=0)).tolist()


def dependent_share(value: float, stderr: float, n: int, unit: str = "share", **facts: Any) -> Result:
    """Return a share of n examples that are not independent, whose standard error is known otherwise.

    The interval is Wilson's, of as many independent examples as would have that error: p (1 − p) / stderr².

    >>> [round(end, 2) for end in dependent_share(0.5, 0.1, 100).interval or ()]
    [0.32, 0.68]
    """
    size = min(float(n), value * (1 - value) / stderr**2) if stderr > 0 else float(n)
    return Result(value, unit, n, stderr or None, wilson(value, max(size, 1.0)), facts)


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
