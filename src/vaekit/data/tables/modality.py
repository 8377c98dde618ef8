"""Tables: rows of mixed columns with missing cells, from CSV, Parquet, data frames and dicts of columns."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from vaekit.data.csv_files import LABEL_COLUMNS, MISSING, rows_of
from vaekit.data.dataset import DataSet, Split
from vaekit.data.datasets import DATASETS, modality_name, read_if_known
from vaekit.data.info import DataInfo
from vaekit.data.modality import MODALITIES, Modality
from vaekit.data.number_forms import number_of
from vaekit.data.origin import Origin
from vaekit.data.settings import DataSettings, settings_as, yes_or_no
from vaekit.data.splits import split_numbers
from vaekit.data.tables import columns as cols
from vaekit.data.tables.frames import Cells, Frame, read_frame, write_frame
from vaekit.data.tables.inference import TYPES, Inferred, check_types, infer, split_type
from vaekit.errors import UserError

AUTO, NO_LABEL = "auto", "none"
MOST_CLASSES = 100


def _types(value: Any) -> Any:
    """Read `age=numeric,grade=ordinal:low<high`, or a mapping."""
    if not isinstance(value, str):
        return value
    parts: list[str] = []
    for part in value.split(","):
        if "=" in part or not parts:
            parts.append(part)
        else:  # a comma of a date's form
            parts[-1] += f",{part}"
    pairs = [part.strip(", ").partition("=") for part in parts if part.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError("write column=type with commas between, e.g. age=numeric,grade=ordinal:low<mid<high")
    return {name.strip(): kind.strip() for name, _, kind in pairs}


def _words(value: Any) -> Any:
    return tuple(word.strip() for word in str(value).split(",")) if isinstance(value, str | int | float) else value


class TableSettings(DataSettings):
    """Settings of tables.

    >>> TableSettings.model_validate({"types": "age=numeric, grade=ordinal:low<high"}).types
    {'age': 'numeric', 'grade': 'ordinal:low<high'}
    """

    types: Annotated[dict[str, str], BeforeValidator(_types)] = Field(
        default_factory=dict,
        description="columns' types where they are not to be inferred, age=numeric,grade=ordinal:low<mid<high,"
        f"when=date:%d/%m/%Y; one of {', '.join(TYPES)}",
    )
    label: str = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default="auto",
        description="the column of labels, kept out of the model; 'auto': one called label or class; 'none': no such",
    )
    header: Annotated[Literal["auto", "yes", "no"], BeforeValidator(yes_or_no)] = Field(
        default="auto", description="whether a CSV's first line names the columns; auto: unless it is a row of data"
    )
    decimal: Literal["auto", "point", "comma"] = Field(
        default="auto", description="the mark of decimals where 1.234 and 1,234 could be either; auto: by all columns"
    )
    missing: Annotated[tuple[str, ...], BeforeValidator(_words)] = Field(
        default=MISSING, description="cells that stand for a missing value, in any case; empty ones always do"
    )
    unknown: Literal["refuse", "missing"] = Field(
        default="refuse", description="levels met only when the model is used: refused, or taken as missing"
    )
    bad_rows: Literal["refuse", "drop"] = Field(
        default="refuse", description="rows with too few or too many cells: refused, or left out with a warning"
    )


class Tables(Modality):
    """Rows (N, C) float32 of the columns that are modelled, NaN where missing; see `vaekit.data.tables.columns`.

    `info.facts`: `columns` (the modelled ones, in order), `header` (all names as the source has them), `constants` (the
    text of columns that never vary), `label` (its column's name or None), `delimiter`, `headless` (whether the columns
    have no names of their own), `notes` (what was left out).
    """

    name = "tables"
    noun = "rows of a table"
    settings = TableSettings
    reads = (".parquet", ".pq", ".tsv")
    formats = (".csv", ".csv.gz", ".tsv", ".parquet")
    default = "breast-cancer"

    def load(self, source: Any, settings: DataSettings) -> DataSet:
        """Read a table: types by all its rows, scales and levels by what is observed in the training rows.

        A level met in held-out rows alone is taken as missing there, and noted. Raises UserError naming file, line and
        column where a cell, row or setting is wrong.

        >>> data = Tables().load({"a": [1.5, None, 3.5], "b": ["x", "y", "x"]}, TableSettings(valid=0, test=0))
        >>> [column["type"] for column in data.info.facts["columns"]], data.train.x.shape
        (['numeric', 'categorical'], torch.Size([3, 2]))
        """
        settings = settings_as(TableSettings, settings)
        frame = read_table(source, settings)
        parts = split_numbers(len(frame), frame.source, settings)
        label = _label(frame, settings)
        facts = _fitted(frame, label, settings, parts[0])
        if not facts["columns"]:
            raise UserError(f"{frame.source} has no column to model: {'; '.join(facts['notes'])}; see data.types")
        values = _stored(frame, facts["columns"], "missing")
        _note_unseen(frame, facts, values)
        classes, y = _classes(label)
        if frame.skipped or facts["notes"]:
            warnings.warn(f"{frame.source}: {'; '.join([*frame.skipped, *facts['notes']])}", stacklevel=2)
        splits = [_split(values, y, frame.origin.take(index), index) for index in parts]
        return self.data_set(frame.name, frame.source, "table", splits, facts, classes=classes)

    def encode(self, source: Any, info: DataInfo, settings: DataSettings) -> Split:
        """Read other rows as the run's own were: every row, in order; columns that are not there are missing.

        Raises UserError naming file, line and column of a cell that does not fit, or if no column is the run's.
        """
        settings = settings_as(TableSettings, settings)
        return self.encoded(read_table_of(source, info, settings), info, settings.unknown)

    def encoded(self, frame: Frame, info: DataInfo, unknown: str = "refuse") -> Split:
        """Return the rows of a table that was read, as the model sees them."""
        columns = info.facts["columns"]
        absent = [column["name"] for column in columns if frame.column(column["name"]) is None]
        if len(absent) == len(columns):
            raise UserError(
                f"{frame.source} has none of this run's columns ({', '.join(absent[:8])}); its header is "
                f"{', '.join(cells.name for cells in frame.columns[:8])}"
            )
        if absent:
            warnings.warn(f"{frame.source} has no column {', '.join(absent)}: taken as missing", stacklevel=3)
        label = frame.column(info.facts["label"]) if info.facts.get("label") else None
        y = None
        if label is not None and bool((label.codes >= 0).all()):
            y = _known_classes(frame, label, info.classes)
        return _split(_stored(frame, columns, unknown), y, frame.origin, slice(None))

    def lines(self, x: Tensor, info: DataInfo) -> list[str]:
        """Return `name=value, …` for each row; a missing cell is `?`."""
        columns = info.facts["columns"]
        names = [column["name"] for column in columns]
        rows = cells_of(x, columns, cols.as_text)
        return [", ".join(f"{name}={cell or '?'}" for name, cell in zip(names, row)) for row in rows]

    def write(self, path: Path, x: Tensor, info: DataInfo) -> None:
        """Write rows with the source's names, units and order of columns, as CSV (maybe gzipped), TSV or Parquet.

        Columns that never varied have their one value; identifiers and labels, which the model does not know, are left
        out.
        """
        facts = info.facts
        whole = path.suffix.lower() in (".parquet", ".pq")
        cells = cells_of(x, facts["columns"], cols.as_native if whole else cols.as_text)
        place = {column["name"]: j for j, column in enumerate(facts["columns"])}
        header = [name for name in facts["header"] if name in place or name in facts["constants"]]
        rows = [[row[place[name]] if name in place else facts["constants"][name] for name in header] for row in cells]
        mark = "\t" if ".tsv" in path.suffixes else facts.get("delimiter", ",")
        write_frame(path, header, rows, mark)


def cells_of(
    x: Tensor, columns: Sequence[Mapping[str, Any]], cell: Callable[[float, Mapping[str, Any]], Any]
) -> list[list[Any]]:
    """Return stored rows (N, C) as cells: `as_text` or `as_native` of `vaekit.data.tables.columns`."""
    array = x.detach().cpu().numpy()
    each = [[cell(v, column) for v in cols.restore(array[:, j], column)] for j, column in enumerate(columns)]
    return [list(row) for row in zip(*each)]


def read_table(source: Any, settings: TableSettings) -> Frame:
    """Read a known table, a file, a data frame or a dict of columns, as the settings say."""
    known = read_if_known(source, Tables.name, f"is not a table; give a CSV or Parquet file, or {Tables.default}")
    if known is not None:
        return replace(read_frame(known, settings.missing), name=source, source=source)
    if isinstance(source, str) and not Path(source).expanduser().exists():
        names = [entry.name for entry in DATASETS if modality_name(entry.name) == Tables.name]
        near = difflib.get_close_matches(source, names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UserError(f"there is no table {source}; {hint}Give a file, or one of {', '.join(names)}")
    return read_frame(source, settings.missing, settings.bad_rows, settings.header)


def read_table_of(source: Any, info: DataInfo, settings: TableSettings) -> Frame:
    """Read a table for a run, as the settings say: where the run's own had no header, one is known by its names.

    Raises UserError where it cannot be read.
    """
    if info.facts.get("headless") and settings.header == "auto" and isinstance(source, str | Path):
        path = Path(source).expanduser()
        first = next(rows_of(path), (0, [], ""))[1] if path.is_file() and ".csv" in path.suffixes else ()
        has_header = any(name.strip() in info.facts["header"] for name in first)
        settings = settings.model_copy(update={"header": "yes" if has_header or not first else "no"})
    return read_table(source, settings)


# -- which columns ----------------------------------------------------------------------------------------------------


def _label(frame: Frame, settings: TableSettings) -> Cells | None:
    """Return the column of labels: the one named, or typed so, or one called label or class that has few values."""
    typed = [name for name, kind in settings.types.items() if kind == "label"]
    wanted = typed[0] if typed and settings.label == AUTO else settings.label
    if wanted == NO_LABEL:
        return None
    if wanted == AUTO:
        label = next((cells for cells in frame.columns if cells.name.lower() in LABEL_COLUMNS), None)
        return label if label is not None and len(label.texts) <= MOST_CLASSES else None
    label = frame.column(wanted)
    if label is None:
        raise UserError(f"data.label is '{wanted}', and {frame.source} has no such column; name one, or none")
    return label


def _classes(label: Cells | None) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Return the classes' names in order, numbers by size, and each row's class; no classes if a label is missing."""
    if label is None or bool((label.codes < 0).any()):
        return (), None
    numbers = [number_of(text) for text in label.texts]
    keys: Any = label.texts if None in numbers else numbers
    order = np.argsort(keys, kind="stable")
    return tuple(label.texts[i] for i in order), np.argsort(order)[label.codes]


