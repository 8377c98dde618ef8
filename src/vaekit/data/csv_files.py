"""CSV files: every one is read and written here, as cells of text or as numbers with gaps."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.atomic import write_bytes
from vaekit.data.files import read_bytes, writable
from vaekit.errors import UserError

MISSING = ("", "na", "n/a", "nan", "null", "none", "<na>", "nat", "?")
"""Cells that stand for a missing value, in any case."""
LABEL_COLUMNS = ("label", "class")
DELIMITERS = ",;\t|"


def delimiter_of(header: str) -> str:
    """Return what separates the names of a header line.

    >>> delimiter_of("age;weight;city")
    ';'
    """
    return max(DELIMITERS, key=header.count) if any(mark in header for mark in DELIMITERS) else ","


def rows_of(path: Path, delimiter: str | None = None) -> Iterator[tuple[int, list[str], str]]:
    """Yield (line number, cells, delimiter), the header first; empty lines are left out.

    The `delimiter` is what the header is separated by, if it is not given.

    Raises:
        UserError: the file cannot be read, is not UTF-8 or has unbalanced quotes.
    """
    if not path.exists():
        raise UserError(f"there is no file {path}; check the path")
    stream = io.TextIOWrapper(io.BytesIO(read_bytes(path)), "utf-8-sig", newline="")
    try:
        mark = delimiter or delimiter_of(stream.readline())
        stream.seek(0)
        reader = csv.reader(stream, delimiter=mark, strict=True)
        for row in reader:
            if row:
                yield reader.line_num, row, mark
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path} is not a readable CSV ({error}); check its quotes") from None


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], delimiter: str = ",") -> None:
    """Write rows under a header, gzipped where the name ends in .gz; whole or not at all. None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    data = text.getvalue().encode()
    write_bytes(writable(path), gzip.compress(data, mtime=0) if path.suffix.lower() == ".gz" else data)


@dataclass(frozen=True)
class NumberTable:
    """A CSV of numbers: `x` (N, D) float64 of its `columns`, NaN where a cell is missing, and all cells as written.

    `kept` are the columns' places in the `header`; `labelled` those of the columns of labels.
    """

    path: Path
    header: list[str]
    cells: list[list[str]]
    kept: tuple[int, ...]
    labelled: tuple[int, ...]
    x: NDArray[np.float64]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of x."""
        return tuple(self.header[i] for i in self.kept)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the columns of labels."""
        return tuple(self.header[i] for i in self.labelled)

    @property
    def labels(self) -> NDArray[Any] | None:
        """The labels as text, (N,), or (N, A) of several columns; "" where one is missing. None without any."""
        if not self.labelled:
            return None
        cells = np.array([[row[i].strip() for i in self.labelled] for row in self.cells], dtype=object)
        return cells[:, 0] if len(self.labelled) == 1 else cells

    def filled(self, x: NDArray[np.float64]) -> Iterator[list[str]]:
        """Yield the rows as they were written, missing cells replaced by the values of `x` (N, D)."""
        for cells, old, new in zip(self.cells, self.x, x):
            row = list(cells)
            for j in np.flatnonzero(np.isnan(old)):
                row[self.kept[j]] = f"{new[j]:.9g}"
            yield row


def label_columns(wanted: str, header: Sequence[str], source: str | Path) -> list[str]:
    """Return the columns of labels that a setting names: one or several with commas, "none", or "auto".

    "auto" is a column called label or class. Raises UserError for a name that the header does not have.

    >>> label_columns("status, amount", ["amount", "status", "x"], "a.csv"), label_columns("auto", ["Class", "x"], "")
    (['status', 'amount'], ['Class'])
    """
    if wanted == "none":
        return []
    if wanted == "auto":
        return [name for name in header if name.lower() in LABEL_COLUMNS][:1]
    names = [wanted] if wanted in header else [name.strip() for name in wanted.split(",")]
    absent = next((name for name in names if name not in header), None)
    if absent is not None:
        near = difflib.get_close_matches(absent, header, n=1)
        hint = f"did you mean '{near[0]}'? Name" if near else "name"
        raise UserError(f"data.label names '{absent}', and {source} has no such column; {hint} some, or none")
    return names


def read_numbers(path: Path, missing: Collection[str] = (), label: str = "auto") -> NumberTable:
    """Read a table of numbers with a header; the columns that `label` names hold labels and are no part of x.

    `missing`: cells, in lower case, that stand for a missing value. `label`: see `label_columns`.

    Raises:
        UserError: names the row (counted from 1 below the header) and column of a cell that is neither.
    """
    rows = [row for _, row, _ in rows_of(path, ",")]
    if len(rows) < 2:
        raise UserError(f"{path} has {'only a header' if rows else 'nothing in it'}; give a header and rows of numbers")
    header, body = [cell.strip() for cell in rows[0]], rows[1:]
    if all(number_of(name) is not None for name in header):
        raise UserError(f"{path} begins with numbers; give it a header, a first line that names the columns")
    for number, row in enumerate(body, start=1):
        if len(row) != len(header):
            raise UserError(
                f"{path}: row {number} has {len(row)} cells, the header {len(header)}; give every row the same"
            )
    labelled = tuple(header.index(name) for name in label_columns(label, header, path))
    kept = tuple(i for i in range(len(header)) if i not in labelled)
    cells = [[row[i] for i in kept] for row in body]
    if missing:
        cells = [["nan" if cell.strip().lower() in missing else cell for cell in row] for row in cells]
    try:
        x = np.array(cells, dtype=np.float64)
    except ValueError:
        raise UserError(_not_a_number(path, cells, [header[i] for i in kept], bool(missing))) from None
    return NumberTable(path, header, body, kept, labelled, x)


def _not_a_number(path: Path, cells: list[list[str]], columns: Sequence[str], gaps: bool) -> str:
    place, cell = next(
        (f"row {number}, column '{name}'", cell.strip())
        for number, row in enumerate(cells, start=1)
        for name, cell in zip(columns, row)
        if number_of(cell) is None
    )
    problem = f"'{cell}' is not a number" if cell else "the cell is empty"
    return f"{path}: {place}: {problem}; {'leave gaps empty' if gaps else 'give a number or drop the column'}"


def number_of(text: str) -> float | None:
    """Return the number that a cell spells, None if it is not one.

    >>> number_of("1e3"), number_of("1_000"), number_of("12 kg")
    (1000.0, None, None)
    """
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None
