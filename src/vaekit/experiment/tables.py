"""`vaekit impute` on tables: gaps filled in the table's own form, every observed cell as it was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.csv_files import rows_of
from vaekit.data.save import write_npz
from vaekit.data.tables import columns as cols
from vaekit.data.tables.frames import Frame, write_frame
from vaekit.data.tables.modality import Tables, TableSettings, natives, read_table, texts
from vaekit.errors import UserError
from vaekit.experiment.run import Run
from vaekit.tasks.imputation import Method, impute

SUFFIXES = (".csv", ".tsv", ".gz", ".parquet", ".pq", ".npz")


def impute_rows(run: Run, x: Tensor, *, method: Method, draws: int, k: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return stored rows (N, C) with their NaN filled by the best single values, and `draws` of them (M, N, C)."""
    if run.model.takes_label:
        raise UserError(f"this run's model ({run.recipe}) is conditioned on labels; impute with a model of x alone")
    found = impute(run.model, x, None, method=method, draws=draws, k=k, seed=seed)
    return found.mean, found.draws


def impute_table(
    run: Run, out: Path, *, data: str, method: Method, draws: int, k: int, seed: int, multiple: bool = False
) -> dict[str, Any]:
    """Write the table `data` with its gaps filled, as CSV, TSV, Parquet, or NPZ (x, draws, missing, as stored).

    Gaps in columns that never varied get their one value; those in columns the model does not know (identifiers) stay.
    `multiple` writes the `draws` one under the other, with a first column `imputation` that numbers them.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise UserError(f"--out {out}: write a file ending in {', '.join(SUFFIXES)}")
    settings: Any = run.settings.data
    assert isinstance(settings, TableSettings) and isinstance(run.modality, Tables)
    frame = read_table(data, settings)
    x = run.modality.encoded(frame, run.info, settings.unknown).x
    columns = run.info.facts["columns"]
    constants = run.info.facts["constants"]
    gaps = torch.isnan(x)
    missing = int(gaps[:, [frame.column(c["name"]) is not None for c in columns]].sum())
    missing += sum(int((cells.codes < 0).sum()) for cells in frame.columns if cells.name in constants)
    if not missing:
        raise UserError(f"{data} has no missing cell in a column of this run; there is nothing to impute")
    single, several = impute_rows(run, x, method=method, draws=draws, k=k, seed=seed)
    if out.suffix.lower() == ".npz":
        write_npz(out, x=single, draws=several, missing=gaps)
    else:
        _write(out, frame, several if multiple else single[None], columns, constants, multiple)
    return {"n": len(x), "missing": missing, "method": method, "draws": len(several), "out": str(out)}


def _write(
    out: Path,
    frame: Frame,
    filled: Tensor,
    columns: Sequence[Mapping[str, Any]],
    constants: Mapping[str, str],
    multiple: bool,
) -> None:
    whole = out.suffix.lower() in (".parquet", ".pq")
    header = [cells.name for cells in frame.columns]
    place = {column["name"]: j for j, column in enumerate(columns)}
    own = _native_cells(frame, columns) if whole else _raw_cells(frame)
    unset = np.stack([cells.codes < 0 for cells in frame.columns], 1)
    rows: list[list[Any]] = []
    for m, table in enumerate(filled):
        answers = natives(table, columns) if whole else texts(table, columns)
        for i, cells in enumerate(own):
            row = list(cells)
            for c, name in enumerate(header):
                if unset[i, c] and name in place:
                    row[c] = answers[i][place[name]]
                elif unset[i, c] and name in constants:
                    row[c] = constants[name]
            rows.append([m, *row] if multiple else row)
    mark = "\t" if ".tsv" in out.suffixes else "," if frame.delimiter == "\t" else frame.delimiter
    write_frame(out, ["imputation", *header] if multiple else header, rows, mark)


def _raw_cells(frame: Frame) -> list[list[str]]:
    """Return the table's cells exactly as they were written, where it is a file of text."""
    if frame.lines is None:
        return [[cells.text(i) for cells in frame.columns] for i in range(len(frame))]
    kept = set(frame.lines.tolist())
    return [row for line, row, _ in list(rows_of(Path(frame.source)))[1:] if line in kept]


def _native_cells(frame: Frame, columns: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Return the table's cells as numbers, dates and texts, for Parquet."""
    facts = {column["name"]: column for column in columns}
    each: list[list[Any]] = []
    for cells in frame.columns:
        column = facts.get(cells.name)
        if column is None:
            each.append([cells.text(i) or None for i in range(len(frame))])
        else:
            values = cols.parse(frame, cells, column, "missing")
            exact = {**column, "decimals": 15} if column["type"] in ("numeric", "positive") else column
            whole = column.get("decimals") == 0
            each.append([cols.as_native(v, column if whole else exact) for v in values])
    return [list(row) for row in zip(*each)]
