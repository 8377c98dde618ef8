"""Labels as read: class numbers where they are classes, else columns that become conditions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from vaekit.data.arrays import as_array
from vaekit.data.csv_files import MISSING
from vaekit.data.number_forms import number_of
from vaekit.data.tables.frames import Frame, frame_of
from vaekit.errors import UserError

Kind = Literal["auto", "classes", "numbers"]


@dataclass(frozen=True)
class Labels:
    """Plain labels of splits: `y` by split, class numbers of `classes`, or rows of the conditions' columns."""

    y: dict[str, np.ndarray] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    condition: Frame | None = None


def read_labels(
    splits: Mapping[str, Any],
    source: str,
    kind: Kind = "auto",
    classes: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
) -> Labels:
    """Return the labels of splits, of which each has some or none has, as class numbers or as conditions.

    One label an example is a class: whole numbers and texts, 0 … K - 1 in order (or as `classes` has them), -1 where it
    is missing (NaN, None, the empty text; -1 itself where the others are 0 … K - 1). Numbers of which some are not
    whole, or several attributes, by their `names`, are conditions. `kind` says it where the values do not.
    """
    found = {split: plain(y, f"{source}: {split}") for split, y in splits.items() if y is not None}
    if not found:
        return Labels(classes=classes)
    if len(found) < len(splits):
        raise UserError(f"{source}: labels for {', '.join(found)} only; give labels for every split or for none")
    if len({y.shape[1:] for y in found.values()}) > 1:
        raise UserError(f"{source}: the splits' labels differ in shape; give each split the same attributes")
    mixed = any(y.dtype.kind == "O" for y in found.values())
    every = np.concatenate([y.astype(object) if mixed else y for y in found.values()])
    every = _simple(every) if every.ndim == 1 else every
    condition = None
    if every.ndim > 1 or (kind != "classes" and _are_numbers(every, kind, source)):
        classes, condition, new = (), _columns(every, names), np.arange(len(every))
    else:
        classes, new = _classes(every, source, classes)
    starts = np.cumsum([len(y) for y in found.values()])[:-1]
    return Labels(dict(zip(found, np.split(new, starts))), classes, condition)


def plain(y: Any, where: str) -> np.ndarray:
    """Return labels as an array (N,) or (N, A) of numbers, text or both."""
    y = np.asarray(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim not in (1, 2):
        raise UserError(f"{where} labels have shape {y.shape}; give (N,) labels, or (N, A) for A attributes")
    if y.dtype.kind not in "fiubUO":
        raise UserError(f"{where} labels have type {y.dtype}; give numbers or names")
    return y


def as_labels(value: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels from memory as an array (N,) or (N, A), and the attributes' names where they have any.

    >>> as_labels({"sex": ["f", "m"], "age": [31, None]})
    (array([['f', 31],
           ['m', None]], dtype=object), ('sex', 'age'))
    """
    if hasattr(value, "detach") or isinstance(value, np.ma.MaskedArray):
        return as_array(value, "y"), ()
    columns = getattr(value, "columns", None)
    if isinstance(value, Mapping) or (columns is not None and hasattr(value, "__getitem__")):
        names = list(value if columns is None else columns)
        each = [np.array([_none(v) for v in np.asarray(value[name]).tolist()], dtype=object) for name in names]
        if len({len(column) for column in each}) != 1:
            raise UserError("y: the attributes differ in length; give every one a value for each example")
        return np.stack(each, 1), tuple(str(name) for name in names)
    try:
        return np.asarray(value), ()
    except ValueError as error:
        raise UserError(f"y is ragged; give every example as many attributes ({error})") from None


def _none(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


def _simple(y: np.ndarray) -> np.ndarray:
    """Return one label an example as numbers, NaN where missing, or as text, "" where missing."""
    if y.dtype.kind == "O":
        cells = frame_of({"y": y}, "memory", "memory", {""}).columns[0]
        texts = np.array([*cells.texts, ""], dtype=np.str_)[cells.codes]
        numbers = [number_of(text) for text in cells.texts]
        if None in numbers:
            return texts
        return np.array([*(float(number or 0) for number in numbers), np.nan])[cells.codes]
    return y.astype(np.int64) if y.dtype.kind in "iub" else y


def _are_numbers(y: np.ndarray, kind: Kind, source: str) -> bool:
    """Whether labels are numbers rather than classes: some are not whole, or it is said."""
    if y.dtype.kind == "U":
        if kind == "numbers":
            raise UserError(f"{source}: data.labels=numbers, and '{y[0]}' is not one; give numbers, or leave it out")
        return False
    if y.dtype.kind == "f" and bool(np.isinf(y).any()):
        row = int(np.argmax(np.isinf(y)))
        raise UserError(f"{source}: label {row} is {y[row]}; give finite numbers, NaN where a label is missing")
    return kind == "numbers" or (y.dtype.kind == "f" and bool((y[~np.isnan(y)] % 1 != 0).any()))


def _columns(y: np.ndarray, names: tuple[str, ...]) -> Frame:
    names = names or (("y",) if y.ndim == 1 else tuple(f"y{i}" for i in range(y.shape[1])))
    values = y[:, None] if y.ndim == 1 else y
    return frame_of({name: values[:, i] for i, name in enumerate(names)}, "memory", "memory", {"", *MISSING})


def _classes(y: np.ndarray, source: str, classes: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the classes, and class numbers, -1 where missing."""
    known = np.ones(len(y), dtype=bool)
    if y.dtype.kind == "f":
        known = ~np.isnan(y)
        odd = known & ((y != np.round(y)) | (np.abs(y.astype(np.float64)) > 2**53))  # infinities too
        if odd.any():
            row = int(np.argmax(odd))
            raise UserError(f"{source}: label {row} is {y[row]}; classes are whole numbers or names")
        y = np.where(known, y, 0).astype(np.int64)
    elif y.dtype.kind == "U":
        known = y != ""
    every = np.unique(y[known])
    if _marks_missing(every, classes):
        every, known = every[1:], known & (y != -1)
        warnings.warn(
            f"{source}: labels of -1 are taken as missing; name the classes in words if it is one", stacklevel=3
        )
    if not len(every):
        raise UserError(f"{source}: every label is missing; give some, or none at all")
    if classes and every.dtype.kind == "i":
        if every[0] < 0 or every[-1] >= len(classes):
            raise UserError(f"{source}: label {every[0 if every[0] < 0 else -1]} is not one of 0 … {len(classes) - 1}")
        return classes, np.where(known, y, -1)
    return tuple(str(value) for value in every), np.where(known, np.searchsorted(every, y), -1)


def _marks_missing(every: np.ndarray, classes: Sequence[str]) -> bool:
    """Whether -1 stands for a missing class, as in scikit-learn: the others are 0 … K - 1, K at least 2."""
    if every.dtype.kind != "i" or classes or len(every) < 3 or every[0] != -1:
        return False
    return bool((every[1:] == np.arange(len(every) - 1)).all())
