"""Datasets and loaders of PyTorch, and whatever else gives examples one by one, as arrays, in their own order."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.data.arrays import as_array
from vaekit.data.limits import memory
from vaekit.data.raw import Part
from vaekit.errors import UserError

if TYPE_CHECKING:  # torch is not imported with the module: the known sets are listed without it
    from torch import Tensor
    from torch.utils.data import DataLoader

X_NAMES = ("x", "image", "images", "img", "pixel_values", "input", "inputs", "data", "features")
Y_NAMES = ("y", "label", "labels", "fine_label", "target", "targets", "class")
CHUNK = 1024
"""Examples stacked at once."""
UNSIZED_MOST = 2 << 30
"""Bytes read of a dataset that does not say how long it is, before its reader asks for a bound."""


def is_pair(item: Any) -> bool:
    """Whether an item is (x,) or (x, y), as items of datasets are."""
    return isinstance(item, tuple) and len(item) <= 2 and len(item) > 0 and np.ndim(_plain(item[0])) > 0


def read_dataset(source: Any, needed: int | None) -> Part | None:
    """Return the examples of a dataset, a loader or any iterable of them, in the dataset's own order."""
    from torch.utils.data import DataLoader, TensorDataset

    if isinstance(source, DataLoader):
        if not _is_plain(source):
            return _gathered((pair_of(batch) for batch in source), None, "the DataLoader", needed, batched=True)
        source = source.dataset
    if isinstance(source, TensorDataset):
        return _tensors(source.tensors)
    if not hasattr(source, "__iter__") and not hasattr(source, "__getitem__"):
        return None
    if isinstance(source, str | bytes):
        return None
    size = len(source) if hasattr(source, "__len__") else None
    if size == 0:
        raise UserError(f"the {type(source).__name__} is empty; give at least one example")
    pairs = (pair_of(item) for item in items_of(source))
    return _gathered(pairs, size, f"the {type(source).__name__}", needed)


def _is_plain(loader: DataLoader[Any]) -> bool:
    """Whether a loader gives each example of a dataset once, so that it is read in the dataset's own order."""
    from torch.utils.data import RandomSampler, SequentialSampler, default_collate

    whole = type(loader.sampler) is SequentialSampler or (
        type(loader.sampler) is RandomSampler and not loader.sampler.replacement
    )
    standard = loader.collate_fn is default_collate or loader.batch_size is None
    return _is_map(loader.dataset) and whole and standard and len(loader.sampler) == len(loader.dataset)  # type: ignore[arg-type]


def _is_map(source: Any) -> bool:
    from torch.utils.data import IterableDataset

    return not isinstance(source, IterableDataset) and hasattr(source, "__getitem__") and hasattr(source, "__len__")


