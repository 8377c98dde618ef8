"""Series in memory and in NPY and NPZ files: one array, or lists of arrays of different lengths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from vaekit.data.arrays import as_array, as_floats, unmasked
from vaekit.data.number_forms import MOST_WHOLE
from vaekit.data.series.collection import Collection, Layout, Values
from vaekit.errors import UserError, few

Channels = Literal["auto", "first", "last"]
RAGGED = "give a list of arrays, or an NPZ with 'values' (all series, one after another) and 'lengths'"


def of_memory(
    x: Any, y: Any = None, *, channels: Channels = "auto", layout: Layout | None = None, where: str = "memory"
) -> Collection:
    """Return series of an array (N, T), (N, T, C) or (N, C, T), or of a list of (T,), (T, C) or (C, T).

    Of two axes the shorter is that of the channels, unless `channels` or a `layout` says which.

    Raises:
        UserError: there are other axes, objects, or no numbers.

    >>> of_memory([[1, 2, 3], [4, 5]]).lengths.tolist(), of_memory(np.zeros((9, 50, 3))).layout
    ([3, 2], 'TC')
    """
    listed = isinstance(x, Sequence) and not isinstance(x, str | bytes)
    each = [_numbers(one, f"{where}: series {i}") for i, one in enumerate(x)] if listed else None
    if each is None:
        whole = _numbers(x, where)
        if whole.ndim not in (2, 3):
            raise UserError(f"{where} has shape {whole.shape}; series are (N, T), (N, T, C) or (N, C, T)")
        each = list(whole)
    if not each:
        raise UserError(f"{where} holds no series; give at least one")
    dims = {one.ndim for one in each}
    if len(dims) > 1 or not dims <= {1, 2}:
        raise UserError(f"{where}: every series is (T,), (T, C) or (C, T), all of them alike; these have {dims} axes")
    layout = _layout([one.shape for one in each], channels, layout, where)
    series = [one[None] if layout == "T" else one.T if layout == "TC" else one for one in each]
    labels = _labels(y, len(each), where)
    return Collection("memory", where, series, labels, layout=layout, padded=not listed).checked()


def _numbers(x: Any, where: str) -> Values:
    if isinstance(x, list | tuple) and not any(hasattr(one, "detach") for one in x):
        try:
            if any(isinstance(one, str | bytes) for one in _flat(x)):
                raise ValueError("texts")
            return np.array([unmasked(one, where) for one in x], dtype=np.float64)  # None becomes NaN
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{where} is no array of numbers ({error}); give the same number of values a step"
            ) from None
    array = as_array(x, where)
    if array.dtype.kind not in "buif":
        raise UserError(f"{where} has type {array.dtype}, not numbers; use NaN for what is missing")
    if array.dtype.kind in "iu" and array.size and max(abs(int(array.min())), abs(int(array.max()))) > MOST_WHOLE:
        raise UserError(f"{where} has whole numbers beyond ±2^53, which would be rounded; rescale them")
    return as_floats(array)


def _flat(x: Any) -> Iterator[Any]:
    for one in x:
        if isinstance(one, list | tuple):
            yield from _flat(one)
        else:
            yield one


def _layout(shapes: Sequence[tuple[int, ...]], channels: Channels, layout: Layout | None, where: str) -> Layout:
    """Return how series are laid out: as said, else the axis all have alike, or the shorter, is the channels'."""
    if len(shapes[0]) == 1:
        return "T"
    if layout in ("TC", "CT"):
        return layout
    if channels != "auto":
        return "CT" if channels == "first" else "TC"
    first, last = ({shape[axis] for shape in shapes} for axis in (0, 1))
    if len(first) > 1 and len(last) > 1:
        raise UserError(f"{where}: the series differ in both of their axes; all must have the same channels")
    if len(first) > 1 or len(last) > 1:
        return "TC" if len(first) > 1 else "CT"
    return "CT" if shapes[0][0] < shapes[0][1] else "TC"


def _labels(y: Any, count: int, where: str) -> list[str]:
    if y is None:
        return []
    labels = as_array(y, f"{where}: y").ravel()
    if len(labels) != count:
        raise UserError(f"{where} has {count} series but {len(labels)} labels; give one label each")
    if labels.dtype.kind == "f":
        labels = labels.astype(np.float64)  # half precision does not reach 2^53
        if bool(((labels == labels.round()) & (np.abs(labels) < 2.0**53)).all()):
            labels = labels.astype(np.int64)
    return [str(label) for label in labels.tolist()]


def of_arrays(
    arrays: Mapping[str, Any], where: str, *, channels: Channels = "auto", layout: Layout | None = None
) -> Collection:
    """Return series of named arrays: `x` or `values` [, `lengths`] [, `y`], or each with _train and _test."""
    for end in ("", "_train"):
        name = next((name for name in (f"x{end}", f"values{end}") if name in arrays), None)
        if name is not None:
            break
    else:
        raise UserError(f"{where} holds {few([*map(str, arrays)]) or 'nothing'}; name its arrays values, lengths and y")
    how: dict[str, Any] = {"channels": channels, "layout": layout}
    train = _cut(arrays[name], arrays.get(f"lengths{end}"), arrays.get(f"y{end}"), where, how)
    other = name.replace("_train", "_test")
    if not end or other not in arrays:
        return train
    test = _cut(arrays[other], arrays.get("lengths_test"), arrays.get("y_test"), where, how)
    return Collection(**{**vars(train), "test": test})


def _cut(x: Any, lengths: Any, y: Any, where: str, how: dict[str, Any]) -> Collection:
    """Cut `x` into series by their lengths: rows (N, T, …) that are padded, or all steps one after another (ΣT, …)."""
    if lengths is None:
        return of_memory(x, y, where=where, **how)
    ends, x = as_array(lengths, f"{where}: lengths").ravel(), as_array(x, f"{where}: values")
    if ends.dtype.kind not in "iu" or not len(ends) or int(ends.min()) < 1:
        raise UserError(f"{where}: lengths are whole numbers of at least 1, one a series")
    if x.ndim in (1, 2) and len(x) == sum(map(int, ends.tolist())):
        parts = np.split(x, np.cumsum(ends)[:-1])
        how = how | ({"layout": "TC"} if x.ndim == 2 else {})
        return of_memory(list(parts), y, where=where, **how)
    if x.ndim not in (2, 3) or len(x) != len(ends):
        raise UserError(
            f"{where}: values have shape {x.shape} and there are {len(ends)} lengths, {ends.sum()} steps in all; give "
            "values (ΣT,) or (ΣT, C), or padded rows (N, T), (N, T, C) or (N, C, T)"
        )
    whole = of_memory(list(x), None, where=where, **how)
    longest = whole.series[0].shape[1]
    if int(ends.max()) > longest:
        raise UserError(f"{where}: a length is {ends.max()}, and rows have {longest} steps")
    series = [one[:, :n] for one, n in zip(whole.series, ends.tolist())]
    return Collection(**{**vars(whole), "series": series, "labels": _labels(y, len(series), where)})
