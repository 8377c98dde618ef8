"""Rows that stay on disk: arrays in NPY files, one or many, and folders of images, read by number into memory.

Files are read with positioned reads into a buffer, never mapped: a mapped file's pages count as the process's own
memory as soon as they are touched, and a run over a large file would look, and be accounted, as large as the file.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.files import size_of, unreadable
from vaekit.data.folders import fit_image, is_image, list_splits, open_image
from vaekit.data.limits import check_size
from vaekit.data.npy_files import npy_header
from vaekit.data.origin import Origin
from vaekit.errors import UserError

LOOKED_AT = 32
"""Images of a folder by which its mode is decided."""
KEPT_OPEN = 64
"""Files of a folder kept open; with more of them each is opened when it is read."""


class Rows(ABC):
    """Rows by number, as they lie on disk: `shape` begins with their number."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @abstractmethod
    def read(self, index: np.ndarray) -> np.ndarray:
        """Return the rows numbered in `index` (M,), in its order: (M, *shape[1:])."""

    def all(self) -> np.ndarray:
        """Return every row."""
        return self.read(np.arange(self.shape[0]))

    def place(self, row: int) -> str:
        """Name a row as a person would find it."""
        return f"row {row}"

    def origin(self, index: np.ndarray) -> Origin:
        """Say where the rows numbered in `index` come from."""
        return Origin({"row": index})

    def soon(self, start: int, stop: int) -> None:
        """Tell the system that rows `start` to `stop` are wanted before long, where it can be told."""
        return

    @property
    def row_bytes(self) -> int:
        """How many bytes a row takes."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


class HeldRows(Rows):
    """The rows of an array in memory, or of a sparse matrix, which become dense as they are read."""

    def __init__(self, x: Any, origin: Origin | None = None) -> None:
        self.x = x.tocsr() if hasattr(x, "tocsr") else x
        self.shape, self.dtype, self._origin = tuple(x.shape), x.dtype, origin

    def read(self, index: np.ndarray) -> np.ndarray:
        """Return rows by number."""
        rows = self.x[index]
        return rows.toarray() if hasattr(rows, "toarray") else rows

    def origin(self, index: np.ndarray) -> Origin:
        """Say where rows come from."""
        return super().origin(index) if self._origin is None else self._origin.take(index)


class NpyRows(Rows):
    """The rows of one NPY file.

    Raises `UserError` naming the file where it is not an array of numbers, is cut short, or is stored column by column.
    """

    def __init__(self, path: Path, keep_open: bool = True) -> None:
        self.path, self._keep_open, self._handle = path, keep_open, -1
        try:
            with path.open("rb") as file:
                self.shape, columns_first, self.dtype = npy_header(file, path)
                self._start = file.tell()
            size = path.stat().st_size
        except OSError as error:
            raise UserError(unreadable(path, error)) from None
        if self.dtype.kind not in "buif":
            raise UserError(f"{path} has type {self.dtype}, not numbers; save numbers of one shape")
        count = next(iter(self.shape), 0)
        if count == 0:
            raise UserError(f"{path} holds no rows (its shape is {self.shape}); give at least one example")
        if columns_first and len(self.shape) > 1:
            raise UserError(
                f"{path} is stored column by column; save it row by row: np.save(…, np.ascontiguousarray(x))"
            )
        whole = self._start + count * self.row_bytes
        if size < whole:
            first = max(0, size - self._start) // max(self.row_bytes, 1)
            raise UserError(
                f"{path} is cut short: its header says {count:,} rows, {whole:,} bytes, and it has {size:,}: "
                f"rows from {first:,} on are missing; write it again"
            )

    def __del__(self) -> None:
        if getattr(self, "_handle", -1) >= 0:
            os.close(self._handle)

    def soon(self, start: int, stop: int) -> None:
        """Tell the system that rows `start` to `stop` are wanted before long."""
        if self._keep_open and hasattr(os, "posix_fadvise"):
            first, length = self._start + start * self.row_bytes, (stop - start) * self.row_bytes
            os.posix_fadvise(self._open(), first, length, os.POSIX_FADV_WILLNEED)

    def read(self, index: np.ndarray) -> np.ndarray:
        """Return rows by number, read in the order they have in the file; neighbours in one go."""
        if not len(index):
            return np.empty((0, *self.shape[1:]), self.dtype)
        order = np.argsort(index, kind="stable")
        rows = index[order]
        buffer = np.empty((len(rows), *self.shape[1:]), self.dtype)
        view = memoryview(buffer.reshape(-1).view(np.uint8))  # pyright: ignore[reportArgumentType]
        ends = np.flatnonzero(np.diff(rows) != 1) + 1
        size, handle = self.row_bytes, self._open()
        try:
            for start, stop in zip([0, *ends.tolist()], [*ends.tolist(), len(rows)]):
                self._fill(handle, view[start * size : stop * size], self._start + int(rows[start]) * size)
        finally:
            if not self._keep_open:
                os.close(handle)
        if len(ends) == 0 and (len(order) < 2 or bool((np.diff(order) == 1).all())):
            return buffer
        out = np.empty_like(buffer)
        out[order] = buffer
        return out

    def _open(self) -> int:
        if self._handle >= 0:
            return self._handle
        try:
            handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise UserError(f"{self.path} can no longer be read ({error.strerror})") from None
        if self._keep_open:
            self._handle = handle
        return handle

    def _fill(self, handle: int, view: memoryview, offset: int) -> None:
        while len(view):
            try:
                got = os.preadv(handle, [view], offset)
            except OSError as error:
                raise UserError(unreadable(self.path, error)) from None
            if got == 0:
                row = (offset - self._start) // self.row_bytes
                raise UserError(f"{self.path} became shorter while it was read: row {row:,} is missing")
            view, offset = view[got:], offset + got


class Shards(Rows):
    """Several sources of rows one after another."""

    def __init__(self, parts: Sequence[NpyRows]) -> None:
        first = parts[0]
        for part in parts[1:]:
            if part.shape[1:] != first.shape[1:] or part.dtype != first.dtype:
                raise UserError(
                    f"{part.path} holds rows of shape {part.shape[1:]}, {part.dtype}, and {first.path} of "
                    f"{first.shape[1:]}, {first.dtype}; give every file rows of one shape and type"
                )
        self.parts, self.dtype = list(parts), first.dtype
        self.starts = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.shape = (int(self.starts[-1]), *first.shape[1:])

    def place(self, row: int) -> str:
        """Name a row by its file and its number there."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return f"{self.parts[number].path.name} row {row - self.starts[number]}"

    def soon(self, start: int, stop: int) -> None:
        """Tell the system that rows `start` to `stop` are wanted before long."""
        for part, first in zip(self.parts, self.starts.tolist()):
            low, high = max(start - first, 0), min(stop - first, part.shape[0])
            if low < high:
                part.soon(low, high)

    def read(self, index: np.ndarray) -> np.ndarray:
        """Return rows by number."""
        number = np.searchsorted(self.starts, index, side="right") - 1
        out = np.empty((len(index), *self.shape[1:]), self.dtype)
        for chosen in np.unique(number).tolist():
            mine = number == chosen
            out[mine] = self.parts[chosen].read(index[mine] - self.starts[chosen])
        return out


