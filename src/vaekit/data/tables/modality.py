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

from vaekit.data.conditions import Conditions, fitted
from vaekit.data.contents import contents_of
from vaekit.data.csv_files import MISSING, label_columns, rows_of
from vaekit.data.dataset import DataSet, Split
from vaekit.data.datasets import DATASETS, modality_name, read_if_known
from vaekit.data.digest import frame_keys
from vaekit.data.info import DataInfo
from vaekit.data.limits import bounded
from vaekit.data.modality import MODALITIES, Modality
from vaekit.data.number_forms import number_of
from vaekit.data.origin import Origin
from vaekit.data.paths import exists
from vaekit.data.settings import DataSettings, settings_as
from vaekit.data.splits import deal
from vaekit.data.tables import columns as cols
from vaekit.data.tables.dataframes import made_frame
from vaekit.data.tables.frames import Cells, Frame, write_frame
from vaekit.data.tables.inference import TYPES, Inferred, check_types, infer, split_type
from vaekit.data.tables.reading import read_frame
from vaekit.errors import UserError

AUTO, AS_NEEDED = "auto", "as-needed"
MOST_CLASSES = 100
MOST_COLUMNS = 200


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
    label: str = Field(
        default="as-needed",
        description="the columns of labels or conditions, kept out of the model unless it is conditioned on them, "
        "status or status,amount; 'auto': one called label or class; 'none': no such; 'as-needed': auto where the "
        "recipe is conditioned on labels or the table is a known set, else none",
    )
    header: Literal["auto", "yes", "no"] = Field(
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
    marginals: Literal["quantiles", "moments"] = Field(
        default="quantiles",
        description="how numbers and dates are seen: by their ranks, with bounds, spikes and whole numbers as they "
        "are; or standardised by mean and deviation",
    )
    gaps: Literal["model", "ignore"] = Field(
        default="model", description="whether cells are missing: a part of the model and its samples, or left out"
    )
    bad_rows: Literal["refuse", "drop"] = Field(
        default="refuse", description="rows with too few or too many cells: refused, or left out with a warning"
    )


class Tables(Modality):
    """Rows (N, C) float32 of the columns that are modelled, NaN where missing; see `vaekit.data.tables.columns`.

    Columns with gaps in the training rows are told of by further columns, which come last.

    `info.facts`: `columns` (the modelled ones, in order), `header` (all names as the source has them), `constants` (the
    text of columns that never vary), `label` (its column's name or None), `delimiter`, `headless` (whether the columns
    have no names of their own), `notes` (what was left out), `frame` (the library and dtypes of a data frame).
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
        (['numeric', 'categorical', 'boolean'], torch.Size([3, 3]))
        """
        settings = settings_as(TableSettings, settings)
        frame = read_table(source, settings)
        keys = frame_keys(frame)
        parts = deal(keys, frame.source, settings)
        labels = labels_in(frame, settings)
        facts = fitted_columns(frame, labels, settings, parts[0])
        facts |= {} if frame.made_of is None else {"frame": frame.made_of}
        if not facts["columns"]:
            raise UserError(f"{frame.source} has no column to model: {_some(facts['notes'], 3)}; see data.types")
        values = stored_rows(frame, facts["columns"], "missing")
        _note_unseen(frame, facts, values)
        if settings.gaps == "model":
            seen = values[parts[0]]
            told = [(c, seen[:, j]) for j, c in enumerate(facts["columns"]) if np.isnan(seen[:, j]).any()]
            facts["columns"] += [cols.gaps_of(column["name"], own) for column, own in told]
            values = _with_gaps(values, facts["columns"], frame)
        classes, condition, y = conditions_in(frame, labels, settings, parts[0])
        if frame.skipped or facts["notes"]:
            warnings.warn(f"{frame.source}: {_some([*frame.skipped, *facts['notes']])}", stacklevel=2)
        dealt = [_split(values, y, frame.origin.take(parts[i]), parts[i]) for i in range(3)]
        splits = [replace(split, keys=keys[parts[i]]) for i, split in enumerate(dealt)]
        contents = contents_of(parts, keys, columns=facts["header"])
        made = self.data_set(frame.name, frame.source, "table", splits, facts, classes=classes, contents=contents)
        return replace(made, info=replace(made.info, condition=condition))

    def encode(self, source: Any, info: DataInfo, settings: DataSettings) -> Split:
        """Read other rows as the run's own were: every row, in order; columns that are not there are missing.

        Raises UserError naming file, line and column of a cell that does not fit, or if no column is the run's.
        """
        settings = settings_as(TableSettings, settings)
        return self.encoded(read_table_of(source, info, settings), info, settings.unknown)

    def encoded(self, frame: Frame, info: DataInfo, unknown: str = "refuse") -> Split:
        """Return the rows of a table that was read, as the model sees them."""
        columns = info.facts["columns"]
        own = [column["name"] for column in columns if not column.get("gap_of")]
        absent = [name for name in own if frame.column(name) is None]
        if len(absent) == len(own):
            raise UserError(
                f"{frame.source} has none of this run's columns ({', '.join(absent[:8])}); its header is "
                f"{', '.join(cells.name for cells in frame.columns[:8])}"
            )
        if absent:
            warnings.warn(f"{frame.source} has no column {', '.join(absent)}: taken as missing", stacklevel=3)
        conditions = Conditions.of(info)
        if conditions.classes:
            _check_classes(frame, conditions)
        y = conditions.read(frame, unknown)
        stored = stored_rows(frame, [c for c in columns if not c.get("gap_of")], unknown)
        _warn_unknown(frame, own, stored)
        values = _with_gaps(stored, columns, frame)
        split = _split(values, y, frame.origin, slice(None))
        return replace(split, keys=frame_keys(frame))

    def lines(self, x: Tensor, info: DataInfo) -> list[str]:
        """Return `name=value, …` for each row; a missing cell is `?`."""
        columns = info.facts["columns"]
        names = [column["name"] for column in columns if not column.get("gap_of")]
        rows = cells_of(x, columns, cols.as_text)
        return [", ".join(f"{name}={cell or '?'}" for name, cell in zip(names, row)) for row in rows]

    def write(self, path: Path, x: Tensor, info: DataInfo, y: Tensor | None = None) -> None:
        """Write rows with the source's names, units and order of columns, as CSV (maybe gzipped), TSV or Parquet.

        Columns that never varied have their one value; identifiers, which the model does not know, are left out, and
        so are labels unless they are given.
        """
        native = path.suffix.lower() in (".parquet", ".pq")
        columns = self.columns(x, info, y, native)
        mark = "\t" if ".tsv" in path.suffixes else info.facts.get("delimiter", ",")
        write_frame(path, list(columns), [list(row) for row in zip(*columns.values())], mark)

    def columns(self, x: Tensor, info: DataInfo, y: Tensor | None = None, native: bool = True) -> dict[str, list[Any]]:
        """Return rows as columns by name, in the source's order: values as Python has them, or as text.

        See `write` for which there are.
        """
        facts, conditions = info.facts, Conditions.of(info)
        cells = cells_of(x, facts["columns"], cols.as_native if native else cols.as_text)
        known: dict[str, list[Any]] = {name: [text] * len(x) for name, text in facts["constants"].items()}
        known |= {c["name"]: [row[j] for row in cells] for j, c in enumerate(facts["columns"])}
        if y is not None and len(conditions):
            known |= conditions.native(y) if native else conditions.texts(y)
        return {name: known[name] for name in facts["header"] if name in known}

    def frame(
        self, x: Tensor, info: DataInfo, y: Tensor | None = None, library: str | None = None, index: Any = None
    ) -> Any:
        """Return rows as a data frame with the columns' names, order and dtypes of the one that was trained on.

        `library` is "pandas" or "polars", by default that one's; of another library's frame, or none, dtypes are those
        of the values. `index` labels the rows of a pandas frame. See `write` for which columns there are.
        """
        native, text = (self.columns(x, info, y, native) for native in (True, False))
        return framed(native, text, info, library, index)


def framed(
    native: Mapping[str, Sequence[Any]],
    text: Mapping[str, Sequence[str]],
    info: DataInfo,
    library: str | None = None,
    index: Any = None,
) -> Any:
    """Return columns, given as Python has their values and as text, as a data frame; see `Tables.frame`."""
    told = info.facts.get("frame") or {}
    kinds = {name: column.get("of") for name, column in told.get("columns", {}).items()}
    found = {name: list(column) for name, column in native.items()}
    for name, column in text.items():
        if kinds.get(name) == "str":  # a text that is a number stays one
            found[name] = [one or None for one in column]
        elif name not in kinds and name in info.facts["constants"]:
            numbers = [number_of(one) for one in column]
            found[name] = [one if v is None else int(v) if v % 1 == 0 else v for one, v in zip(column, numbers)]
    return made_frame(found, library or told["library"], told or None, index)


def _some(notes: Sequence[str], most: int = 20) -> str:
    more = f"; and {len(notes) - most} more" if len(notes) > most else ""
    return "; ".join(note if len(note) < 500 else f"{note[:500]}…" for note in notes[:most]) + more


def cells_of(
    x: Tensor, columns: Sequence[Mapping[str, Any]], cell: Callable[[float, Mapping[str, Any]], Any]
) -> list[list[Any]]:
    """Return stored rows (N, C) as cells: `as_text` or `as_native` of `vaekit.data.tables.columns`."""
    array = x.detach().cpu().numpy()
    each = [[cell(v, column) for v in cols.restore(array[:, j], column)] for j, column in enumerate(columns)]
    return [list(row) for row in zip(*each)]


def is_table(source: Any) -> bool:
    """Whether a source is read as a table: a known one, a file of one, a data frame or a dict of columns.

    A CSV of more than `MOST_COLUMNS` columns is taken for pixels or the like.

    >>> is_table("breast-cancer"), is_table("digits"), is_table({"a": [1, 2]})
    (True, False, True)
    """
    if isinstance(source, str) and source in DATASETS:
        return modality_name(source) == Tables.name
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        suffixes = {suffix.lower() for suffix in path.suffixes}
        if ".csv" in suffixes and exists(path) and path.is_file():
            return len(next(rows_of(path), (0, [], ""))[1]) <= MOST_COLUMNS
        return bool(suffixes & {".csv", *Tables.reads})
    return isinstance(source, Mapping) or (hasattr(source, "columns") and hasattr(source, "__getitem__"))


@bounded
def read_table(source: Any, settings: TableSettings) -> Frame:
    """Read a known table, a file, a data frame or a dict of columns, as the settings say."""
    known = read_if_known(source, Tables.name, f"is not a table; give a CSV or Parquet file, or {Tables.default}")
    if known is not None:
        return replace(read_frame(known, settings.missing), name=source, source=source)
    if isinstance(source, str) and not exists(Path(source).expanduser()):
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


def labels_as_needed(settings: TableSettings, source: Any, labelled: bool) -> TableSettings:
    """Return the settings with a label "as-needed" settled: a column like others where the model is not `labelled`.

    >>> labels_as_needed(TableSettings(), {"class": ["a"]}, labelled=False).label
    'none'
    """
    typed = "label" in settings.types.values()
    if settings.label != AS_NEEDED or labelled or typed or (isinstance(source, str) and source in DATASETS):
        return settings
    return settings.model_copy(update={"label": "none"})


def labels_in(frame: Frame, settings: TableSettings) -> list[Cells]:
    """Return the columns of labels: those named, or typed so, or one called label or class that has few values."""
    typed = [name for name, kind in settings.types.items() if kind == "label"]
    wanted = AUTO if settings.label == AS_NEEDED else settings.label
    wanted = typed[0] if typed and wanted == AUTO else wanted
    found = [frame.column(name) for name in label_columns(wanted, [c.name for c in frame.columns], frame.source)]
    labels = [cells for cells in found if cells is not None]
    return labels if wanted != AUTO or all(len(cells.texts) <= MOST_CLASSES for cells in labels) else []


def conditions_in(
    frame: Frame, labels: list[Cells], settings: TableSettings, rows: np.ndarray
) -> tuple[tuple[str, ...], tuple[dict[str, Any], ...], Tensor | None]:
    """Return the classes of a single column of them, what else conditions are, and each row's."""
    if not labels:
        return (), (), None
    comma = _commas(frame, settings)
    if len(labels) > 1 or _is_number(labels[0], settings, rows, comma):
        facts = fitted(replace(frame, columns=labels), rows, settings.types, comma)
        return (), facts, Conditions(facts).read(frame)
    (label,) = labels
    numbers = [number_of(text) for text in label.texts]
    keys: Any = label.texts if None in numbers else numbers
    order = np.argsort(keys, kind="stable")
    y = np.append(np.argsort(order), -1)[label.codes]
    classes = tuple(label.texts[i] for i in order)
    lacking = {"name": label.name, "type": "categorical", "levels": list(classes), "missing": True}
    return classes, ((lacking,) if bool((y < 0).any()) else ()), torch.from_numpy(y)


def _commas(frame: Frame, settings: TableSettings) -> bool:
    return frame.commas if settings.decimal == "auto" else settings.decimal == "comma"


def _is_number(label: Cells, settings: TableSettings, rows: np.ndarray, comma: bool) -> bool:
    """Whether a single column is a number to be conditioned on rather than classes: by its type, or as it is named."""
    kind = settings.types.get(label.name) or infer(label, rows, comma).kind
    return split_type(kind)[0] in (*cols.REAL, "count") and settings.label == label.name


def _check_classes(frame: Frame, conditions: Conditions) -> None:
    label, classes = frame.column(conditions.names[0]), conditions.attributes[0]["levels"]
    for code, text in enumerate([] if label is None else label.texts):
        if text not in classes:
            assert label is not None
            place = frame.place(label.first_row(code), label.name)
            raise UserError(f"{place}: '{text}' is none of this run's classes ({', '.join(classes)})")


def fitted_columns(frame: Frame, labels: list[Cells], settings: TableSettings, rows: np.ndarray) -> dict[str, Any]:
    """Return `info.facts`: the columns with their types, scales and levels, and what was left out and why."""
    header = [cells.name for cells in frame.columns]
    check_types(settings.types, header, frame.source)
    facts: dict[str, Any] = {
        "columns": [],
        "header": header,
        "constants": {},
        "label": labels[0].name if len(labels) == 1 else None,
        "delimiter": frame.delimiter,
        "headless": not frame.header,
        "notes": [],
    }
    comma = _commas(frame, settings)
    names = [cells.name for cells in labels]
    if (
        names
        and settings.label in (AUTO, AS_NEEDED)
        and names[0] not in settings.types
        and frame.source not in DATASETS
    ):
        facts["notes"].append(
            f"column '{names[0]}' is taken as the label, which is no part of the model or its samples unless "
            "they are conditioned on it (tabular-cvae); data.label=none makes it a column like the others"
        )
    for cells in frame.columns:
        if cells.name in names:
            continue
        found = infer(cells, rows, comma)
        if cells.name in settings.types and found.kind != "empty":
            found = Inferred(*split_type(settings.types[cells.name]))
        if found.note:
            facts["notes"].append(found.note)
        if found.kind == "constant":
            facts["constants"][cells.name] = found.detail
        elif found.kind not in ("empty", "identifier", "skip", "label"):
            curves = settings.marginals == "quantiles"
            facts["columns"].append(cols.fit(frame, cells, found, rows, comma, curves))
    return facts


def stored_rows(frame: Frame, columns: Sequence[Mapping[str, Any]], unknown: str) -> np.ndarray:
    """Return rows as the model sees them, (N, C) float32."""
    out = np.full((len(frame), len(columns)), np.nan, np.float32)
    for j, column in enumerate(columns):
        cells = frame.column(column["name"])
        if cells is not None:
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is named
                out[:, j] = cols.store(cols.parse(frame, cells, column, unknown), column)
            if np.isinf(out[:, j]).any():
                place = frame.place(int(np.argmax(np.isinf(out[:, j]))), cells.name)
                raise UserError(f"{place}: the number is too large for 32 bits; correct it or empty the cell")
    return out


def _with_gaps(values: np.ndarray, columns: Sequence[Mapping[str, Any]], frame: Frame) -> np.ndarray:
    """Return rows with the columns that say where others are missing, last: NaN where the table has no such other."""
    names = [column["name"] for column in columns]
    told = [column["gap_of"] for column in columns if column.get("gap_of")]
    if not told:
        return values
    gaps = np.full((len(values), len(told)), np.nan, np.float32)
    for j, name in enumerate(told):
        cells = frame.column(name)
        if cells is not None:  # a cell whose level is not known is no gap
            gaps[:, j] = np.isnan(values[:, names.index(name)]) & (cells.codes < 0)
    return np.concatenate([values, gaps], 1)


def _warn_unknown(frame: Frame, names: Sequence[str], values: np.ndarray) -> None:
    """Warn of levels that training did not meet, which are missing in `values`."""
    lost = [
        (int(row), name)
        for name, stored in zip(names, values.T)
        if (cells := frame.column(name)) is not None
        for row in np.flatnonzero((cells.codes >= 0) & np.isnan(stored))
    ]
    if lost:
        row, name = min(lost)
        cells = frame.column(name)
        assert cells is not None
        more = f", and {len(lost) - 1:,} more cells" if len(lost) > 1 else ""
        text = f"{frame.place(row, name)}: '{cells.text(row)}'{more}: levels that training did not meet"
        warnings.warn(f"{text} are taken as missing", stacklevel=4)


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


def _split(values: np.ndarray, y: Tensor | None, origin: Origin, index: Any) -> Split:
    return Split(torch.from_numpy(values[index]), None if y is None else y[index], origin=origin)


MODALITIES.register("tables", summary="CSV and Parquet tables, data frames: mixed columns, missing cells")(Tables())
