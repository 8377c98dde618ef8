"""Arrays with NaN, and CSV files of numbers with empty cells, read as they are and written as they were."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.sources import LABEL_COLUMNS, read
from vaekit.errors import UserError

MISSING = ("", "na", "nan", "null", "none", "?")


@dataclass
class Gaps:
    """Rows with NaN (N, ...) as they were kept, and for a table its cells, so that observed ones stay as they were."""

    x: NDArray[np.float64]
    y: NDArray[Any] | None = None
    header: list[str] | None = None
    cells: list[list[str]] | None = None
    columns: tuple[int, ...] = ()


def read_gaps(source: str) -> Gaps:
    """Read a CSV with empty cells, or an array with NaN. UserError for what is not a number."""
    path = Path(source)
    if path.suffix.lower() == ".csv":
        found = _read_table(path)
    else:
        raw = read(source)
        if len(raw.parts) > 1:
            raise UserError(f"{source} holds several splits; give a file with one array, x")
        if raw.train.x.dtype.kind not in "buif":
            raise UserError(f"{source} has type {raw.train.x.dtype}, not numbers; use NaN for what is missing")
        found = Gaps(raw.train.x.astype(np.float64), raw.train.y)
    return found


def _read_table(path: Path) -> Gaps:
    if not path.is_file():
        raise UserError(f"there is no file {path}; check the path")
    try:
        rows = [row for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a readable CSV ({error}); save it as UTF-8") from None
    if len(rows) < 2:
        raise UserError(f"{path} has no rows; give a header and rows")
    header, body = [name.strip() for name in rows[0]], rows[1:]
    kept = tuple(i for i, name in enumerate(header) if name.lower() not in LABEL_COLUMNS)
    x = np.full((len(body), len(kept)), np.nan)
    for i, row in enumerate(body):
        if len(row) != len(header):
            raise UserError(
                f"{path}: row {i + 1} has {len(row)} cells, the header {len(header)}; give every row the same"
            )
        for j, column in enumerate(kept):
            cell = row[column].strip()
            if cell.lower() in MISSING:
                continue
            try:
                x[i, j] = float(cell)
            except ValueError:
                raise UserError(
                    f"{path}: row {i + 1}, column '{header[column]}': '{cell}' is not a number; leave gaps empty"
                ) from None
    return Gaps(x, None, header, body, kept)


def filled_table(gaps: Gaps, mean: NDArray[np.float64]) -> str:
    """Return the CSV as it was, with its gaps filled."""
    assert gaps.cells is not None and gaps.header is not None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(gaps.header)
    for i, row in enumerate(gaps.cells):
        filled = list(row)
        for j, column in enumerate(gaps.columns):
            if np.isnan(gaps.x[i, j]):
                filled[column] = f"{mean[i, j]:.9g}"
        writer.writerow(filled)
    return text.getvalue()