class ImageRows(Rows):
    """The images of a folder, decoded when they are read; transparency is over white.

    Their `mode` is "L" or "RGB" of 8 bits, or "F": greys of 16 bits (0 to 65,535) or floats, as float32. They have the
    size of the image `first`, or are scaled to a shorter side of `size` and cut to their centre. With a `shape`
    (C, H, W), that of a trained model, pictures of another mode or size become it, and are counted.
    """

    def __init__(self, files: Sequence[Path], root: Path | None, size: int | None, mode: str, first: Path) -> None:
        self.files, self.root, self.size, self.mode, self.first = files, root, size, mode, first
        self.extent = open_image(first, size).size
        self.shape = (len(files), 3 if mode == "RGB" else 1, self.extent[1], self.extent[0])
        self.dtype = np.dtype(np.float32 if mode == "F" else np.uint8)
        self.fitted, self.scaled, self.recoloured = False, 0, 0

    def fit(self, shape: tuple[int, ...]) -> ImageRows:
        """Bring pictures to `shape` (C, H, W) as they are read."""
        self.fitted, self.extent = True, (shape[2], shape[1])
        if self.mode != "F":
            self.mode = "L" if shape[0] == 1 else "RGB"
        self.shape = (len(self.files), 3 if self.mode == "RGB" else 1, *shape[1:])
        return self

    def of(self, files: Sequence[Path]) -> ImageRows:
        """Return the rows of other files, read in the same way."""
        other = copy(self)
        other.files, other.shape = files, (len(files), *self.shape[1:])
        return other

    def place(self, row: int) -> str:
        """Name an image by its file."""
        return str(self.files[row])

    def origin(self, index: np.ndarray) -> Origin:
        """Name images by their files, seen from the folder."""
        files = (self.files[i] for i in index.tolist())
        return Origin.files([str(file if self.root is None else file.relative_to(self.root)) for file in files])

    def read(self, index: np.ndarray) -> np.ndarray:
        """Return decoded images, (M, C, H, W)."""
        out = np.empty((len(index), *self.shape[1:]), self.dtype)
        for i, row in enumerate(index.tolist()):
            free = self.fitted or self.size is not None
            picture = open_image(self.files[row], self.size, None if free else (self.first, self.extent))
            if (picture.mode == "F") != (self.mode == "F"):
                deep, other = (self.first, self.files[row]) if self.mode == "F" else (self.files[row], self.first)
                raise UserError(
                    f"{deep} has more than 8 bits, and {other.name} has 8; save all pictures of a folder alike"
                )
            if picture.size != self.extent and self.fitted:
                picture = fit_image(picture, self.extent)
                self.scaled += 1
            self.recoloured += picture.mode != self.mode
            pixels = np.asarray(picture if picture.mode == self.mode else picture.convert(self.mode))
            out[i] = np.moveaxis(pixels, 2, 0) if self.mode == "RGB" else pixels
        return out