def _known_classes(frame: Frame, label: Cells, classes: Sequence[str]) -> np.ndarray | None:
    for code, text in enumerate(label.texts):
        if classes and text not in classes:
            place = frame.place(label.first_row(code), label.name)
            raise UserError(f"{place}: '{text}' is none of this run's classes ({', '.join(classes)})")
    return np.array([classes.index(text) for text in label.texts])[label.codes] if classes else None


def _fitted(frame: Frame, label: Cells | None, settings: TableSettings, rows: np.ndarray) -> dict[str, Any]:
    """Return `info.facts`: the columns with their types, scales and levels, and what was left out and why."""
    header = [cells.name for cells in frame.columns]
    check_types(settings.types, header, frame.source)
    facts: dict[str, Any] = {
        "columns": [],
        "header": header,
        "constants": {},
        "label": None if label is None else label.name,
        "delimiter": frame.delimiter,
        "headless": not frame.header,
        "notes": [],
    }
    comma = frame.commas if settings.decimal == "auto" else settings.decimal == "comma"
    if (
        label is not None
        and settings.label == AUTO
        and label.name not in settings.types
        and frame.source not in DATASETS
    ):
        facts["notes"].append(
            f"column '{label.name}' is taken as the label, which is no part of the model or its samples; "
            "data.label=none makes it a column like the others"
        )
    if label is not None and bool((label.codes < 0).any()):
        facts["notes"].append(f"column '{label.name}' lacks labels in some rows, so none are used")
    for cells in frame.columns:
        if cells is label:
            continue
        found = infer(cells, rows, comma)
        if cells.name in settings.types and found.kind != "empty":
            found = Inferred(*split_type(settings.types[cells.name]))
        if found.note:
            facts["notes"].append(found.note)
        if found.kind == "constant":
            facts["constants"][cells.name] = found.detail
        elif found.kind not in ("empty", "identifier", "skip", "label"):
            facts["columns"].append(cols.fit(frame, cells, found, rows, comma))
    return facts


