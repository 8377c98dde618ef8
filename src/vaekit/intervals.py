"""95% intervals of shares, and of how well a score ranks examples of two kinds, that hold for few examples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import UserError

Z = 1.959964
"""The normal distribution's 0.975 quantile."""

Scores = NDArray[np.floating[Any]]
Kinds = NDArray[np.bool_]


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of n independent examples, or of as many as are worth that number.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n). Source: Wilson 1927, J. Am. Stat. Assoc. 22.

    >>> [round(end, 3) for end in wilson(0.8, 10)]
    [0.49, 0.943]
    """
    middle, half = share + Z**2 / (2 * n), Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + Z**2 / n) for sign in (-1, 1))
    return (0.0 if share <= 0 else low), (1.0 if share >= 1 else high)


def auroc(score: Scores, positive: Kinds) -> float:
    """Return the probability that a positive example scores above a negative one, ties counting half.

    >>> auroc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
    0.875
    """
    return float(_placements(score, positive)[0].mean())


def auroc_error(score: Scores, positive: Kinds) -> float:
    """Return the standard error of `auroc`: the variance of the placements of either kind, over their numbers.

    It has few degrees of freedom where either kind has few examples. Source: DeLong et al. 1988, Biometrics 44.
    """
    return math.sqrt(sum(float(v.var(ddof=1)) / len(v) for v in _placements(score, positive) if len(v) > 1))


def _placements(score: Scores, positive: Kinds) -> tuple[Scores, Scores]:
    """Return the share of negatives below each positive, and of positives above each negative."""
    _both(positive)
    on, off = score[positive], score[~positive]
    below, above = np.sort(off), np.sort(on)
    of_on = (np.searchsorted(below, on, "left") + np.searchsorted(below, on, "right")) / (2 * len(off))
    of_off = (np.searchsorted(above, off, "left") + np.searchsorted(above, off, "right")) / (2 * len(on))
    return of_on, 1 - of_off


def _both(positive: Kinds) -> None:
    if positive.all() or not positive.any():
        raise UserError("a ranking is judged on examples of both kinds; there are only normal or only anomalous ones")


def auroc_interval(score: Scores, positive: Kinds) -> tuple[float, float]:
    """Return the interval of `auroc`: those areas θ that are within z √V(θ) of it.

    V is Newcombe's, θ(1 − θ)(1 + N ((1 − θ)/(2 − θ) + θ/(1 + θ)))/mn with N = (m + n)/2 − 1, which needs no variance of
    a handful of examples. It supposes scores of about the same spread; where one kind's is wider, V is raised to
    DeLong's variance, and at most to θ(1 − θ)/min(m, n), which no scores exceed (Birnbaum & Klose 1957).
    Source: Newcombe 2006, Stat. Med. 25, method 5. Coverage: bench/coverage.py.

    >>> low, high = auroc_interval(np.arange(100.0), np.arange(100) >= 98)  # two positives, above all else
    >>> round(low, 2), high
    (0.6, 1.0)
    """
    from scipy.optimize import brentq

    of_on, of_off = _placements(score, positive)
    area, m, n = float(of_on.mean()), len(of_on), len(of_off)

    def plain(at: float) -> float:
        spread = 1 + ((m + n) / 2 - 1) * ((1 - at) / (2 - at) + at / (1 + at))
        return at * (1 - at) * spread / (m * n)

    inside = min(max(area, 0.25 / (m * n)), 1 - 0.25 / (m * n))
    ratio = max(1.0, auroc_error(score, positive) ** 2 / plain(inside))

    def off(at: float) -> float:
        return abs(area - at) - Z * math.sqrt(min(ratio * plain(at), at * (1 - at) / min(m, n)))

    low = 0.0 if area <= 0 else float(brentq(off, 0.0, min(area, 1 - 1e-12)))  # pyright: ignore[reportArgumentType]
    high = 1.0 if area >= 1 else float(brentq(off, max(area, 1e-12), 1.0))  # pyright: ignore[reportArgumentType]
    return low, high


def average_precision(score: Scores, positive: Kinds) -> float:
    """Return the average precision: Σ (recall step) × precision, over thresholds from the highest score down.

    >>> average_precision(np.array([0.1, 0.4, 0.3, 0.9]), np.array([False, False, True, True]))
    0.8333333333333333
    """
    _both(positive)
    order = np.argsort(-score, kind="stable")
    hit = positive[order].astype(float)
    last = np.append(np.diff(score[order]) != 0, True)
    right, taken = np.cumsum(hit)[last], np.flatnonzero(last) + 1
    return float(np.sum(np.diff(np.append(0.0, right)) * right / taken) / hit.sum())


def average_precision_interval(score: Scores, positive: Kinds) -> tuple[float, float]:
    """Return the interval of `average_precision`: that of a share of as many examples as there are positives.

    It is wider than need be where precision varies little among the positives, and holds where there are two, unlike a
    bootstrap, which cannot see beyond them. Source: Boyd, Eng & Page 2013, ECML PKDD, §4 (binomial interval).
    """
    return wilson(average_precision(score, positive), int(positive.sum()))