def shards_in(folder: Path) -> list[tuple[Path, Path | None]]:
    """Return the NPY files of a folder by name, each with its labels where it has any: `x-007.npy` and `y-007.npy`."""
    files = sorted(path for path in folder.glob("*.npy") if not path.name.startswith("."))
    values = [path for path in files if path.name.startswith("x")]
    labels = [path for path in files if path.name.startswith("y")]
    if not values or not labels or len(values) + len(labels) < len(files):
        return [(path, None) for path in files]
    twins = [folder / f"y{path.name[1:]}" for path in values]
    if odd := [path for path in labels if path not in twins]:
        raise UserError(f"{odd[0]} holds labels, and there is no x{odd[0].name[1:]} beside it")
    if lacking := [path for path, twin in zip(values, twins) if twin not in labels]:
        name = lacking[0].name
        raise UserError(f"{lacking[0]} has no labels beside it, as other files here have; add y{name[1:]}")
    return list(zip(values, twins))


def open_shards(folder: Path) -> tuple[Rows, np.ndarray | None]:
    """Return the rows of a folder of NPY files, and their labels (N,) or None."""
    pairs = shards_in(folder)
    parts = [NpyRows(path, keep_open=len(pairs) <= KEPT_OPEN) for path, _ in pairs]
    labels: list[np.ndarray] = []
    for part, (_, twin) in zip(parts, pairs):
        if twin is None:
            continue
        own = NpyRows(twin, keep_open=False)
        if own.shape[0] != part.shape[0]:
            raise UserError(
                f"{twin} has {own.shape[0]} labels and {part.path} {part.shape[0]} rows; give one label each"
            )
        labels.append(own.all())
        if labels[-1].shape[1:] != labels[0].shape[1:]:
            raise UserError(f"{twin} has labels of shape {own.shape}, unlike the others here; give all the same")
    return Shards(parts), np.concatenate(labels) if labels else None


def open_rows(
    path: Path, size: int | None, shape: tuple[int, ...] | None = None
) -> dict[str, tuple[Rows, np.ndarray | None]]:
    """Return {split: (rows, labels or None)} of an NPY file, a folder of them, an image, or a folder of images.

    Images' subfolders are labels, or splits that hold folders a label. Grey or colour is kept as most of `LOOKED_AT`
    images have it; greys of more than 8 bits are refused beside others. With a `shape` (C, H, W) images become it.
    """
    shape = shape if shape is not None and len(shape) == 3 and shape[0] in (1, 3) else None
    if is_image(path):
        return {"train": (image_rows([path], path.parent, size, shape), None)}
    if path.is_file():
        return {"train": (NpyRows(path), None)}
    if any(path.glob("*.npy")) and not any(path.glob("*.npz")):
        return {"train": open_shards(path)}
    splits = list_splits(path)
    every = [file for split in sorted(splits, key="train".__ne__) for file, _ in splits[split]]
    like = image_rows(every, path, size, shape)
    opened: dict[str, tuple[Rows, np.ndarray | None]] = {}
    for split, files in splits.items():
        labels = None if files[0][1] is None else np.array([str(label) for _, label in files])
        opened[split] = like.of([file for file, _ in files]), labels
    return opened


def image_rows(
    files: Sequence[Path], root: Path | None, size: int | None, shape: tuple[int, ...] | None = None
) -> ImageRows:
    """Return the rows of image files, named as seen from a `root`; grey or RGB as most are, or as a `shape` says."""
    packed = sum(size_of(file) for file in files)
    like = None
    if shape is None:  # of one channel they would take this at least: refused before more than one is decoded
        extent = open_image(files[0], size).size
        check_size(len(files) * math.prod(extent), root or files[0], packed=packed)
        like = (files[0], extent) if size is None else None
    looked_at = np.linspace(0, len(files) - 1, min(len(files), LOOKED_AT)).astype(int)
    modes = [open_image(files[i], size, like).mode for i in looked_at]
    mode = "F" if "F" in modes else "L" if 2 * modes.count("L") >= len(modes) else "RGB"
    rows = ImageRows(files, root, size, mode, files[0] if mode != "F" else files[looked_at[modes.index("F")]])
    rows = rows if shape is None else rows.fit(shape)
    check_size(rows.shape[0] * rows.row_bytes, root or files[0], packed=packed)
    return rows