def _stored(frame: Frame, columns: Sequence[Mapping[str, Any]], unknown: str) -> np.ndarray:
    """Return rows as the model sees them, (N, C) float32."""
    out = np.full((len(frame), len(columns)), np.nan, np.float32)
    for j, column in enumerate(columns):
        cells = frame.column(column["name"])
        if cells is not None:
            out[:, j] = cols.store(cols.parse(frame, cells, column, unknown), column)
    return out


def _note_unseen(frame: Frame, facts: dict[str, Any], values: np.ndarray) -> None:
    """Note the levels that only held-out rows have: the model cannot know them, so they are missing there."""
    for column, stored in zip(facts["columns"], values.T):
        cells = frame.column(column["name"])
        assert cells is not None
        lost = np.unique(cells.codes[(cells.codes >= 0) & np.isnan(stored)])
        if len(lost):
            named = ", ".join(f"'{cells.texts[code]}'" for code in lost[:5])
            facts["notes"].append(
                f"column '{column['name']}': {named} occur in held-out rows only, and are taken as missing there"
            )


def _split(values: np.ndarray, y: np.ndarray | None, origin: Origin, index: Any) -> Split:
    labels = None if y is None else torch.from_numpy(y[index])
    return Split(torch.from_numpy(values[index]), labels, origin=origin)


MODALITIES.register("tables", summary="CSV and Parquet tables, data frames: mixed columns, missing cells")(Tables())
