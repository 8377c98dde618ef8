"""Data larger than memory: rows stay on disk, and batches are read while the last ones are trained on.

What needs every row of data in memory is settled here by a sample: which values there are (and so which preparation
fits), the training mean and deviation. Each batch is checked as it is read, and a row that breaks what the sample
promised is named. Splits, order and noise are those of the same data in memory, for the same seeds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from vaekit.data import disk
from vaekit.data.folders import is_idx_folder
from vaekit.data.preprocessing import TOLERANCE, resolve
from vaekit.data.raw import Part, Raw, check, label
from vaekit.data.settings import DataSettings
from vaekit.data.shuffling import BlockOrder, epoch_order
from vaekit.errors import UserError

STREAM_ABOVE = 1 << 30
"""Bytes (decoded, for images) above which stream=auto leaves data on disk: reading takes three times that at once."""
EXACT_MOST = 1 << 25
"""Rows above which shuffle=auto is by blocks: a permutation takes 8 bytes a row."""
SAMPLE_ROWS, SAMPLE_BYTES = 8192, 64 << 20
AHEAD = 3
"""Batches read before they are asked for."""

T = TypeVar("T")


@dataclass(frozen=True)
class Held:
    """Which rows of a source a split has: those of `chosen` (sorted), or all but `left_out` (sorted)."""

    n: int
    chosen: np.ndarray | None = None
    left_out: np.ndarray | None = None

    def __len__(self) -> int:
        if self.chosen is not None:
            return len(self.chosen)
        return self.n - (0 if self.left_out is None else len(self.left_out))

    def rows(self, index: np.ndarray) -> np.ndarray:
        """Return the source's numbers of the split's rows at `index`."""
        if self.chosen is not None:
            return self.chosen[index]
        if self.left_out is None:
            return index
        # The i-th row that is not left out lies as many places on as rows before it are left out.
        return index + np.searchsorted(self.left_out - np.arange(len(self.left_out)), index, side="right")


@dataclass(frozen=True)
class Stored:
    """From rows as they lie on disk to stored rows as data in memory are; what does not fit is refused by its row."""

    source: str
    kind: str
    levels: int | None
    dtype: torch.dtype

    def __call__(self, x: np.ndarray, place: Callable[[int], str]) -> Tensor:
        """Return a batch (M, *shape), uint8 or float32."""
        part = Part(x)
        raw = Raw("rows", self.source, part, levels=self.levels, files=_Places(place, len(x)))  # type: ignore[arg-type]
        check(raw)
        values = part.x
        if self.dtype == torch.uint8:
            return torch.from_numpy(np.ascontiguousarray(self._greys(raw, values)))
        promised = "as the rows read first had it; give every row values of one kind"
        if self.kind in ("unit", "binary"):
            raw.refuse([(values < 0) | (values > 1)], f"is {{value}}, outside [0, 1], not {promised}")
        if self.kind == "counts":
            raw.refuse([(values < 0) | (values != np.round(values))], f"is {{value}}, not a count, {promised}")
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))

    def _greys(self, raw: Raw, x: np.ndarray) -> np.ndarray:
        levels = self.levels or 256
        if levels == 2 and x.dtype != np.uint8:
            raw.refuse([(x != 0) & (x != 1)], "is {value}, and the rows read first had 0 and 1 alone; give one kind")
            return x.astype(np.uint8)
        if x.dtype == np.uint8:
            if levels < 256:
                raw.refuse([x >= levels], f"is {{value}}, and the rows read first had {levels} levels; give one kind")
            return x
        greys = np.rint(x.astype(np.float64) * 255)
        off = (np.abs(x - greys / 255) > TOLERANCE) | (greys < 0) | (greys > 255)
        raw.refuse([off], "is {value}, not one of the 256 greys i/255 that the rows read first had; give uint8")
        return greys.astype(np.uint8)


class _Places:
    """The names of a batch's rows, made when one is asked for."""

    def __init__(self, place: Callable[[int], str], n: int) -> None:
        self._place, self._n = place, n

    def __getitem__(self, row: int) -> str:
        return self._place(row)

    def __len__(self) -> int:
        return self._n


