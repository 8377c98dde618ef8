"""Arrays with NaN, and CSV files of numbers with empty cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.arrays import as_floats
from vaekit.data.csv_files import MISSING
from vaekit.data.number_tables import NumberTable, read_numbers
from vaekit.data.sources import read_raw
from vaekit.errors import UserError


@dataclass(frozen=True)
class Gaps:
    """Rows with NaN (N, ...) as they were kept, and the CSV they are from, so that observed cells stay as written."""

    x: NDArray[np.float64]
    y: NDArray[Any] | None = None
    table: NumberTable | None = None


def read_gaps(source: str) -> Gaps:
    """Read a CSV with missing cells (`MISSING`), or an array with NaN. UserError for what is not a number."""
    path = Path(source)
    if path.suffix.lower() == ".csv":
        table = read_numbers(path, MISSING)
        return Gaps(table.x, table=table)
    raw = read_raw(source)
    if len(raw.parts) > 1:
        raise UserError(f"{source} holds several splits; give a file with one array, x")
    if raw.train.x.dtype.kind not in "buif":
        raise UserError(f"{source} has type {raw.train.x.dtype}, not numbers; use NaN for what is missing")
    return Gaps(as_floats(raw.train.x), raw.train.y)
