"""Sets that vary known factors: which of a large set's examples to take, and factors from their index."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
