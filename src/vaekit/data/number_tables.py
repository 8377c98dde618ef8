"""CSV files of numbers, as arrays with gaps."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.csv_files import check_names, column_names, counts_columns, header_is_data, label_columns, rows_of
from vaekit.data.number_forms import (
    MOST_WHOLE,
    PLAIN,
    NumberForm,
    any_number,
    are_codes,
    form_of,
    why_no_number,
)
from vaekit.errors import UserError, few

LOOKED_AT = 1000
"""Rows in which codes with zeros before them are looked for."""


@dataclass(frozen=True)
class NumberTable:
    """A CSV of numbers: `x` (N, D) float64 of its columns, NaN where a cell is missing, and all cells as written.

    `kept` are the columns' places among all `names`, `forms` how their numbers are written; `labelled` the places of
    the columns of labels. `header`: whether the file has one; else its columns are called c1, c2, …
    """

    path: Path
    names: list[str]
    cells: list[list[str]]
    kept: tuple[int, ...]
    forms: tuple[NumberForm, ...]
    labelled: tuple[int, ...]
    x: NDArray[np.float64]
    header: bool = True
    delimiter: str = ","

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of x."""
        return tuple(self.names[i] for i in self.kept)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the columns of labels."""
        return tuple(self.names[i] for i in self.labelled)

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
                form = self.forms[j]
                row[self.kept[j]] = f"{new[j]:.9g}" if form == PLAIN else form.write(float(new[j]), decimals=4)
            yield row


def read_numbers(path: Path, missing: Collection[str] = (), label: str = "auto") -> NumberTable:
    """Read a table of numbers, with a header or without one; the columns that `label` names hold labels, not numbers.

    See `label_columns`.
    Numbers may have decimal commas, thousands, a currency or %. A first column without a name that counts the rows, as
    data frames write it, is left out, and so is one without a name or a cell. `missing`: cells, in lower case, that
    stand for a missing value.

    Raises:
        UserError: names the row (counted from 1 below the header) and column of a cell that is neither.
    """
    read = list(rows_of(path))
    rows = [row for _, row, _ in read]
    if not rows:
        raise UserError(f"{path} has nothing in it; give a header and rows of numbers")
    names, body, header = _named(path, [cell.strip() for cell in rows[0]], rows)
    check_names([name for name in names if name], path)
    if not body:
        raise UserError(f"{path} has only a header; give a header and rows of numbers")
    for number, row in enumerate(body, start=1):
        if len(row) != len(names):
            raise UserError(
                f"{path}: row {number} has {len(row)} cells, the header {len(names)}; give every row the same"
            )
    labelled = tuple(names.index(name) for name in label_columns(label, names, path))
    kept = tuple(
        i
        for i, name in enumerate(names)
        if i not in labelled
        and not (i == 0 and _counts_rows(name, body))
        and (name or any(row[i].strip() for row in body))
    )
    cells = [[row[i] for i in kept] for row in body]
    if missing:
        cells = [["nan" if cell.strip().lower() in missing else cell for cell in row] for row in cells]
    codes = [names[i] for i in kept if are_codes([row[i].strip() for row in body[:LOOKED_AT]])]
    if codes:
        said = f"{path}: the codes of column {few(codes)} are read as numbers, without the zeros before them"
        warnings.warn(f"{said}; tabular-vae takes them as categories", stacklevel=2)
    forms = (PLAIN,) * len(kept)
    try:
        x = np.array(cells if _are_plain(cells) else None, dtype=np.float64)
        if x.shape != (len(cells), len(kept)) or bool((np.abs(x) >= MOST_WHOLE).any()):
            raise ValueError
    except ValueError:
        x, forms = _written(path, cells, [names[i] for i in kept], bool(missing))
    return NumberTable(path, names, body, kept, forms, labelled, x, header, read[0][2])


def _named(path: Path, first: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]], bool]:
    """Return the columns' names, the rows of data, and whether the file has a header; say it where it has none."""
    texts = [any_number(cell) is None for cell in first]
    some = not all(texts)  # what takes long is left where there is no number
    columns = [
        {row[i].strip() for row in rows[1:] if i < len(row)} if some and text else () for i, text in enumerate(texts)
    ]
    if some and header_is_data(first, columns):
        names = column_names(len(first))
        warnings.warn(f"{path} has no header: its columns are called {names[0]} to {names[-1]}", stacklevel=3)
        return names, rows, False
    if counts_columns(first) and "" not in first:
        warnings.warn(
            f"{path}: its first line, {', '.join(first[:3])}, …, is taken as names of columns; give names if not",
            stacklevel=3,
        )
    return first, rows[1:], True


def _are_plain(cells: list[list[str]]) -> bool:
    """Whether NumPy reads no more of cells than are numbers: it takes 1_0 and digits of other scripts for some."""
    joined = map("".join, cells)
    return all(row.isascii() and "_" not in row for row in joined)


def _counts_rows(name: str, rows: list[list[str]]) -> bool:
    """Whether the first column is a data frame's index: it has no name and counts the rows from 0 or 1."""
    start = rows[0][0].strip()
    return (
        name == "" and start in ("0", "1") and all(row[0].strip() == str(int(start) + i) for i, row in enumerate(rows))
    )


def _written(
    path: Path, cells: list[list[str]], columns: Sequence[str], gaps: bool
) -> tuple[NDArray[np.float64], tuple[NumberForm, ...]]:
    """Return cells as numbers (N, D), each column in the form that it is written in; UserError for one that is none."""
    each = [[row[j].strip() for row in cells] for j in range(len(columns))]
    different = [{cell for cell in column if cell not in ("", "nan")} for column in each]
    comma = any(form_of(texts)[0].decimal == "," for texts in different)
    forms = tuple(form_of(texts, comma)[0] for texts in different)
    x = np.full((len(cells), len(columns)), np.nan)
    for j, (column, form) in enumerate(zip(each, forms)):
        for i, cell in enumerate(column):
            value = float("nan") if cell == "nan" else form.read(cell)
            if value is None:
                problem = why_no_number(cell) if cell else "the cell is empty"
                fix = "leave gaps empty" if gaps else "give a number or drop the column"
                raise UserError(f"{path}: row {i + 1}, column '{columns[j]}': {problem}; {fix}")
            x[i, j] = value
    return x, forms
