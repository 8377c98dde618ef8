"""A column's quantile function, learned from training rows: numbers made standard normal by their ranks, and back.

A curve is plain facts: `u` and `v`, knots of a piecewise linear, never falling function Q from a standard normal score
to the column's value (its logarithm where the column is positive), whose outer pieces go on for ever. It is level over
a value that many rows share, so that the value has mass there. With `step` the values are whole numbers, each of which
stands for all scores from Q⁻¹(n - ½) to Q⁻¹(n + ½), and `floor` is the least there can be. `low` and `high` are the
scores of the least and greatest training value, which samples never leave.

Dates may have a `cycle`: the shares of a week's equal parts (days, or hours) in the rows, from `start` on. Q then gives
a time that runs as fast as rows come in that part of the week, so that few knots keep weekends and nights empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.stats import chi2

SPIKE = 0.01
"""Share of rows from which a value of a continuous column has mass of its own."""
SPIKE_ROWS = 5
MOST_KNOTS = 64
MOST_STEPS = 100_000
"""Widest range of whole numbers with mass; beyond, float32 scores would not tell them apart."""
NEVER_SEEN = 0.1
"""Rows that an interval counts for in which there were none."""
TAIL = 10.0
WEEK = 7.0
SURE = 1e-4
"""Probability, were rows even over a week's days (a day's hours), of shares as uneven, below which they are kept."""
LEAST_DAYS, LEAST_ROWS = 14, 50
"""Days that the rows span, and rows, below which no cycle is looked for."""


def fit_curve(
    values: np.ndarray,
    log: bool = False,
    whole: bool = False,
    floor: float | None = None,
    cycle: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the curve of training values (N,) without gaps: of their logarithm if `log`, of whole numbers if `whole`.

    `cycle` is that of dates; see `fit_cycle`.

    >>> curve = fit_curve(np.array([0.0] * 50 + [1.0, 2.5, 4.0]))
    >>> scores = to_scores(np.array([0.0, 4.0]), curve)
    >>> to_values(scores, curve).tolist(), float(to_values(scores - 0.5, curve)[0])
    ([0.0, 4.0], 0.0)
    """
    seen, counts = np.unique(values, return_counts=True)
    grid = whole and seen[-1] - seen[0] <= MOST_STEPS
    knots, below, spike = _grid(seen, counts) if grid else _levels(seen, counts)
    v = np.log(knots) if log else warped(knots, cycle)
    u = torch.special.ndtri(torch.from_numpy((below + 0.5) / (below[-1] + 1))).numpy()
    keep = _thinned(u, v, spike, grid, min(MOST_KNOTS, 8 + int(2 * len(values) ** (1 / 3))))
    u, v = u[keep], v[keep]
    spread = float(np.std(np.log(values) if log else values)) or 1.0
    first, last = (max((v[i] - v[j]) / (u[i] - u[j]), spread) for i, j in ((1, 0), (-1, -2)))
    u = np.concatenate([[u[0] - TAIL], u, [u[-1] + TAIL]])
    v = np.concatenate([[v[0] - TAIL * first], v, [v[-1] + TAIL * last]])
    curve: dict[str, Any] = {"u": u.tolist(), "v": v.tolist()} | ({} if cycle is None else {"cycle": cycle})
    if grid:
        curve |= {"step": True} | ({} if floor is None else {"floor": floor})
    ends = to_scores(np.log(seen[[0, -1]]) if log else seen[[0, -1]], curve)
    return curve | {"low": float(ends[0]), "high": float(ends[1])}


def fit_cycle(days: np.ndarray, timed: bool) -> dict[str, Any] | None:
    """Return the weekly cycle of training dates in days since 1970 (N,), with hours if `timed`; None of even ones.

    A part's share is that of its day times that of its hour, each if it is sure to be uneven (χ² test).

    >>> workdays = np.array([day for day in range(700) if day % 7 not in (2, 3)], dtype=float)  # 1970-01-03: Saturday
    >>> [round(share * 7, 1) for share in fit_cycle(workdays, timed=False)["shares"]]
    [1.4, 1.4, 0.0, 0.0, 1.4, 1.4, 1.4]
    """
    whole = np.floor(days)
    span = whole.max() - whole.min() + 1 if len(days) else 0
    if span < LEAST_DAYS or len(days) < LEAST_ROWS:
        return None
    first = int(whole.min())
    exposed = np.bincount(np.arange(first, first + int(span)) % 7, minlength=7)
    by_day = _uneven(np.bincount(whole.astype(int) % 7, minlength=7), exposed / exposed.sum())
    by_hour = None
    if timed:
        hours = np.minimum((days - whole) * 24 + 1e-6, 23).astype(int)  # 9:00 may be a little less than it
        by_hour = _uneven(np.bincount(hours, minlength=24), np.full(24, 1 / 24))
    if by_day is None and by_hour is None:
        return None
    shares = np.full(7, 1 / 7) if by_day is None else by_day
    if timed:
        shares = np.outer(shares, np.full(24, 1 / 24) if by_hour is None else by_hour).reshape(-1)
    return {"start": 0.0 if timed else -0.5, "shares": shares.tolist()}


