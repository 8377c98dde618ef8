"""Tables with missing cells filled in the table's own form; every observed cell stays as it was written."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.csv_files import rows_of
from vaekit.data.info import DataInfo
from vaekit.data.settings import DataSettings
from vaekit.data.tables import columns as cols
from vaekit.data.tables.dataframes import frame_facts, made_frame
from vaekit.data.tables.frames import Cells, Frame, write_frame
from vaekit.data.tables.modality import Tables, TableSettings, cells_of, framed, read_table_of
from vaekit.distributions.mixed import Layout
from vaekit.errors import UserError, few
from vaekit.models.base import Model
from vaekit.tasks.imputation import OWN, SHARED, drawn_given, impute

FEWEST = 10.0
"""Effective samples below which a few have nearly all the weight."""


@dataclass(frozen=True)
class TableImputation:
    """A table, and what fills its missing cells.

    `single` (N, C) are the columns that the model knows as it stores them, filled by the best single values; `draws`
    (M, N, C) are multiple imputations; `gaps` (N, C) says what was missing there. Gaps in columns that never varied get
    their one value; those in columns the model does not know (identifiers) stay. `count` cells of the table are filled.
    """

    frame: Frame
    info: DataInfo
    single: Tensor
    draws: Tensor
    gaps: Tensor
    count: int

    @property
    def header(self) -> list[str]:
        """The names of the table's columns."""
        return [cells.name for cells in self.frame.columns]

    def rows(self, draw: int | None = None, native: bool = False) -> list[list[Any]]:
        """Return the table's rows filled by the best single values or by one draw, as text or as native values."""
        columns, constants = self.info.facts["columns"], self.info.facts["constants"]
        table = self.single if draw is None else self.draws[draw]
        answers = cells_of(table, columns, cols.as_native if native else cols.as_text)
        place = {column["name"]: j for j, column in enumerate(columns)}
        rows = [list(row) for row in (self._native_cells() if native else self._raw_cells())]
        for c, cells in enumerate(self.frame.columns):
            for i in np.flatnonzero(cells.codes < 0):
                if cells.name in place:
                    rows[i][c] = answers[i][place[cells.name]]
                elif cells.name in constants:
                    rows[i][c] = constants[cells.name]
        return rows

    def like(self, data: Any, draw: int | None = None) -> Any:
        """Return the filled table in the form of `data`: a data frame for one, else a dict of columns.

        A frame has the dtypes that the model was trained on, where what was observed stays what it is in them.
        """
        filled = dict(zip(self.header, (list(column) for column in zip(*self.rows(draw, native=True)))))
        given = frame_facts(data)
        if given is None:
            return filled
        trained = self.info.facts.get("frame") or {}
        facts = trained.get("columns", {}) if trained.get("library") == given["library"] else {}
        columns = {}
        for name, cells in zip(data.columns, self.frame.columns):
            own = data[name].to_list()
            columns[cells.name] = [
                new if gap else old for old, new, gap in zip(own, filled[cells.name], cells.codes < 0)
            ]
            if cells.name in facts and _is_of(own, cells.codes >= 0, facts[cells.name]):
                given["columns"][cells.name] = facts[cells.name]
        made = made_frame(columns, given["library"], given, getattr(data, "index", None))
        made.columns = data.columns
        return made

    def _raw_cells(self) -> list[list[str]]:
        """Return the table's cells exactly as they were written, where it is a file of text."""
        frame = self.frame
        if frame.lines is None:
            return [[cells.text(i) for cells in frame.columns] for i in range(len(frame))]
        kept = set(frame.lines.tolist())
        return [row for line, row, _ in rows_of(Path(frame.source)) if line in kept]

    def _native_cells(self) -> list[list[Any]]:
        """Return the table's cells as numbers, dates and texts."""
        facts = {column["name"]: column for column in self.info.facts["columns"]}
        each = [_native(self.frame, cells, facts.get(cells.name)) for cells in self.frame.columns]
        return [list(row) for row in zip(*each)]


@dataclass(frozen=True)
class RowsLike:
    """Rows x (n, C) as the model stores them, some of whose cells were given in a table; `of` (n,) are its rows."""

    x: Tensor
    frame: Frame
    info: DataInfo
    of: np.ndarray

    def columns(self, native: bool) -> dict[str, list[Any]]:
        """Return the rows as columns, values as Python has them or text: what was given is as it was.

        Columns that the model does not know (identifiers) are those of the table given, where it has them.
        """
        made = Tables().columns(self.x, self.info, None, native)
        known = {column["name"]: column for column in self.info.facts["columns"]}
        for cells in self.frame.columns:
            if cells.name not in self.info.facts["header"]:
                continue
            own = _native(self.frame, cells, known.get(cells.name)) if native else None
            column = made.setdefault(cells.name, [None if native else ""] * len(self.x))
            for i, row in enumerate(self.of):
                if cells.codes[row] >= 0:
                    column[i] = own[row] if own is not None else cells.text(row)
        return {name: made[name] for name in self.info.facts["header"] if name in made}

    def as_frame(self, library: str | None = None) -> Any:
        """Return the rows as a data frame of a library, by default that of the one trained on."""
        return framed(self.columns(True), self.columns(False), self.info, library)

    def write(self, path: Path) -> None:
        """Write the rows as `Tables.write` does."""
        columns = self.columns(path.suffix.lower() in (".parquet", ".pq"))
        mark = "\t" if ".tsv" in path.suffixes else self.info.facts.get("delimiter", ",")
        write_frame(path, list(columns), [list(row) for row in zip(*columns.values())], mark)


