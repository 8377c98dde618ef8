"""Tables as they were written: cells as text, column by column, in memory and into files."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.atomic import replacing
from vaekit.data.arrays import as_array
from vaekit.data.csv_files import check_names, write_csv
from vaekit.data.files import writable
from vaekit.data.number_forms import form_of
from vaekit.data.origin import Origin
from vaekit.errors import UserError, optional

NO_PARQUET = "Parquet files need pyarrow: pip install 'vaekit[tabular]'; or give a CSV"


@dataclass
class Cells:
    """A column: its different texts, and for each row the number of its own (-1 where the cell is missing)."""

    name: str
    texts: list[str]
    codes: np.ndarray
    levels: tuple[str, ...] = ()
    """The order of its levels, where the source says it (an ordered categorical of a data frame)."""
    numbers: bool = False
    """Whether the texts are those of numbers in memory, and so in no other form than Python's."""

    def text(self, row: int) -> str:
        """Return a cell, "" where it is missing."""
        return self.texts[self.codes[row]] if self.codes[row] >= 0 else ""

    def first_row(self, code: int) -> int:
        """Return the first row that holds a text."""
        return int(np.argmax(self.codes == code))


@dataclass
class Frame:
    """Columns of one length. `lines` are the rows' line numbers in a file of text; else they are counted from 1."""

    name: str
    source: str
    columns: list[Cells]
    lines: np.ndarray | None = None
    delimiter: str = ","
    skipped: list[str] = field(default_factory=list)
    header: bool = True
    """Whether a file of text has a header."""
    index: np.ndarray | None = None
    """The labels of a data frame's rows."""
    left_out: tuple[tuple[int, str], ...] = ()
    """The lines that were skipped, and why."""
    made_of: dict[str, Any] | None = None
    """The library and dtypes of a data frame; see `vaekit.data.tables.dataframes`."""
    _places: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.columns[0].codes) if self.columns else 0

    def place(self, row: int, column: str) -> str:
        """Name a cell as a person finds it.

        >>> Frame("people", "memory", [Cells("age", ["1", "2"], np.array([0, 1]))]).place(1, "age")
        "memory: row 2, column 'age'"
        """
        where = f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"
        return f"{self.source}: {where}, column '{column}'"

    @property
    def commas(self) -> bool:
        """Whether numbers have decimal commas: a column can be read in no other way, and commas do not part cells."""
        return self.delimiter != "," and any(form_of(cells.texts)[0].decimal == "," for cells in self.columns)

    @property
    def origin(self) -> Origin:
        """Where each row comes from: its line in a file, its label in a data frame, else its number from 1."""
        if self.lines is not None:
            return Origin({"line": self.lines}, self.left_out)
        return Origin.rows(len(self), self.index, first=1)

    def column(self, name: str) -> Cells | None:
        """Return a column by name."""
        if len(self._places) != len(self.columns):
            self._places = {cells.name: i for i, cells in reversed([*enumerate(self.columns)])}
        place = self._places.get(name)
        return None if place is None else self.columns[place]


class Coder(dict[str, int]):
    """Numbers the different texts of a column in the order they come."""

    def __init__(self, name: str, missing: set[str]) -> None:
        self.name = name
        self.missing = missing
        self.texts: list[str] = []
        self.codes = array("i")

    def add(self, cell: str) -> None:
        """Take the next row's cell."""
        self.codes.append(self[cell])

    def __missing__(self, cell: str) -> int:
        text = cell.strip()
        if text.lower() in self.missing:
            code = -1
        elif text in self:
            code = self[text]
        else:
            code = self[text] = len(self.texts)
            self.texts.append(text)
        self[cell] = code
        return code

    def cells(self) -> Cells:
        """Return the column."""
        return Cells(self.name, self.texts, np.frombuffer(self.codes, np.int32).copy())


def frame_of(columns: Mapping[Any, Any], name: str, source: str, missing: set[str]) -> Frame:
    """Return the table of columns in memory, by name; `missing` are texts, in lower case, of a cell that is missing."""
    if not columns:
        raise UserError(f"{source} has no columns; give at least one")
    cells = [_column(str(key), values, missing, source) for key, values in columns.items()]
    check_names([column.name for column in cells], source)
    sizes = {column.name: len(column.codes) for column in cells}
    if len(set(sizes.values())) > 1:
        raise UserError(f"{source}: the columns differ in length ({sizes}); give every column the same")
    if not len(cells[0].codes):
        raise UserError(f"{source} has no rows; give rows of data")
    return Frame(name, source, cells)