def _uneven(counts: np.ndarray, exposed: np.ndarray) -> np.ndarray | None:
    """Return the shares of parts if all were exposed alike, None where counts may be even."""
    expected = counts.sum() * exposed
    if chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1) > SURE:
        return None
    rates = (counts + NEVER_SEEN) / exposed
    return rates / rates.sum()


def warped(values: np.ndarray, cycle: Mapping[str, Any] | None) -> np.ndarray:
    """Return dates as a time that runs as fast as rows come: on whole weeks of the cycle it is the date itself."""
    if cycle is None:
        return values
    below, week, rest = _weeks(values, cycle)
    part = rest * (len(below) - 1)
    i = np.clip(np.where(np.isnan(part), 0, part).astype(int), 0, len(below) - 2)
    return cycle["start"] + WEEK * (week + (below[i] + (part - i) * (below[i + 1] - below[i])))


def unwarped(values: np.ndarray, cycle: Mapping[str, Any] | None) -> np.ndarray:
    """Return the dates of times as `warped` gives them."""
    if cycle is None:
        return values
    below, week, rest = _weeks(values, cycle)
    i = np.clip(np.searchsorted(below, rest, "right") - 1, 0, len(below) - 2)
    part = i + (rest - below[i]) / (below[i + 1] - below[i])
    return cycle["start"] + WEEK * (week + part / (len(below) - 1))


def _weeks(values: np.ndarray, cycle: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the shares of rows before each part of a week, and each value's whole weeks and the rest of its week."""
    weeks = (values - cycle["start"]) / WEEK
    week = np.floor(weeks)
    return np.concatenate([[0.0], np.cumsum(cycle["shares"])]), week, weeks - week


def _grid(seen: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the half-way marks around whole numbers, and the rows below each."""
    marks = np.unique(np.concatenate([seen - 0.5, seen + 0.5]))
    within = np.full(len(marks) - 1, NEVER_SEEN)
    within[np.searchsorted(marks, seen) - 1] = counts
    return marks, np.concatenate([[0.0], within.cumsum()]), np.zeros(len(marks), bool)


def _levels(seen: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, twice those with mass, and the rows below each: half of its own rows where it has none."""
    spike = (counts >= SPIKE_ROWS) & (counts >= SPIKE * counts.sum())
    gap = NEVER_SEEN * (np.arange(len(seen)) > 0)
    start = np.concatenate([[0.0], counts.cumsum()[:-1]]) + gap.cumsum()
    each = np.repeat(np.arange(len(seen)), 1 + spike)
    second = np.concatenate([[False], each[1:] == each[:-1]])
    share = np.where(spike[each], second, 0.5)
    return seen[each], start[each] + share * counts[each], spike[each]


def _thinned(u: np.ndarray, v: np.ndarray, spike: np.ndarray, grid: bool, most: int) -> list[int]:
    """Return which knots stay: the ends, both of a spike, and of the others those well apart."""
    apart = (u[-1] - u[0]) / most
    least = 1e-9 * (v[-1] - v[0])
    ends = np.where(spike, u, np.inf)
    ahead = np.minimum.accumulate(np.append(ends, u[-1])[::-1])[::-1]  # the score of the next spike or end
    keep = [0]
    for k in range(1, len(u) - 1):
        far = u[k] - u[keep[-1]] >= apart
        if (
            spike[k]
            or (grid and (far or u[k + 1] - u[k] >= apart))
            or (not grid and far and ahead[k] - u[k] >= apart / 2 and v[k] - v[keep[-1]] > least)
        ):
            keep.append(k)
    return [*keep, len(u) - 1]


def to_scores(values: np.ndarray, curve: Mapping[str, Any]) -> np.ndarray:
    """Return Q⁻¹ of values (logarithms where the column is positive): the middle of the scores of one with mass."""
    u, v = np.asarray(curve["u"]), np.asarray(curve["v"])
    values = warped(values, curve.get("cycle"))
    first, after = np.searchsorted(v, values, "left"), np.searchsorted(v, values, "right")
    i = np.clip(after - 1, 0, len(v) - 2)
    rise = v[i + 1] - v[i]
    slope = (u[i + 1] - u[i]) / np.where(rise > 0, rise, 1.0)
    level = after - first > 1
    middle = 0.5 * (u[np.minimum(first, len(u) - 1)] + u[np.maximum(after - 1, 0)])
    out = np.where(level, middle, u[i] + (values - v[i]) * slope)
    return np.where(np.isnan(values), np.nan, out)


def to_values(scores: np.ndarray, curve: Mapping[str, Any]) -> np.ndarray:
    """Return Q of scores."""
    u, v = np.asarray(curve["u"]), np.asarray(curve["v"])
    i = np.clip(np.searchsorted(u, scores, "right") - 1, 0, len(u) - 2)
    return unwarped(v[i] + (scores - u[i]) * ((v[i + 1] - v[i]) / (u[i + 1] - u[i])), curve.get("cycle"))
