"""vaekit impute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vaekit.commands.common import ANSWER, USE_FILE, Answer, Flag, Folder, Seed, UseFile, Whole
from vaekit.commands.files import check_out
from vaekit.errors import UserError

if TYPE_CHECKING:
    from vaekit.tasks.table_imputation import TableImputation

TABLES = (".csv", ".tsv", ".gz", ".parquet", ".pq", ".npz")


def impute(
    run: Folder,
    /,
    *,
    data: str,
    method: Literal["resampling", "gibbs"] = "resampling",
    draws: Whole = 10,
    k: Whole = 200,
    seed: Seed = 0,
    multiple: Flag = False,
    horizon: Whole = 0,
    use: UseFile = USE_FILE,
    answer: Answer = ANSWER,
    out: Path,
) -> None:
    """Fill missing values (NaN, or a table's empty cells); what is there stays as it is.

    Parameters
    ----------
    data
        NPY, NPZ or CSV with missing values; for a run of tables, series or several modalities such data as it was
        trained on.
    method
        resampling (importance resampling) or gibbs (pseudo-Gibbs).
    draws
        Multiple imputations, kept in an NPZ beside their mean.
    k
        Importance samples an example, or sweeps.
    multiple
        Write the draws themselves, one table under the other, numbered in a first column (runs of tables).
    horizon
        Time series: forecast this many steps after the end of each, in the same way.
    out
        The file to write: .npz (x, draws, missing), .npy, or .csv (or .parquet) for a table; for series .npz (values,
        draws, missing, lengths), .csv (long) or .png; for several modalities .csv (files beside it), .npz or .png.
    """
    from vaekit.data.csv_files import write_csv
    from vaekit.data.gaps import read_gaps
    from vaekit.data.save import write_npy, write_npz

    opened = use.load(run)
    how: dict[str, Any] = {"method": method, "draws": draws, "k": k, "seed": seed}
    if opened.info.kind == "table":
        check_out(out, TABLES, (run, data))
        table = opened.impute_table(data, **how)
        _write_table(table, out, multiple)
        n, missing = len(table.single), table.count
    elif opened.info.kind == "series":
        check_out(out, (".npz", ".csv", ".png"), (run, data))
        made = opened.impute_series(data, horizon, **how)
        opened.write_imputed(made, out)
        n, missing = len(made.single), made.count
    elif opened.info.kind == "views":
        assert opened.modality is not None
        check_out(out, opened.modality.formats, (run, data))
        split = opened.split(data)
        made = opened.impute_views(split, **how)
        opened.modality.write(out, made.mean if draws > 1 else made.draws[0], opened.info)
        n, missing = len(split), int(split.x.isnan().sum())
    else:
        if horizon:
            raise UserError(f"--horizon is for time series, and {opened.info.name} holds {opened.info.kind} data")
        if multiple:
            raise UserError("--multiple writes tables; for arrays the draws are in the NPZ beside their mean")
        suffix = check_out(out, (".npz", ".npy", ".csv"), (run, data))
        gaps = read_gaps(data)
        if suffix == ".csv" and gaps.table is None:
            raise UserError(f"--out {out}: a CSV is written from a CSV; use .npz for arrays")
        made = opened.impute(gaps.x, where=data, **how)
        if suffix == ".csv" and gaps.table is not None:
            header = gaps.table.names if gaps.table.header else None
            write_csv(out, header, gaps.table.filled(made.x), gaps.table.delimiter)
        elif suffix == ".npz":
            write_npz(out, x=made.x, draws=made.draws, missing=made.missing, y=gaps.y)
        else:
            write_npy(out, made.x)
        n, missing = len(made.x), int(made.missing.sum())
    facts = {"n": n, "missing": missing, "method": method, "draws": draws, "out": str(out)}
    answer.tell(facts, f"{missing} values of {n} examples filled ({method}) in {out}")


def _write_table(table: TableImputation, out: Path, multiple: bool) -> None:
    """Write a filled table in its own form; with `multiple` its draws one under the other, numbered."""
    from vaekit.data.save import write_npz
    from vaekit.data.tables.frames import write_frame

    suffix = out.suffix.lower()
    if suffix == ".npz":
        write_npz(out, x=table.single, draws=table.draws, missing=table.gaps)
        return
    native = suffix in (".parquet", ".pq")
    header: list[str] | None = table.header if native or multiple or table.frame.header else None
    rows = table.rows(native=native) if not multiple else []
    if multiple:
        header = ["imputation", *table.header]
        rows = [[m, *row] for m in range(len(table.draws)) for row in table.rows(m, native)]
    own = table.frame.delimiter
    write_frame(out, header, rows, "\t" if ".tsv" in out.suffixes else "," if own == "\t" else own)
