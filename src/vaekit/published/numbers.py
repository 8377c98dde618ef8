"""Known tables as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.datasets import read_known


def numeric(name: str) -> tuple[list[str], NDArray[np.float64]]:
    """Return the names and values (N, columns) of a known table's numeric columns.

    >>> numeric("iris")[1].shape
    (150, 4)
    """
    columns: Any = read_known(name)
    chosen = {key: np.asarray(v, float) for key, v in columns.items() if np.asarray(v).dtype.kind in "fiu"}
    return list(chosen), np.stack(list(chosen.values()), 1)
