"""Which examples train, validate and test: decided by their number, the settings and the seed alone."""

from __future__ import annotations

import math

import numpy as np

from vaekit.data.settings import DataSettings
from vaekit.errors import UserError

MOST_HELD_OUT = 5000
"""A fraction never holds out more: beyond this a validation ELBO's standard error hardly shrinks."""


def _count(share: float | int, n: int) -> int:
    return int(share) if share >= 1 else min(math.floor(share * n), MOST_HELD_OUT)


def split_numbers(
    n: int, source: str, settings: DataSettings, *, own_valid: bool = False, own_test: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sorted numbers of the examples that train, validate and test.

    The head of a seeded permutation is the test split, then validation; the rest trains, `limit` of them at most. None
    are held out where the source has a split of its own.

    Raises:
        UserError: none are left to train on.

    >>> [len(part) for part in split_numbers(10, "a list", DataSettings())]
    [8, 1, 1]
    """
    n_valid = 0 if own_valid else _count(settings.valid, n)
    n_test = 0 if own_test else _count(settings.test, n)
    if n_test + n_valid >= n:
        raise UserError(
            f"{source} has {n} examples and valid={settings.valid} with test={settings.test} would hold out "
            f"{n_valid + n_test}, leaving none to train on; lower them"
        )
    order = np.random.default_rng(settings.seed).permutation(n)
    train = order[n_test + n_valid :][: settings.limit]
    return np.sort(train), np.sort(order[n_test : n_test + n_valid]), np.sort(order[:n_test])


def examples_needed(settings: DataSettings) -> int | None:
    """Return how many examples leave `limit` to train on after the held-out ones, or None without a limit.

    >>> examples_needed(DataSettings(limit=80, valid=10, test=0.1))
    100
    """
    if settings.limit is None:
        return None
    fractions = sum(share for share in (settings.valid, settings.test) if share < 1)
    counts = sum(int(share) for share in (settings.valid, settings.test) if share >= 1)
    return math.ceil((settings.limit + counts) / max(1 - fractions, 1e-3))