def rows_like(
    model: Model, info: DataInfo, settings: DataSettings, data: Any, n: int | None = None, seed: int = 0
) -> RowsLike:
    """Return rows that have the cells given in a table, the others drawn from p(others | given).

    There are as many as the table has, or `n`, its rows taken in turn. In a column that the table lacks, cells are
    missing as often as the model says; an empty cell of a column that it has is drawn as one that is not missing.

    Raises:
        UserError: the table has a column that the run's has not, or no cell is to be drawn.
    """
    assert isinstance(settings, TableSettings)
    frame = read_table_of(data, info, settings)
    for cells in frame.columns:
        if cells.name not in info.facts["header"]:
            near = difflib.get_close_matches(cells.name, info.facts["header"], n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f": {few(info.facts['header'])}"
            raise UserError(f"{frame.source} has a column '{cells.name}' that this run's table has not{hint}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*taken as missing")  # what is to be drawn
        x = Tables().encoded(frame, info, settings.unknown).x
    lacking = [frame.column(str(column.get("gap_of") or column["name"])) is None for column in info.facts["columns"]]
    for j, column in enumerate(info.facts["columns"]):
        if column.get("gap_of") and not lacking[j]:
            x[:, j] = 0.0
    if not torch.isnan(x).any():
        raise UserError(f"every cell of {frame.source} is given, so nothing is drawn; empty cells or leave columns out")
    of = np.arange(len(x) if n is None else n) % len(x)
    made, ess = drawn_given(model, x, -(-len(of) // len(x)), seed)
    rare = int((ess < FEWEST).sum())
    if rare:
        warnings.warn(
            f"{frame.source}: what {rare} of {len(x)} rows give is rare under the model (effective sample size below "
            f"{FEWEST:g} of {SHARED + OWN:,}), so that what is drawn beside it may be off",
            stacklevel=3,
        )
    rows = made.flatten(0, 1)[: len(of)]
    for told, cell in Layout.of(info.facts["columns"]).gaps:
        if lacking[cell]:
            rows[:, cell] = torch.where(rows[:, told] == 1, torch.nan, rows[:, cell])
    return RowsLike(rows, frame, info, of)


def _native(frame: Frame, cells: Cells, column: Mapping[str, Any] | None) -> list[Any]:
    """Return a column's cells as numbers, dates and texts, as they were; texts of one that the model does not know."""
    if column is None:
        return [cells.text(i) or None for i in range(len(frame))]
    values = cols.parse(frame, cells, column, "missing")
    exact = {**column, "decimals": 15} if column["type"] in ("numeric", "positive") else column
    whole = column.get("decimals") == 0
    return [cols.as_native(v, column if whole else exact) for v in values]


def _is_of(values: list[Any], seen: np.ndarray, facts: Mapping[str, Any]) -> bool:
    """Whether what is there of a column's values stays what it is as a column of these facts."""
    there = [value for value, is_seen in zip(values, seen) if is_seen]
    if facts.get("categories") is not None:
        return all(value in facts["categories"] for value in there)
    return facts.get("of") != "int" or all(isinstance(value, int | float) and value % 1 == 0 for value in there)


def impute_table(model: Model, info: DataInfo, settings: DataSettings, data: Any, **how: Any) -> TableImputation:
    """Fill the missing cells of a table: a file, a data frame or a dict of columns. UserError where none is missing.

    `how`: `method`, `draws`, `k` and `seed` of `vaekit.tasks.imputation.impute`.
    """
    assert isinstance(settings, TableSettings)
    frame = read_table_of(data, info, settings)
    x = Tables().encoded(frame, info, settings.unknown).x
    gaps = torch.isnan(x)
    for j, column in enumerate(info.facts["columns"]):
        if column.get("gap_of"):  # cells are filled as those that were observed are distributed, given the rest
            x[:, j] = torch.where(torch.isnan(x[:, j]), x[:, j], 0.0)
            gaps[:, j] = False
    present = [frame.column(column["name"]) is not None for column in info.facts["columns"]]
    constant = [cells for cells in frame.columns if cells.name in info.facts["constants"]]
    count = int(gaps[:, present].sum()) + sum(int((cells.codes < 0).sum()) for cells in constant)
    if not count:
        raise UserError(f"{frame.source} has no missing cell in a column of this run; there is nothing to impute")
    filled = impute(model, x, None, **how)
    return TableImputation(frame, info, filled.mean, filled.draws, gaps, count)
