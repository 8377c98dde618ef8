"""Series in CSV files and frames: long (id, time, values), or one series a row."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.csv_files import LABEL_COLUMNS, MISSING, check_names, rows_of
from vaekit.data.number_forms import number_of, why_no_number
from vaekit.data.series.collection import Collection, Values
from vaekit.data.series.grid import as_times, irregular, placed, step_of
from vaekit.errors import UserError

IDS = ("id", "series", "series_id", "item_id", "unique_id", "case_id", "unit", "key")
TIMES = ("time", "t", "timestamp", "datetime", "date", "ds", "step", "timepoint")
AUTO = "auto"
LONG = ". Where a line is one time of one series, name those columns: data.id=..., data.time=..."


def read_csv_series(path: Path, id: str = AUTO, time: str = AUTO) -> Collection:
    """Read a CSV: long where it has columns for id and time, else one series a row, of any number of cells.

    Raises:
        UserError: names the line and column of a cell that is no number.
    """
    lines = list(rows_of(path))
    if not lines:
        raise UserError(f"{path} is empty; give a file with data")
    header = [cell.strip() for cell in lines[0][1]]
    check_names([name for name in header if name and number_of(name) is None], path)
    if _place(header, id, IDS) is not None and _place(header, time, TIMES) is not None:
        body = lines[1:]
        odd = next((number for number, row, _ in body if len(row) != len(header)), None)
        if odd is not None:
            raise UserError(f"{path}: line {odd} has another number of cells than the header's {len(header)}")
        columns = {name: [row[j].strip() for _, row, _ in body] for j, name in enumerate(header)}
        return of_columns(columns, str(path), id, time)
    if AUTO not in (id, time):
        raise UserError(f"{path} has no columns '{id}' and '{time}'; its header is {', '.join(header)}")
    return _wide(path, lines, header)


def read_ucr(path: Path) -> Collection:
    """Read the UCR archive's form: a series a line without a header, tabs between, its class first, NaN after its end.

    Raises:
        UserError: names the line of a cell that is no number.
    """
    series, labels = list[Values](), list[str]()
    for number, row, _ in rows_of(path, "\t"):
        series.append(_line(row[1:], number, path)[None])
        labels.append(row[0].strip().removesuffix(".0"))
    return Collection(path.stem, str(path), series, labels, padded=True).checked()


def is_long(names: Sequence[str]) -> bool:
    """Whether columns of these names hold series in long form.

    >>> is_long(["id", "time", "speed"]), is_long(["a", "b"])
    (True, False)
    """
    return _place(names, AUTO, IDS) is not None and _place(names, AUTO, TIMES) is not None


def _place(names: Sequence[str], wanted: str, usual: Sequence[str]) -> int | None:
    if wanted != AUTO:
        return list(names).index(wanted) if wanted in names else None
    lower = [name.lower() for name in names]
    return next((lower.index(name) for name in usual if name in lower), None)


def of_columns(columns: Mapping[str, Sequence[Any]], where: str, id: str = AUTO, time: str = AUTO) -> Collection:
    """Return the series of named columns: an id and a time for each row, the other columns being channels.

    Rows are sorted by time. Evenly spaced times have NaN where a step is missing, others are an order alone. A column
    `label` or `class` holds each series' class, the same in all its rows.

    >>> made = of_columns({"id": ["a", "b", "a"], "time": [2, 1, 0], "v": [5, 6, 4]}, "frame")
    >>> made.names, [one.tolist() for one in made.series]
    (['a', 'b'], [[[4.0, 5.0]], [[6.0]]])
    """
    names = list(columns)
    a, b = _place(names, id, IDS), _place(names, time, TIMES)
    if a is None or b is None:
        raise UserError(f"{where} has no columns for id and time; name them with data.id and data.time")
    label = next((name for name in names if name.lower() in LABEL_COLUMNS), None)
    channels = [name for j, name in enumerate(names) if j not in (a, b) and name != label]
    if not channels:
        raise UserError(f"{where} has no column of values beside '{names[a]}' and '{names[b]}'")
    keys, when = [str(cell) for cell in columns[names[a]]], as_times([str(c) for c in columns[names[b]]], where)
    values = np.array([_column(columns[name], name, where) for name in channels])
    if not keys:
        raise UserError(f"{where} has no rows")
    ids = list(dict.fromkeys(keys))
    number = {key: i for i, key in enumerate(ids)}
    of = np.array([number[key] for key in keys])
    order = np.lexsort((when, of))
    parts = np.split(order, np.cumsum(np.bincount(of, minlength=len(ids)))[:-1])
    times = [when[part] for part in parts]
    for key, own in zip(ids, times):
        if len(own) > 1 and float(np.diff(own).min()) == 0:
            raise UserError(f"{where}: series {key} has two rows at one time; leave one out")
    step = step_of(times)
    if step is None:
        irregular(where)
    series = [placed(own, values[:, part], step) for own, part in zip(times, parts)]
    labels = [] if label is None else [str(columns[label][part[0]]) for part in parts]
    layout = "T" if len(channels) == 1 else "TC"
    return Collection(Path(where).stem, where, series, labels, ids, tuple(channels), layout).checked()


def _column(cells: Sequence[Any], name: str, where: str) -> Values:
    out, odd = _numbers(cells)
    if odd is not None:
        why = why_no_number(str(cells[odd]).strip())
        raise UserError(f"{where}: row {odd + 1}, column '{name}': {why}; leave gaps empty")
    return out


def _line(cells: Sequence[str], number: int, path: Path, hint: str = "") -> Values:
    out, odd = _numbers(cells)
    if odd is not None:
        raise UserError(f"{path}: line {number}: {why_no_number(cells[odd].strip())}; leave gaps empty{hint}")
    return out


def _numbers(cells: Sequence[Any]) -> tuple[Values, int | None]:
    """Return the cells as numbers, NaN where they are missing, and the place of the first that is neither, if any."""
    out = np.empty(len(cells))
    for i, cell in enumerate(cells):
        text = str(cell).strip()
        number = np.nan if text.lower() in MISSING else number_of(text)
        if number is None:
            return out, i
        out[i] = number
    return out, None


def _wide(path: Path, lines: Sequence[tuple[int, list[str], str]], header: list[str]) -> Collection:
    """Read one series a row; a first line that is not numbers is a header, and a column `label` or `class` is one."""
    named = any(number_of(cell) is None and cell.lower() not in MISSING for cell in header)
    body = lines[1:] if named else lines
    if not body:
        raise UserError(f"{path} has only a header; give rows of numbers")
    if not named:
        warnings.warn(f"{path} has no header: its first line is taken as a series", stacklevel=5)
    label = next((j for j, name in enumerate(header) if named and name.lower() in LABEL_COLUMNS), None)
    series, labels = list[Values](), list[str]()
    for number, row, _ in body:
        if label is not None and label >= len(row):
            raise UserError(f"{path}: line {number} has {len(row)} cells, and the label is in column {label + 1}")
        if label is not None:
            labels.append(row[label].strip())
        cells = [cell for j, cell in enumerate(row) if j != label]
        series.append(_line(cells, number, path, LONG if named else "")[None])
    return Collection(path.name.split(".")[0], str(path), series, labels, padded=True).checked()
