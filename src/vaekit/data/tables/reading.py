"""Tables from CSV and Parquet files, data frames and columns in memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.csv_files import MISSING, check_names, column_names, counts_columns, header_is_data, rows_of
from vaekit.data.files import in_short, size_of
from vaekit.data.limits import check_count, check_size
from vaekit.data.paths import exists
from vaekit.data.python_objects import index_of, table_of
from vaekit.data.tables.dataframes import frame_facts
from vaekit.data.tables.frames import NO_PARQUET, Coder, Frame, frame_of
from vaekit.errors import UserError, optional

NOT_TABLES = (
    ".xlsx",
    ".xls",
    ".ods",
    ".json",
    ".jsonl",
    ".ndjson",
    ".feather",
    ".dta",
    ".sav",
    ".pkl",
    ".pickle",
    ".zip",
)
"""Suffixes of files that hold tables and are not read."""
WIDEST = 50_000
"""Columns of a file: each takes some 40 µs, and its names, types and notes memory, whatever the rows."""


def read_frame(source: Any, missing: Sequence[str] = MISSING, bad_rows: str = "refuse", header: str = "auto") -> Frame:
    """Read a table: a path to CSV (maybe gzipped) or Parquet, a data frame, or a dict of columns.

    `missing` are texts, in any case, that stand for a missing cell; the empty cell always does. Rows with too few or
    too many cells are refused, or left out where `bad_rows` is "drop" (`Frame.skipped` names them). `header`: whether a
    CSV has one, "yes", "no" or "auto" (see `csv_files.header_is_data`); columns without names are c1, c2, …

    Raises UserError naming the file, line or column, and the fix.
    """
    words = {"", *(word.strip().lower() for word in missing)}
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if not exists(path) or path.is_dir():
            raise UserError(f"there is no table {path}; check the path")
        if path.suffix.lower() in (".parquet", ".pq"):
            return frame_of(_parquet(path), path.name.split(".")[0], str(path), words)
        if path.suffix.lower() in NOT_TABLES:
            raise UserError(f"{path} is not a CSV or Parquet file; save it as CSV")
        return _csv(path, words, bad_rows, header)
    columns = table_of(source)
    if columns is not None:
        frame = frame_of(columns, "memory", "memory", words)
        return replace(frame, index=index_of(source), made_of=frame_facts(source))
    raise UserError(
        f"cannot read a table from {type(source).__name__}; give CSV, Parquet, a data frame or a dict of columns"
    )


# -- CSV ------------------------------------------------------------------------------------------------------------


def _csv(path: Path, missing: set[str], bad_rows: str, has_header: str) -> Frame:
    rows = rows_of(path)
    head = next(rows, None)
    if head is None:
        raise UserError(f"{path} is empty; give a header and rows")
    first_line, header, mark = head
    check_count(len(header), WIDEST, "columns", path)
    header = [name.strip() for name in header]
    coders = [Coder(name, missing) for name in header]
    lines = array("q")
    skipped: list[str] = []
    lost: list[tuple[int, str]] = []
    for line, row, _ in rows:
        if len(row) != len(header):
            problem = f"line {line} has {len(row)} cells, the first line {len(header)}"
            if bad_rows == "refuse":
                raise UserError(f"{path}: {problem}; correct it, or leave such rows out with --set data.bad_rows=drop")
            skipped.append(problem)
            lost.append((line, f"{len(row)} cells"))
            continue
        lines.append(line)
        for coder, cell in zip(coders, row):
            coder.add(cell)
    named = has_header == "yes" or (has_header == "auto" and not header_is_data(header, coders))
    if not named:
        lines.insert(0, first_line)
        for coder, cell, name in zip(coders, header, column_names(len(header))):
            coder.add(cell)
            coder.codes.insert(0, coder.codes.pop())
            coder.name = name
        if has_header == "auto":
            skipped.append(f"it has no header, and its columns are called c1 to c{len(coders)}")
    elif counts_columns(header) and "" not in header and has_header == "auto":
        skipped.append(f"its first line, {', '.join(header[:3])}, …, is taken as names; data.header=no if it is data")
    if not lines:
        raise UserError(f"{path} has a header and no rows; give rows of data")
    check_names([coder.name for coder in coders], path)
    columns = [coder.cells() for coder in coders]
    places = np.frombuffer(lines, np.int64).copy()
    name, left_out = path.name.split(".")[0], tuple(lost)
    return Frame(name, str(path), columns, places, mark, skipped, header=named, left_out=left_out)


# -- Parquet, data frames, dicts ------------------------------------------------------------------------------------


def _parquet(path: Path) -> dict[str, Any]:
    """Read a Parquet file, column by column."""
    parquet = optional("pyarrow.parquet", NO_PARQUET)
    try:
        with parquet.ParquetFile(path) as file:
            check_count(file.metadata.num_columns, WIDEST, "columns", path)
            check_size(file.metadata.num_rows * file.metadata.num_columns * 8, path, packed=size_of(path))
            check_names(file.schema_arrow.names, path)
            table = file.read()
            table.validate(full=True)  # text that is no UTF-8, and the like
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(f"{path} is not a readable Parquet file ({in_short(error)}); write it again") from None
    return {name: table.column(name) for name in table.column_names}