def items_of(source: Any) -> Iterator[Any]:
    """Yield the items of a dataset in its own order, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True, force_terminal=sys.stderr.isatty())
    items: Iterable[Any] = (source[i] for i in range(len(source))) if _is_map(source) else source
    total = len(source) if hasattr(source, "__len__") else None
    yield from track(
        items, "reading", total, console=console, transient=True, disable=not console.is_interactive, update_period=0.5
    )


def _tensors(tensors: Sequence[Tensor]) -> Part:
    if len(tensors) > 2:
        raise UserError(f"a TensorDataset of {len(tensors)} tensors; give one of x, or of x and y")
    return Part(as_array(tensors[0], "x"), as_array(tensors[1], "y") if len(tensors) == 2 else None)


def pair_of(item: Any) -> tuple[Any, Any]:
    """Return x and y (None without) of a dataset's item, or of a loader's batch."""
    if isinstance(item, Mapping):
        x = next((name for name in X_NAMES if name in item), None)
        if x is None:
            raise UserError(
                f"items of the dataset have {', '.join(map(str, item))}; call the data x and their labels y"
            )
        return item[x], next((item[name] for name in Y_NAMES if name in item), None)
    if isinstance(item, tuple) or (isinstance(item, list) and item and hasattr(item[0], "detach")):
        if not 0 < len(item) <= 2:
            raise UserError(f"items of the dataset have {len(item)} parts; give x, or (x, y)")
        return item[0], item[1] if len(item) == 2 else None
    return item, None


def _plain(value: Any) -> np.ndarray:
    """Return one example, or a batch, as an array; pictures are grey or RGB."""
    if hasattr(value, "convert") and hasattr(value, "mode"):
        grey = value.mode in ("1", "L", "LA") or value.mode.startswith("I;16")
        value = value if value.mode.startswith("I;16") else value.convert("L" if grey else "RGB")
    return as_array(value, "x")


class _Growing:
    """An array that rows are added to; its type widens where they need it."""

    def __init__(self, size: int | None) -> None:
        self.size, self.n = size, 0
        self.array: np.ndarray | None = None

    def add(self, rows: np.ndarray) -> None:
        """Take (M, *shape) more."""
        end = self.n + len(rows)
        if self.array is None:
            self.array = np.empty((max(self.size or 0, end), *rows.shape[1:]), rows.dtype)
        if rows.dtype != self.array.dtype:
            self.array = self.array.astype(np.result_type(self.array.dtype, rows.dtype), copy=False)
        if end > len(self.array):
            larger = np.empty((max(end, len(self.array) * 3 // 2), *self.array.shape[1:]), self.array.dtype)
            larger[: self.n] = self.array[: self.n]
            self.array = larger
        self.array[self.n : end] = rows
        self.n = end


def stacked(values: Iterable[Any], size: int | None, what: str) -> np.ndarray:
    """Return numbers, arrays, tensors or pictures as one array (N, *shape); `what` names them in errors."""
    return _gathered(((value, None) for value in values), size, what, None).x


def _gathered(
    pairs: Iterable[tuple[Any, Any]], size: int | None, what: str, needed: int | None, batched: bool = False
) -> Part:
    """Return the examples of pairs (x, y), or of batches of them, as arrays."""
    xs, ys = _Growing(size), []
    stream, bound = iter(pairs), needed if size is None else None
    while chunk := list(islice(stream, 1 if batched else CHUNK)):
        rows = [_plain(x) for x, _ in chunk]
        _check_shapes(rows, xs, what, batched)
        xs.add(rows[0] if batched else np.stack(rows))
        ys += [y for _, y in chunk]
        assert xs.array is not None
        _check_memory(xs, size, what, bound)
        if bound is not None and xs.n >= bound:
            break
    if xs.array is None or not xs.n:
        raise UserError(f"{what} is empty; give at least one example")
    n = xs.n if bound is None else min(bound, xs.n)
    labelled = [y is not None for y in ys]
    if not any(labelled):
        return Part(xs.array[:n])
    if not all(labelled):
        raise UserError(f"{what} has labels for some of its examples only; give a label each, or none")
    y = np.concatenate([np.atleast_1d(as_array(y, "y")) for y in ys]) if batched else as_array(_labels(ys), "y")
    return Part(xs.array[:n], y[:n])


def _labels(ys: list[Any]) -> Any:
    return [as_array(y, "y") for y in ys] if hasattr(ys[0], "detach") else ys


def _check_shapes(rows: list[np.ndarray], before: _Growing, what: str, batched: bool) -> None:
    if batched:
        if before.array is not None and rows[0].shape[1:] != before.array.shape[1:]:
            raise UserError(
                f"{what} gives examples of shape {rows[0].shape[1:]} and {before.array.shape[1:]}; give one"
            )
        return
    first = rows[0].shape if before.array is None else before.array.shape[1:]
    bad = next((i for i, row in enumerate(rows) if row.shape != first), None)
    if bad is not None:
        raise UserError(
            f"{what}: example {before.n + bad} has shape {rows[bad].shape}, the first {tuple(first)}; give every "
            "example the same shape"
        )


def _check_memory(xs: _Growing, size: int | None, what: str, bound: int | None) -> None:
    """Refuse what cannot be held: more than the machine has, or without end."""
    assert xs.array is not None
    each = xs.array.nbytes // max(len(xs.array), 1)
    if size is None and bound is None and xs.n * each > UNSIZED_MOST:
        raise UserError(
            f"{what} does not say how long it is and has given {xs.n:,} examples ({xs.n * each / 2**30:.1f} GiB) so "
            "far; bound it with data.limit=N, or write it to NPY files, which stay on disk"
        )
    most = memory()
    if most is not None and (size or 0) * each > most:
        raise UserError(
            f"{what} has {size:,} examples of {each:,} bytes, more than this machine's memory; set data.limit=N, or "
            "write them to NPY files, which stay on disk"
        )
