"""`vaekit impute`: arrays, images and tables with NaN or empty cells, filled by a run's model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.atomic import replacing
from vaekit.data.csv_files import MISSING, NumberTable, read_numbers, write_csv
from vaekit.data.save import write_npz
from vaekit.data.sources import read_raw
from vaekit.errors import UserError
from vaekit.experiment.run import Run, load
from vaekit.experiment.writing import check_out
from vaekit.tasks.imputation import Method, impute


@dataclass
class Gaps:
    """Rows with NaN (N, ...) as they were kept, and the CSV they are from, so that observed cells stay as written."""

    x: NDArray[np.float64]
    y: NDArray[Any] | None = None
    table: NumberTable | None = None


def read_gaps(source: str) -> Gaps:
    """Read a CSV with empty cells, or an array with NaN. UserError for what is no number, or is infinite."""
    path = Path(source)
    if path.suffix.lower() == ".csv":
        table = read_numbers(path, MISSING)
        gaps = Gaps(table.x, table=table)
    else:
        raw = read_raw(source)
        if len(raw.parts) > 1:
            raise UserError(f"{source} holds several splits; give a file with one array, x")
        if raw.train.x.dtype.kind not in "buif":
            raise UserError(f"{source} has type {raw.train.x.dtype}, not numbers; use NaN for what is missing")
        gaps = Gaps(raw.train.x.astype(np.float64), raw.train.y)
    if np.isinf(gaps.x).any():
        row = int(np.argwhere(np.isinf(gaps.x))[0][0])
        raise UserError(
            f"{source}: example {row} holds an infinite value; use NaN or an empty cell for what is missing"
        )
    if not np.isnan(gaps.x).any():
        raise UserError(f"{source} has no missing values: no NaN and no empty cell; there is nothing to impute")
    return gaps


def prepared_gaps(run: Run, x: NDArray[np.float64], where: str) -> tuple[Tensor, float]:
    """Return rows (N, *shape) as the model sees them, NaN kept, and the value of one unit in the source's terms."""
    shape = tuple(run.info.shape)
    own = tuple(x.shape[1:])
    if own != shape and not (len(shape) == 3 and shape[0] == 1 and own == shape[1:]):
        raise UserError(f"{where} has examples of shape {own}; this run's model takes {shape}")
    rows = torch.from_numpy(x.reshape(len(x), *shape))
    kind, seen = run.info.kind, x[~np.isnan(x)]
    if kind == "binary":
        if not np.isin(seen, (0.0, 1.0)).all():
            raise UserError(f"{where} has values other than 0, 1 and NaN, and this run's model is of binary data")
        return rows.float(), 1.0
    if kind in ("levels", "unit"):
        top = float((run.info.levels or 256) - 1)
        unit = top if len(seen) and seen.max() > 1 else 1.0
        if len(seen) and (seen.min() < 0 or seen.max() > unit):
            raise UserError(
                f"{where} has values from {seen.min():g} to {seen.max():g}; this run's go from 0 to {unit:g}"
            )
        rows = rows / unit
        return ((rows * top).round() / top if kind == "levels" else rows).float(), unit
    if run.prepare.mean is None or run.prepare.sd is None:
        return rows.float(), 1.0
    mean, sd = (torch.tensor(v, dtype=torch.float64).view(shape) for v in (run.prepare.mean, run.prepare.sd))
    return ((rows - mean) / sd).float(), 1.0


def back(run: Run, x: Tensor, unit: float) -> NDArray[np.float64]:
    """Return imputed values in the source's terms."""
    if run.info.kind in ("real", "counts"):
        return run.prepare.invert(x).double().numpy()
    return x.double().numpy() * unit


def impute_array(
    run: Run, x: NDArray[np.float64], *, method: Method, draws: int, k: int, seed: int, where: str = "x"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x with NaN filled by conditional means, and `draws` multiple imputations (M, ...); the rest untouched."""
    rows, unit = prepared_gaps(run, x, where)
    if run.model.takes_label:
        raise UserError(f"this run's model ({run.recipe}) is conditioned on labels; impute with a model of x alone")
    start = run.data.train_mean() if run.record["data"]["source"] != "memory" else torch.zeros(tuple(run.info.shape))
    found = impute(run.model, rows, start, method=method, draws=draws, k=k, seed=seed)
    missing = np.isnan(x)
    mean = np.where(missing, back(run, found.mean, unit).reshape(x.shape), x)
    several = np.where(missing, back(run, found.draws, unit).reshape(len(found.draws), *x.shape), x)
    return mean, several


def impute_file(
    folder: Path, out: Path, *, data: str, method: Method, draws: int, k: int, seed: int, multiple: bool = False
) -> dict[str, Any]:
    """Write data with their gaps filled: CSV (as it was, gaps filled), NPY, or NPZ (x, draws, missing).

    Tables are filled by runs of tables in their own form (see `vaekit.experiment.tables`), `multiple` times if asked.
    """
    run = load(folder)
    if run.info.kind == "table":
        from vaekit.experiment.tables import impute_table

        return impute_table(run, out, data=data, method=method, draws=draws, k=k, seed=seed, multiple=multiple)
    if multiple:
        raise UserError("--multiple writes tables; for arrays the draws are in the NPZ beside their mean")
    suffix = check_out(out, (".npz", ".npy", ".csv"))
    gaps = read_gaps(data)
    if suffix == ".csv" and gaps.table is None:
        raise UserError(f"--out {out}: a CSV is written from a CSV; use .npz for arrays")
    mean, several = impute_array(run, gaps.x, method=method, draws=draws, k=k, seed=seed, where=data)
    missing = np.isnan(gaps.x)
    if suffix == ".csv" and gaps.table is not None:
        write_csv(out, gaps.table.header, gaps.table.filled(mean))
    elif suffix == ".npz":
        write_npz(out, x=mean, draws=several, missing=missing, **({} if gaps.y is None else {"y": gaps.y}))
    else:
        with replacing(out) as part, part.open("wb") as stream:
            np.save(stream, mean, allow_pickle=False)
    return {"n": len(mean), "missing": int(missing.sum()), "method": method, "draws": len(several), "out": str(out)}