class DiskRows:
    """A split's examples on disk, in place of the tensor of a split in memory: length, slices, `index_select`.

    `sample` holds some of them, (M, *shape), for statistics.
    """

    device = torch.device("cpu")

    def __init__(self, rows: disk.Rows, held: Held, stored: Stored, sample: Tensor, shuffle: str) -> None:
        self.source, self.held, self.stored, self.sample = rows, held, stored, sample
        self.shape = torch.Size([len(held), *sample.shape[1:]])
        self.dtype = sample.dtype
        row_bytes = int(np.prod(rows.shape[1:], dtype=np.int64)) * rows.dtype.itemsize
        self.block = max(1, (1 << 20) // max(row_bytes, 1))
        self.blocks = shuffle == "blocks" or (shuffle == "auto" and len(held) > EXACT_MOST)

    def __len__(self) -> int:
        return len(self.held)

    def dim(self) -> int:
        """Return the number of axes."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> Tensor:
        if isinstance(index, slice):
            return self.index_select(0, torch.arange(*index.indices(len(self))))
        return self.index_select(0, torch.as_tensor(index).reshape(-1))

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Read the examples at `index` (M,) into memory."""
        assert dim == 0
        rows = self.held.rows(index.numpy())
        return self.stored(self.source.read(rows), lambda i: self.source.place(int(rows[i])))

    def to(self, device: Any) -> DiskRows:
        """Stay: batches are moved, not the source."""
        return self

    def order(self, seed: int, epoch: int) -> Tensor | BlockOrder:
        """Return the epoch's order: the permutation that data in memory have, or one by blocks."""
        if self.blocks:
            return BlockOrder(len(self), self.block, seed, epoch, self._soon)
        return epoch_order(len(self), seed, epoch)

    def _soon(self, start: int, stop: int) -> None:
        first, last = self.held.rows(np.array([start, stop - 1])).tolist()
        self.source.soon(first, last + 1)


def ahead(make: Callable[[T], Any], items: Iterable[T], depth: int = AHEAD) -> Generator[Any, None, None]:
    """Yield make(item) for each item, in order, worked out `depth` items ahead in a thread of its own.

    >>> list(ahead(lambda i: i * i, range(5)))
    [0, 1, 4, 9, 16]
    """
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="vaekit-read") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def streams(source: Any, settings: DataSettings) -> bool:
    """Whether a source is to stay on disk: stream=yes, or auto and it is large; only files that can."""
    if settings.stream == "no" or not isinstance(source, (str, Path)):
        return False
    path = _path(source)
    if path is None or not _can(path):
        if settings.stream == "yes":
            raise UserError(f"{source} cannot be streamed: stream=yes takes an NPY file, or a folder of them or images")
        return False
    return settings.stream == "yes" or _bytes(path, settings.size) > STREAM_ABOVE


def _path(source: str | Path) -> Path | None:
    from vaekit.data.sources import find

    return find(source)