def _column(name: str, values: Any, missing: set[str], source: str) -> Cells:
    """Return a column of values in memory as text: numbers as they print shortest, dates in ISO form."""
    ordered = getattr(getattr(values, "dtype", None), "ordered", False)
    levels = tuple(str(level) for level in values.dtype.categories) if ordered else ()
    plain = _plain(values)
    if plain.ndim != 1:
        raise UserError(f"{source}: column '{name}' has shape {plain.shape}; give one value a row")
    coder = Coder(name, missing)
    if plain.dtype.kind in "fiuM":
        different, codes = np.unique(plain, return_inverse=True, equal_nan=True)
        whole = plain.dtype.kind == "f" and bool(np.all(different[np.isfinite(different)] % 1 == 0))
        texts = [_as_text(value) for value in different]
        if plain.dtype.kind == "M" and any("T" in text for text in texts):
            texts = [text if "T" in text or not text else f"{text}T00:00:00" for text in texts]
        for text in texts:
            coder.add(text.removesuffix(".0") if whole else text)
        own = np.frombuffer(coder.codes, np.int32)[codes.reshape(-1)]
        return Cells(name, coder.texts, own.copy(), levels, numbers=plain.dtype.kind != "M")
    every = plain.tolist()
    for value in every:
        coder.add(_as_text(value))
    cells = coder.cells()
    cells.levels, cells.numbers = levels, all(value is None or isinstance(value, int | float) for value in every)
    return cells


def _plain(values: Any) -> np.ndarray:
    """Return an array of numbers, dates or objects, whatever holds them."""
    if hasattr(values, "detach") or isinstance(values, np.ma.MaskedArray):
        values = as_array(values, "the column")
    if getattr(values.dtype, "tz", None) if hasattr(values, "dtype") else False:  # the hours that clocks showed there
        values = values.dt.tz_localize(None)
    elif getattr(getattr(values, "dtype", None), "time_zone", None):
        values = values.dt.replace_time_zone(None)
    if hasattr(values, "combine_chunks"):  # pyarrow: whole columns may be of integers with nulls
        return np.array(values.to_pylist(), dtype=object)
    if isinstance(getattr(values, "dtype", None), np.dtype):
        return np.asarray(values)
    if hasattr(values, "isna"):  # pandas: extension types keep integers beside missing cells
        return np.asarray(values.astype(object).where(~values.isna(), None), dtype=object)
    if not hasattr(values, "to_list") and not (hasattr(values, "__iter__") and getattr(values, "ndim", 1)):
        raise UserError(f"a column is {values!r:.60}; give every column a value a row")
    listed = values.to_list() if hasattr(values, "to_list") else list(values)
    out = np.empty(len(listed), dtype=object)
    out[:] = listed
    return out


def _as_text(value: Any) -> str:
    """Return a value as a cell; None, NaN and not-a-time are the empty cell.

    >>> _as_text(3.0), _as_text(None), _as_text(np.datetime64("2024-02-01T00:00"))
    ('3.0', '', '2024-02-01')
    """
    if value is None or (isinstance(value, float | np.floating) and value != value):
        return ""
    if isinstance(value, np.datetime64):
        return "" if np.isnat(value) else str(value.astype("datetime64[s]")).removesuffix("T00:00:00")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, date):  # datetimes are dates too
        return value.isoformat().removesuffix("T00:00:00")
    return value if isinstance(value, str) else str(value)


def write_frame(path: Path, header: Sequence[str] | None, rows: Sequence[Sequence[Any]], delimiter: str = ",") -> None:
    """Write rows under a header, if one is given, as CSV, gzipped CSV or Parquet, by the suffix; whole or not at all.

    CSV takes the cells as text; Parquet keeps numbers, dates and None as they are.
    """
    if path.suffix.lower() in (".parquet", ".pq") and header is not None:
        parquet = optional("pyarrow.parquet", NO_PARQUET)
        import pyarrow

        columns = list(zip(*rows)) if rows else [()] * len(header)
        table = pyarrow.table({name: pyarrow.array(list(column)) for name, column in zip(header, columns)})
        with replacing(writable(path)) as part:
            parquet.write_table(table, part)
        return
    write_csv(path, header, rows, delimiter)
