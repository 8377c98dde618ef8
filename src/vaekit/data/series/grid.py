"""From times and values to steps: an even grid where the times have one, else their order."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vaekit.data.number_forms import is_too_large, number_of
from vaekit.data.series.collection import Values
from vaekit.errors import UserError

WHOLE = re.compile(r"[-+]?[0-9]+")
MOST_EMPTY = 20
"""Steps of the grid for each one observed, beyond which the times are taken as an order alone."""
SLACK = 1e-3
"""How far a time may lie from the grid, in steps."""


def as_times(cells: Sequence[str], where: str) -> NDArray[np.float64]:
    """Return times as numbers: numbers as they are, dates and times of ISO 8601 in seconds.

    >>> as_times(["2024-01-01", "2024-01-02"], "t.csv").tolist()
    [1704067200.0, 1704153600.0]
    """
    if any(is_too_large(cell) for cell in cells) and all(WHOLE.fullmatch(cell.strip()) for cell in cells):
        whole = [int(cell) for cell in cells]  # nanoseconds since 1970, say: exact from the first on
        least = min(whole)
        try:
            return np.array([number - least for number in whole], dtype=np.float64)
        except OverflowError:
            far = max(cells, key=len).strip()[:40]
            raise UserError(f"{where}: the time {far}… is too far from the others; correct it") from None
    numbers = [number_of(cell) for cell in cells]
    if None not in numbers:
        times = np.array(numbers, dtype=np.float64)
        if not np.isfinite(times).all():
            raise UserError(f"{where}: the time {cells[int(np.argmin(np.isfinite(times)))]} is not finite; correct it")
        return times
    try:
        times = np.array([cell.strip().replace("Z", "") for cell in cells], "datetime64[us]")
    except (ValueError, OverflowError) as error:
        raise UserError(f"{where}: a time is neither a number nor a date like 2024-01-31 ({error})") from None
    if np.isnat(times).any():
        raise UserError(f"{where}: a time is missing; give each row one")
    return times.astype(np.int64) / 1e6


def step_of(times: Sequence[NDArray[np.float64]]) -> float | None:
    """Return the even step that all series' sorted times are multiples of from their first on, or None.

    >>> step_of([np.array([0.0, 2.0, 8.0]), np.array([1.0, 3.0])]), step_of([np.array([0.0, 1.0, 2.7])])
    (2.0, None)
    """
    gaps = [np.diff(own) for own in times if len(own) > 1]
    if not gaps:
        return 1.0
    every = np.concatenate(gaps)
    step = float(every.min())
    if step <= 0 or sum(own[-1] - own[0] for own in times) > step * MOST_EMPTY * sum(map(len, times)):
        return None
    off = every / step
    return step if bool((np.abs(off - np.round(off)) <= SLACK * np.maximum(1, off)).all()) else None


def placed(times: NDArray[np.float64], values: Values, step: float | None) -> Values:
    """Return values (C, T) at sorted times on the grid of `step`, NaN between; without a step, one after another.

    >>> placed(np.array([0.0, 2.0, 6.0]), np.array([[1.0, 2.0, 3.0]]), 2.0)
    array([[ 1.,  2., nan,  3.]])
    """
    if step is None or not len(times):
        return values
    index = np.round((times - times[0]) / step).astype(np.int64)
    out = np.full((len(values), int(index[-1]) + 1), np.nan)
    out[:, index] = values
    return out


def on_grid(times: Sequence[Sequence[str]], values: Sequence[Values], where: str = "a .ts file") -> Values:
    """Return the channels of one series, each with times of its own, on one grid (C, T)."""
    own = [as_times(cells, where) for cells in times]
    every = np.unique(np.concatenate(own))
    out = np.full((len(own), len(every)), np.nan)
    for row, when, numbers in zip(out, own, values):
        row[np.searchsorted(every, when)] = numbers
    step = step_of([every])
    if step is None:
        irregular(where)
    return placed(every, out, step)


def irregular(where: str) -> None:
    """Warn that uneven times are an order alone."""
    warnings.warn(f"{where}: the times are not evenly spaced, so only their order is used", stacklevel=4)
