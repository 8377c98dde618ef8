"""Data that other libraries hold: arrays, data frames, dicts, sparse matrices, datasets and loaders, lists of pictures.

Nothing here imports pandas, polars, SciPy or datasets: an object is known by what it offers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vaekit.data.arrays import as_array, as_floats, unmasked
from vaekit.data.csv_files import LABEL_COLUMNS, check_names
from vaekit.data.factors import known_factors
from vaekit.data.iterated import X_NAMES, Y_NAMES, is_pair, items_of, read_dataset, stacked
from vaekit.data.labels import as_labels
from vaekit.data.npy_files import dense
from vaekit.data.number_forms import MOST_WHOLE
from vaekit.data.origin import Origin
from vaekit.data.raw import Part, Raw
from vaekit.errors import UserError, few

SPLIT_NAMES = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
ARRAY_NAMES = {f"{a}{split}" for a in ("x", "y", "factors") for split in ("", "_train", "_valid", "_test")}


def read_object(source: Any, needed: int | None = None) -> Raw:
    """Read data in memory: arrays, tensors, lists, (x, y), dicts, frames, sparse matrices, datasets and loaders.

    `needed` examples at most are taken of a dataset that does not say how long it is.

    Raises:
        UserError: it is none of these, or examples differ in shape.

    >>> raw = read_object({"x_train": [[1, 2], [3, 4]], "x_test": [[5, 6]]})
    >>> raw.train.x.shape, raw.test.x.tolist()
    ((2, 2), [[5, 6]])
    """
    if isinstance(source, tuple):
        return _labelled(source, needed)
    columns = columns_of(source)
    if columns is not None:
        return _of_columns(source, columns, needed)
    if isinstance(source, np.ndarray) or hasattr(source, "detach") or hasattr(source, "tocsr"):
        return _in_memory(Part(values_of(source, "x")))
    if isinstance(source, list) and not (source and is_pair(source[0])):
        return _in_memory(Part(values_of(source, "x")))
    part = read_dataset(source, needed)
    if part is not None:
        return _in_memory(part, tuple(str(name) for name in getattr(source, "classes", None) or ()))
    raise UserError(
        f"cannot read data from {type(source).__name__}; give a name, a path, an array or tensor, (x, y), a dict, a "
        "data frame, or a Dataset or DataLoader"
    )


def _labelled(source: tuple[Any, ...], needed: int | None) -> Raw:
    """Read (x, y), x being any one set of examples."""
    if len(source) != 2:
        raise UserError(f"data in memory are x or (x, y), not a tuple of {len(source)}")
    raw = read_object(source[0], needed)
    if len(raw.parts) > 1:
        raise UserError("x of (x, y) holds several splits; give x_train, y_train, x_test, … in one dict")
    if source[1] is not None:
        (raw.train.y, raw.label_names), raw.classes = as_labels(source[1]), ()
    return raw


def _in_memory(train: Part, classes: tuple[str, ...] = ()) -> Raw:
    whole = train.y is not None and train.y.dtype.kind in "iu"
    return Raw("memory", "memory", train, classes=classes if whole else ())


def values_of(value: Any, what: str) -> np.ndarray:
    """Return an array, tensor, sparse matrix, frame, or list of numbers, tensors or pictures as one array."""
    if hasattr(value, "tocsr"):
        return dense(value, what)
    if hasattr(value, "columns"):
        return np.stack([_numbers(value[name], str(name)) for name in value.columns], 1)
    if isinstance(value, list) and value and (hasattr(value[0], "detach") or hasattr(value[0], "convert")):
        return stacked(value, len(value), what)
    as_numpy = getattr(value, "to_numpy", None)
    return as_array(value if as_numpy is None else as_numpy(), what)


def listed(column: Any, what: str) -> list[Any]:
    """Return a column as a list; a UserError where it is a single value."""
    if not hasattr(column, "__iter__") or not getattr(column, "ndim", 1):
        raise UserError(f"memory: {what} is {column!r:.60}; give a value an example")
    return list(column)


def labels_of(values: Any, what: str) -> np.ndarray:
    """Return labels, an array, a tensor, a list or a column of a frame, as an array of numbers or of text."""
    column = values if isinstance(values, np.ndarray) or hasattr(values, "detach") else listed(values, what)
    if isinstance(column, list) and column and hasattr(column[0], "detach"):
        column = [value.tolist() for value in column]
    return as_array(column, what)


# -- frames, dicts and other columns --------------------------------------------------------------------------------


def columns_of(source: Any) -> dict[str, Any] | None:
    """Return the columns, by name, of a dict, a data frame (pandas, polars, …) or a Hugging Face dataset, else None."""
    if isinstance(source, Mapping):
        check_names([str(name) for name in source], "the dict")
        return {str(name): column for name, column in source.items()}
    names = getattr(source, "column_names", None)
    if isinstance(names, list) and hasattr(source, "with_format") and hasattr(source, "__len__"):
        plain = source.with_format(None)
        return {str(name): _Column(plain, name) for name in names}
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):
        check_names([str(name) for name in source.columns], "the data frame")
        return {str(name): source[name] for name in source.columns}
    return None


class _Column:
    """A column of a Hugging Face dataset, read when it is asked for."""

    def __init__(self, table: Any, name: str) -> None:
        self.table, self.name = table, name

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.table[self.name])

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of class numbers, where the dataset knows them."""
        feature = (getattr(self.table, "features", None) or {}).get(self.name)
        return tuple(getattr(feature, "names", None) or ())


