"""Rows that stay on disk: arrays in NPY files, one or many, and folders of images, read by number into memory.

Files are read with positioned reads into a buffer, never mapped: a mapped file's pages count as the process's own
memory as soon as they are touched, and a run over a large file would look, and be accounted, as large as the file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vaekit.data.folders import list_splits, open_image
from vaekit.errors import UserError

KEPT_OPEN = 64
"""Files of a folder kept open; with more of them each is opened when it is read."""


class Rows(Protocol):
    """Rows by number, as they lie on disk: `shape` begins with their number."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, index: np.ndarray) -> np.ndarray:
        """Return the rows numbered in `index` (M,), in its order: (M, *shape[1:])."""
        ...

    def place(self, row: int) -> str:
        """Name a row as a person would find it."""
        ...

    def soon(self, start: int, stop: int) -> None:
        """Tell the system that rows `start` to `stop` are wanted before long."""
        ...


class NpyRows:
    """The rows of one NPY file.

    Raises `UserError` naming the file where it is not an array of numbers, is cut short, or is stored column by column.
    """

    def __init__(self, path: Path, keep_open: bool = True) -> None:
        self.path, self._keep_open, self._handle = path, keep_open, -1
        try:
            with path.open("rb") as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, columns_first, self.dtype = read(file)
                self.shape: tuple[int, ...] = tuple(shape)
                self._start = file.tell()
            size = path.stat().st_size
        except (ValueError, EOFError, OSError, SyntaxError) as error:
            raise UserError(f"{path} is not a readable array ({error}); write it again") from None
        if self.dtype.hasobject or self.dtype.kind not in "buif":
            raise UserError(f"{path} has type {self.dtype}, not numbers; save numbers of one shape")
        count = next(iter(self.shape), 0)
        if count == 0:
            raise UserError(f"{path} holds no rows (its shape is {self.shape}); give at least one example")
        if columns_first and len(self.shape) > 1:
            raise UserError(
                f"{path} is stored column by column; save it row by row: np.save(…, np.ascontiguousarray(x))"
            )
        self.row_bytes = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
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

    def place(self, row: int) -> str:
        """Name a row."""
        return f"row {row}"

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
            got = os.preadv(handle, [view], offset)
            if got == 0:
                row = (offset - self._start) // self.row_bytes
                raise UserError(f"{self.path} became shorter while it was read: row {row:,} is missing")
            view, offset = view[got:], offset + got


class Shards:
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

    def _of(self, row: int) -> tuple[NpyRows, int]:
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.parts[number], row - int(self.starts[number])

    def place(self, row: int) -> str:
        """Name a row by its file and its number there."""
        part, own = self._of(row)
        return f"{part.path.name} row {own}"

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


class ImageRows:
    """The images of a folder, decoded when they are read; all of one size, or scaled and cropped to `size`."""

    dtype = np.dtype(np.uint8)

    def __init__(self, files: Sequence[Path], size: int | None) -> None:
        self.files, self.size = list(files), size
        some = [open_image(files[i], size) for i in np.linspace(0, len(files) - 1, min(len(files), 32)).astype(int)]
        grey = sum(picture.mode == "L" for picture in some)
        self.mode = "L" if 2 * grey >= len(some) else "RGB"
        self.extent = some[0].size
        self.shape = (len(files), 1 if self.mode == "L" else 3, self.extent[1], self.extent[0])

    def place(self, row: int) -> str:
        """Name an image by its file."""
        return str(self.files[row])

    def soon(self, start: int, stop: int) -> None:
        """Nothing: the system is not told about files."""

    def read(self, index: np.ndarray) -> np.ndarray:
        """Return decoded images, (M, C, H, W)."""
        out = np.empty((len(index), *self.shape[1:]), np.uint8)
        for i, row in enumerate(index.tolist()):
            picture = open_image(self.files[row], self.size)
            if picture.size != self.extent:
                sizes = f"{picture.width}×{picture.height}, {self.files[0].name} {self.extent[0]}×{self.extent[1]}"
                raise UserError(
                    f"{self.files[row]} differs in size ({sizes}); give size=N to scale and crop every image to N×N"
                )
            pixels = np.asarray(picture if picture.mode == self.mode else picture.convert(self.mode))
            out[i] = pixels if self.mode == "L" else np.moveaxis(pixels, 2, 0)
        return out


def shards_in(folder: Path) -> list[tuple[Path, Path | None]]:
    """Return the NPY files of a folder by name, each with its labels where it has any: `x-007.npy` and `y-007.npy`."""
    files = sorted(path for path in folder.glob("*.npy") if not path.name.startswith("."))
    if any(path.name.startswith("x") for path in files) and all(path.name[0] in "xy" for path in files):
        names = {path.name for path in files}
        values = [path for path in files if path.name.startswith("x")]
        twins = [f"y{path.name[1:]}" for path in values]
        odd = [path for path in files if path.name.startswith("y") and path.name not in twins]
        if odd:
            raise UserError(f"{odd[0]} holds labels, and there is no x{odd[0].name[1:]} beside it")
        labelled = [twin in names for twin in twins]
        if any(labelled) and not all(labelled):
            lacking = values[labelled.index(False)]
            raise UserError(f"{lacking} has no labels beside it, as other files here have; add y{lacking.name[1:]}")
        return [(path, folder / twin if has else None) for path, twin, has in zip(values, twins, labelled)]
    return [(path, None) for path in files]


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
        labels.append(own.read(np.arange(own.shape[0])))
    return Shards(parts), np.concatenate(labels) if labels else None


def open_images(folder: Path, size: int | None) -> dict[str, tuple[ImageRows, np.ndarray | None]]:
    """Return {split: (images, labels or None)} of a folder laid out as `read_image_folder` takes it."""
    out: dict[str, tuple[ImageRows, np.ndarray | None]] = {}
    for split, listed in list_splits(folder).items():
        names = [str(label) for _, label in listed]
        labels = None if listed[0][1] is None else np.array(names)
        out[split] = ImageRows([path for path, _ in listed], size), labels
    return out
