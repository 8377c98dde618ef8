"""Tables with missing cells filled in the table's own form; every observed cell stays as it was written."""

from __future__ import annotations

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
from vaekit.data.tables.frames import Frame
from vaekit.data.tables.modality import Tables, TableSettings, cells_of, read_table_of
from vaekit.errors import UserError
from vaekit.models.base import Model
from vaekit.tasks.imputation import impute


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
        """Return the filled table in the form of `data`: a data frame for one, else a dict of columns."""
        filled = dict(zip(self.header, (list(column) for column in zip(*self.rows(draw, native=True)))))
        if not hasattr(data, "columns"):
            return filled
        out = data.copy()
        for cells in self.frame.columns:
            gap = cells.codes < 0
            if gap.any():
                own = out[cells.name]
                values = np.array(filled[cells.name], dtype=own.dtype if own.dtype in (float, np.float32) else object)
                out[cells.name] = own.where(~gap, type(own)(values, index=own.index))
        return out

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
        each: list[list[Any]] = []
        for cells in self.frame.columns:
            column: Mapping[str, Any] | None = facts.get(cells.name)
            if column is None:
                each.append([cells.text(i) or None for i in range(len(self.frame))])
            else:
                values = cols.parse(self.frame, cells, column, "missing")
                exact = {**column, "decimals": 15} if column["type"] in ("numeric", "positive") else column
                whole = column.get("decimals") == 0
                each.append([cols.as_native(v, column if whole else exact) for v in values])
        return [list(row) for row in zip(*each)]


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