def _of_columns(source: Any, columns: dict[str, Any], needed: int | None) -> Raw:
    """Read x and y by name, splits by name, or columns of numbers."""
    if columns and set(columns) <= SPLIT_NAMES.keys() and "train" in columns:
        return _of_splits({SPLIT_NAMES[name]: read_object(part, needed) for name, part in columns.items()})
    if isinstance(source, Mapping) and _are_arrays(columns):
        return of_arrays(columns, "memory", "memory")
    x = next((name for name in X_NAMES if name in columns and not _is_numbers(columns[name])), None)
    if x is None:
        return _table(source, columns)
    y = next((name for name in Y_NAMES if name in columns), None)
    values = stacked(columns[x], len(columns[x]), f"column '{x}'")
    labels = None if y is None else labels_of(columns[y], f"column '{y}'")
    return _in_memory(Part(values, labels), getattr(columns.get(y or ""), "classes", ()))


def _are_arrays(columns: Mapping[str, Any]) -> bool:
    """Whether a dict holds arrays of examples by the names that vaekit knows, not columns of a table."""
    return "x_train" in columns or ("x" in columns and not _is_numbers(columns["x"]))


def _is_numbers(column: Any) -> bool:
    """Whether a column holds one number, or text, a row."""
    if hasattr(column, "tocsr") or hasattr(column, "columns"):
        return False
    if not hasattr(column, "__iter__") or not getattr(column, "ndim", 1):
        return True  # it is one number, and no column, as is said when it is read
    first = next(iter(column), 0)
    return np.ndim(first) == 0 and not hasattr(first, "convert")


def _of_splits(raws: dict[str, Raw]) -> Raw:
    train = raws["train"]
    train.valid, train.test = (raws[split].train if split in raws else None for split in ("valid", "test"))
    return train


def of_arrays(arrays: Mapping[str, Any], name: str, source: str, names: str = "") -> Raw:
    """Return the data of arrays named x, y and factors, or x_train, x_valid, x_test and theirs; `names` are all."""
    known = {key: value for key, value in arrays.items() if key in ARRAY_NAMES and value is not None}

    def part(split: str) -> Part | None:
        x, y = known.get(f"x{split}"), known.get(f"y{split}")
        if x is None:
            return None
        values, factors = values_of(x, f"x{split}"), known.get(f"factors{split}")
        factors = None if factors is None else known_factors(factors, len(values), f"{source}: factors{split}")
        return Part(values, None if y is None else labels_of(y, f"y{split}"), factors)

    if "x" in known:
        whole = part("")
        assert whole is not None
        return Raw(name, source, whole)
    train = part("_train")
    if train is None:
        held = names or ", ".join(arrays)
        raise UserError(f"{source} holds {held}; name its arrays x and y, or x_train, x_valid, x_test and y_train, …")
    return Raw(name, source, train, part("_valid"), part("_test"))


def _table(source: Any, columns: dict[str, Any]) -> Raw:
    """Return columns of numbers; one called label or class holds labels, as in a CSV."""
    label = next((name for name in columns if name.lower() in LABEL_COLUMNS), None)
    kept = [name for name in columns if name != label]
    sized = {name: hasattr(column, "__len__") and getattr(column, "ndim", 1) for name, column in columns.items()}
    single = next((name for name, ok in sized.items() if not ok), None)
    if single is not None:
        raise UserError(f"memory: column '{single}' is {columns[single]!r}; give a value a row")
    if not kept or not len(columns[kept[0]]):
        raise UserError(f"the {type(source).__name__} has no columns of numbers to train on; give at least one")
    y = None if label is None else labels_of(columns[label], f"column '{label}'")
    sizes = {name: len(columns[name]) for name in kept}
    if len({*sizes.values()}) > 1:
        raise UserError(f"memory: the columns differ in length ({few([f'{k}: {n}' for k, n in sizes.items()])})")
    x = np.stack([_numbers(columns[name], name) for name in kept], 1)
    part = Part(x, y, origin=Origin.rows(len(x), index_of(source), first=1))
    raw = Raw("memory", "memory", part, columns=tuple(kept), table=True, first_row=1)
    raw.classes = getattr(columns.get(label or ""), "classes", ())
    return raw