def _can(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".npy"
    return path.is_dir() and not is_idx_folder(path) and not any(path.glob("*.npz"))


def _bytes(path: Path, size: int | None) -> int:
    """Return how many bytes a source's values take, as far as can be said without reading them."""
    if path.is_file():
        return path.stat().st_size
    arrays = [file.stat().st_size for file in path.glob("*.npy")]
    if arrays:
        return sum(arrays)
    try:
        return sum(int(np.prod(images.shape, dtype=np.int64)) for images, _ in disk.open_images(path, size).values())
    except UserError:
        return 0  # reading it whole says what is wrong with it


def load_streamed(source: str | Path, settings: DataSettings, wants: Any) -> Any:
    """Return the `DataSet` of a source whose training rows stay on disk; the arguments are those of `load`.

    The held-out splits are read into memory. `binarise=fixed` is refused, since it would rewrite the data, and so is
    `size` on arrays.
    """
    from vaekit.data.dataset import DataSet, Split, _fitted
    from vaekit.data.info import DataInfo

    path = _path(source)
    assert path is not None
    parts, labels = _open(path, settings)
    if settings.size is not None and not isinstance(parts["train"], disk.ImageRows):
        raise UserError(f"{path}: size={settings.size} would rewrite arrays on disk; resize the file, or use stream=no")
    helds, n = _splits(parts, str(path), settings)
    raw, counts, sample_of = _sampled(path, parts, helds, labels)
    shape = tuple(raw.train.x.shape[1:])
    if callable(wants):
        raw, plan = resolve(raw, settings, "any")
        wants = wants(DataInfo(raw.name, shape, plan.kind, plan.levels, n, 0, 0, raw.classes))
    raw, plan = resolve(raw, settings, wants)
    if plan.mode == "fixed":
        raise UserError(
            "binarise=fixed would keep a second copy of the data; use stochastic or threshold, or stream=no"
        )
    x = raw.train.x
    x = torch.from_numpy(np.ascontiguousarray(x, dtype=np.uint8 if x.dtype == np.uint8 else np.float32))
    ends = np.cumsum(counts)
    sample, valid, test = x[: ends[0]], x[ends[0] : ends[1]], x[ends[1] :]
    ys = {split: None if y is None else torch.from_numpy(y) for split, y in sample_of.items()}
    prepare, bits = _fitted(plan, Split(sample), settings)
    stored = Stored(str(path), plan.kind, plan.levels if x.dtype == torch.uint8 else None, x.dtype)
    rows: Any = DiskRows(parts["train"], helds["train"], stored, sample, settings.shuffle)
    info = DataInfo(
        raw.name, shape, plan.kind, plan.levels, len(rows), len(valid), len(test), raw.classes, raw.source, bits
    )
    return DataSet(info, Split(rows, ys["train"]), Split(valid, ys["valid"]), Split(test, ys["test"]), prepare)


def _open(path: Path, settings: DataSettings) -> tuple[dict[str, disk.Rows], dict[str, np.ndarray | None]]:
    if path.is_file():
        return {"train": disk.NpyRows(path)}, {"train": None}
    if any(path.glob("*.npy")):
        rows, y = disk.open_shards(path)
        return {"train": rows}, {"train": y}
    opened = disk.open_images(path, settings.size)
    return {split: rows for split, (rows, _) in opened.items()}, {split: y for split, (_, y) in opened.items()}


def _splits(parts: dict[str, disk.Rows], source: str, settings: DataSettings) -> tuple[dict[str, Held], int]:
    """Return which rows each split has, as `dataset._split` chooses them, and the number of rows of the source."""
    from vaekit.data.dataset import _count

    n = parts["train"].shape[0]
    n_test = 0 if "test" in parts else _count(settings.test, n)
    n_valid = 0 if "valid" in parts else _count(settings.valid, n)
    if n_test + n_valid >= n:
        raise UserError(
            f"{source} has {n} examples and valid={settings.valid} with test={settings.test} would hold out "
            f"{n_valid + n_test}, leaving none to train on; lower them"
        )
    order = np.random.default_rng(settings.seed).permutation(n)
    out = {
        "test": Held(parts["test"].shape[0]) if "test" in parts else Held(n, np.sort(order[:n_test])),
        "valid": Held(parts["valid"].shape[0])
        if "valid" in parts
        else Held(n, np.sort(order[n_test : n_test + n_valid])),
    }
    if settings.limit is not None:
        out["train"] = Held(n, np.sort(order[n_test + n_valid :][: settings.limit]))
    else:
        out["train"] = Held(n, left_out=np.sort(order[: n_test + n_valid]))
    return out, n


def _sampled(
    path: Path, parts: dict[str, disk.Rows], helds: dict[str, Held], labels: dict[str, np.ndarray | None]
) -> tuple[Raw, list[int], dict[str, np.ndarray | None]]:
    """Read a sample of the training rows and all held-out ones, as one part; return it, its three lengths, the labels.

    The sample is spread evenly over the source.
    """
    row_bytes = int(np.prod(parts["train"].shape[1:], dtype=np.int64)) * parts["train"].dtype.itemsize
    most = max(1, min(len(helds["train"]), SAMPLE_ROWS, SAMPLE_BYTES // max(row_bytes, 1)))
    chosen = {"train": helds["train"].rows(np.linspace(0, len(helds["train"]) - 1, most).astype(np.int64))}
    chosen |= {split: helds[split].rows(np.arange(len(helds[split]))) for split in ("valid", "test")}
    homes = {split: parts.get(split, parts["train"]) for split in chosen}
    places = [(homes[split], row) for split, rows in chosen.items() for row in rows.tolist()]
    read = [homes[split].read(rows) for split, rows in chosen.items()]
    shapes = {array.shape[1:] for array in read}
    if len(shapes) > 1:
        raise UserError(f"{path}: the splits' examples differ in shape ({sorted(shapes)}); give them one shape")
    named = _Places(lambda i: places[i][0].place(places[i][1]), len(places))
    name = path.stem if path.is_file() else path.name
    raw = Raw(name, str(path), Part(np.concatenate(read)), files=named)  # type: ignore[arg-type]
    raw = check(raw)
    ys = _labels(raw, helds, homes, labels)
    return raw, [len(rows) for rows in chosen.values()], ys


def _labels(
    raw: Raw, helds: dict[str, Held], homes: dict[str, disk.Rows], labels: dict[str, np.ndarray | None]
) -> dict[str, np.ndarray | None]:
    """Number all labels together, set the classes, and return each split's."""
    if labels["train"] is None:
        return dict.fromkeys(helds)
    found = {split: Part(np.zeros(1), y) for split, y in labels.items()}
    every = Raw(raw.name, raw.source, found["train"], found.get("valid"), found.get("test"))
    raw.classes = label(every)
    numbered = {split: part.y for split, part in every.parts}
    out: dict[str, np.ndarray | None] = {}
    for split, held in helds.items():
        y = numbered.get(split, numbered["train"])
        assert y is not None
        out[split] = y[held.rows(np.arange(len(held)))].astype(np.int64)
    return out


def with_sample(split: Any) -> Any:
    """Return a split whose examples are in memory: itself, or the sample of one on disk (its labels left out)."""
    return replace(split, x=split.x.sample, y=None) if isinstance(split.x, DiskRows) else split


def in_memory(split: Any) -> Any:
    """Return a split whose examples are in memory: itself, or the first ones of one on disk, with their labels."""
    return split.first(len(split.x.sample)) if isinstance(split.x, DiskRows) else split
