"""Numbers beside which all others are nearly equal: named before anything is trained on them."""

from __future__ import annotations

import warnings

import numpy as np

from vaekit.data.raw import Raw

FAR = 1e6
ROWS = 1000
"""Rows from which a column's spread is taken."""


def warn_of_extremes(raw: Raw) -> Raw:
    """Warn of a training value beyond a million times its column's spread.

    The spread is the distance from the column's median that nine tenths of its values keep; where that is zero, the
    median's size, but at least 1.

    >>> from vaekit.data.raw import Part
    >>> x = np.append(np.arange(20.0), 1e20)[:, None].astype(np.float32)
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     _ = warn_of_extremes(Raw("x", "x.npy", Part(x)))
    >>> str(told[0].message)[:40]
    'x.npy: row 20, column 0 is 1e+20, over a'
    """
    if raw.train.x.dtype.kind != "f":
        return raw
    x = raw.train.x.reshape(len(raw.train.x), -1)
    some = x[:: max(1, len(x) // ROWS)].astype(np.float64)
    middle = np.median(some, 0)
    spread = np.quantile(np.abs(some - middle), 0.9, axis=0, method="lower")
    limit = FAR * np.where(spread > 0, spread, np.maximum(np.abs(middle), 1))
    far = np.maximum(x.max(0) - middle, middle - x.min(0)) > limit
    if far.any():
        column = int(far.argmax())
        row = int(np.abs(x[:, column] - middle[column]).argmax())
        place = raw.place("train", [row, *(int(i) for i in np.unravel_index(column, raw.shape))])
        warnings.warn(
            f"{raw.source}: {place} is {x[row, column]:.6g}, over a million times as far from the middle of its column "
            "as most values there; if it stands for a missing one, leave its row out, since the others are nearly "
            "equal beside it",
            stacklevel=2,
        )
    return raw