def index_of(source: Any) -> np.ndarray | None:
    """Return the row labels of a pandas frame, None of anything else."""
    index = getattr(source, "index", None)
    if index is None or not hasattr(source, "iloc"):
        return None
    labels = np.asarray(index)
    return labels if labels.dtype.kind in "iu" else labels.astype(str)


def _numbers(column: Any, name: str) -> np.ndarray:
    """Return a column as float64, NaN where a cell is missing; a UserError names the cell that is no number."""
    values = column.to_numpy() if hasattr(column, "to_numpy") else column
    values = np.asarray(unmasked(values, name) if isinstance(values, np.ndarray) else list(values))
    if values.ndim != 1:
        raise UserError(
            f"memory: column '{name}' holds arrays, {values.shape}; call such data x and y, or x_train, x_test, …"
        )
    if values.dtype.kind not in "buif":
        numbers = [_number(cell) for cell in values.tolist()]
        bad = next((i for i, number in enumerate(numbers) if number is None), None)
        if bad is not None:
            raise UserError(
                f"memory: row {bad + 1}, column '{name}': {values.tolist()[bad]!r} is not a number; drop the column, "
                "or train tabular-vae on it"
            )
        values = np.array(numbers)
    if values.dtype.kind in "iu" and len(values) and max(abs(int(values.min())), abs(int(values.max()))) > MOST_WHOLE:
        raise UserError(
            f"memory: column '{name}' has whole numbers beyond ±2^53, which would be rounded; drop the column, or "
            "train tabular-vae on it"
        )
    return as_floats(values)


def _number(cell: Any) -> float | None:
    """Return a cell as a number, NaN where it is missing, None where it is something else."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return float("nan")
    try:
        return None if isinstance(cell, str) else float(cell)
    except (TypeError, ValueError):
        return None


def table_of(source: Any) -> dict[str, Any] | None:
    """Return the columns of anything that has some: a frame, a dict, an array (N, D), (x, y), a dataset; else None.

    Columns without names are called x0, x1, …, and labels y's column is called label.
    """
    columns = columns_of(source)
    if columns is not None and not _are_arrays(columns):
        return columns
    if isinstance(source, tuple) and len(source) == 2 and (columns := columns_of(source[0])) is not None:
        return columns | {"label": source[1]}
    try:
        raw = read_object(source)
    except UserError:
        return None
    if not raw.train.x.size or not raw.train.x.ndim:
        return None
    x = raw.train.x.reshape(len(raw.train.x), -1)
    named = {name: x[:, j] for j, name in enumerate(raw.columns or [f"x{j}" for j in range(x.shape[1])])}
    y = raw.train.y
    if y is not None and y.ndim == 1:
        named["label"] = np.array(raw.classes)[y] if raw.classes else y
    return named


def texts_of(source: Any, names: Sequence[str] = ("text",)) -> list[Any] | None:
    """Return the texts of a column (one of `names`, or the only one), a series, or a dataset of texts, else None.

    >>> texts_of({"text": ["to be", "or not"]})
    ['to be', 'or not']
    """
    if hasattr(source, "detach") or isinstance(source, np.ndarray):
        return as_array(source, "the texts").tolist() if np.ndim(source) and str(source.dtype) != "object" else None
    columns = columns_of(source)
    if columns is not None:
        name = next(
            (n for n in columns if n in names or n.lower() in names), next(iter(columns)) if len(columns) == 1 else None
        )
        if name is None:
            raise UserError(f"the {type(source).__name__} has no column {names[0]}; its columns: {', '.join(columns)}")
        return listed(columns[name], name)
    if hasattr(source, "tocsr"):
        return None
    way = next((name for name in ("tolist", "to_list") if hasattr(source, name)), None)
    if way is not None and not hasattr(source, "column_names"):
        return getattr(source, way)()
    if isinstance(source, list | tuple) and not (source and isinstance(source[0], tuple | Mapping)):
        return list(source)
    if not hasattr(source, "__iter__") and not hasattr(source, "__getitem__"):
        return None
    items = list(items_of(source))
    if items and isinstance(items[0], Mapping):
        return texts_of({key: [item[key] for item in items] for key in items[0]}, names)
    return [item[0] if isinstance(item, tuple | list) else item for item in items]
