"""Sets that vary known factors: which of a large set's examples to take, and factors from their index."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from vaekit.errors import UserError

DEFAULT_COUNT = 20_000
"""Examples taken of a large set unless `data.limit` asks for more or fewer: 82 MB at 64 × 64."""


def choose(total: int, count: int | None = None, seed: int = 0) -> np.ndarray:
    """Return the sorted indices of a seeded random part of `total` examples, all of them if `count` is not less.

    >>> choose(10, 4).tolist() == choose(10, 4).tolist(), len(choose(10, 4)), len(choose(3))
    (True, 4, 3)
    """
    count = DEFAULT_COUNT if count is None else count
    if count >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).permutation(total)[:count])


def factors_of(index: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return the factors (N, F) of examples numbered row by row over a full grid, the last factor fastest.

    >>> factors_of(np.array([0, 5]), (2, 3)).tolist()
    [[0, 0], [1, 2]]
    """
    if len(index) and int(index.max()) >= math.prod(sizes):
        raise UserError(f"example {int(index.max())} is out of range: there are {math.prod(sizes)}")
    return np.stack(np.unravel_index(index, tuple(sizes)), 1).astype(np.int64)


def known_factors(values: Any, n: int, where: str) -> np.ndarray:
    """Return known factors (N, F) of n examples: int64 where all are whole numbers, else float64, continuous.

    >>> known_factors([0.5, 1.0], 2, "factors").tolist(), known_factors([[0.0, 1.0]], 1, "factors").dtype
    ([[0.5], [1.0]], dtype('int64'))
    """
    factors = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    factors = factors[:, None] if factors.ndim == 1 else factors
    if factors.dtype.kind not in "fiub" or factors.ndim != 2 or len(factors) != n:
        raise UserError(f"{where} have shape {factors.shape} and type {factors.dtype}; give {n} rows of numbers")
    bad = ~np.isfinite(factors).all(1)
    if bad.any():
        raise UserError(f"{where}: row {int(bad.argmax())} has a value that is not finite; every example needs all")
    return factors.astype(np.int64 if bool((factors == np.rint(factors)).all()) else np.float64)
