"""Standard errors and intervals: of shares, by the bootstrap, over folds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vaekit.metrics.base import Result


def wilson(successes: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n). Source: Wilson 1927, J. Am. Stat. Assoc. 22.

    >>> [round(end, 3) for end in wilson(8, 10)]
    [0.49, 0.943]
    """
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre, width = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (centre - width) / (1 + z * z / n), (centre + width) / (1 + z * z / n)
    return max(0.0, min(low, p)), min(1.0, max(high, p))


def share(hits: Any, unit: str = "share", **facts: Any) -> Result:
    """Return the share of true entries with its interval.

    >>> share(np.array([True, True, False, True])).value
    0.75
    """
    hits = np.asarray(hits, dtype=float)
    return Result(float(hits.mean()), unit, len(hits), interval=wilson(float(hits.sum()), len(hits)), facts=facts)


def bootstrap(
    statistic: Callable[[np.ndarray], Mapping[str, float]], n: int, *, times: int = 50, seed: int = 0
) -> dict[str, float]:
    """Return the standard error of each number that `statistic` gives for row numbers, by resampling rows.

    Source: Efron 1979, Ann. Statist. 7.

    >>> x = np.random.default_rng(0).normal(size=400)
    >>> round(bootstrap(lambda rows: {"mean": float(x[rows].mean())}, 400, times=200)["mean"], 2)
    0.05
    """
    generator = np.random.default_rng(seed)
    draws = [statistic(generator.integers(0, n, n)) for _ in range(times)]
    return {name: float(np.std([draw[name] for draw in draws], ddof=1)) for name in draws[0]}


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
