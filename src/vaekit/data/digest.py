"""Keys of examples: 64 bits of a hash of what each holds, the same on every machine and however the data were brought.

A split is chosen by them (`vaekit.data.splits`), and a source is known again by them (`vaekit.data.contents`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import UserError

if TYPE_CHECKING:
    from vaekit.data.tables.frames import Cells, Frame

Keys = NDArray[np.uint64]
BLOCK = 1 << 22
"""Bytes of rows hashed together."""
FEW_TEXTS, GROUP = 64, 256
"""Columns of at most so many different texts are hashed in groups of so many."""
NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
"""A cell that is compared as a number: 1.0 is 1. One with leading zeros is text, 007 is not 7."""
LONGEST = 15
"""Digits of a whole number that a 64-bit float holds; longer ones are compared as text."""
_SIXTEEN = re.compile(rf"[+-]?\d{{{LONGEST + 1},}}")


def row_keys(x: np.ndarray) -> Keys:
    """Return a key for each row of numbers (N, …): of its bytes if all are whole from 0 to 255, else of its float32s.

    Equal values have equal keys, whatever the array's type and shape; which form a row has depends on it alone.

    >>> greys = np.arange(6).reshape(2, 3)
    >>> bool((row_keys(greys.astype(np.uint8)) == row_keys(greys.astype(np.float64).reshape(2, 1, 3))).all())
    True
    """
    flat = x.reshape(len(x), -1)
    rows = max(1, BLOCK // (4 * max(flat.shape[1], 1)))
    parts = [_block_keys(flat[start : start + rows]) for start in range(0, len(flat), rows)]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _block_keys(block: np.ndarray) -> Keys:
    if block.dtype.kind == "b" or block.dtype == np.uint8:
        return _hashed(block.astype(np.uint8, copy=False))
    with np.errstate(over="ignore", invalid="ignore"):
        values = block.astype("<f4") + np.float32(0)  # -0 is 0
        values[np.isnan(values)] = np.nan
        small = values.astype(np.uint8)
    whole = (small == values).all(1)
    if whole.all():
        return _hashed(small)
    keys = _hashed(values)
    keys[whole] = _hashed(small[whole])
    return keys


def _hashed(rows: np.ndarray) -> Keys:
    """Hash the bytes of each row."""
    data, width = memoryview(np.ascontiguousarray(rows).tobytes()), rows.shape[1] * rows.dtype.itemsize
    return _joined(data[start : start + width] for start in range(0, len(rows) * width, width))


def _joined(parts: Iterable[Any]) -> Keys:
    return np.frombuffer(b"".join(blake2b(part, digest_size=8).digest() for part in parts), "<u8").astype(np.uint64)


def array_keys(arrays: Iterable[np.ndarray]) -> Keys:
    """Return a key for each array, of its shape and its values as float32; NaN is NaN."""
    return _joined(_with_shape(one) for one in arrays)


def _with_shape(one: np.ndarray) -> bytes:
    with np.errstate(over="ignore", invalid="ignore"):  # invalid: a NaN that signals
        values = one.astype("<f4") + np.float32(0)
    values[np.isnan(values)] = np.nan
    return np.array(one.shape, "<i8").tobytes() + values.tobytes()


def text_keys(texts: Iterable[str]) -> Keys:
    """Return a key for each text."""
    return _joined(text.encode("utf-8", "surrogatepass") for text in texts)


def file_keys(files: Sequence[Path]) -> Keys:
    """Return a key for each file, of its bytes: the same wherever it lies, and whatever decodes it.

    Raises:
        UserError: one cannot be read.
    """
    out = bytearray()
    for file in files:
        try:
            with file.open("rb") as stream:
                out += file_digest(stream, lambda: blake2b(digest_size=8)).digest()
        except OSError as error:
            raise UserError(f"cannot read {file}: {error.strerror or error}; check its permissions") from None
    return np.frombuffer(bytes(out), "<u8").astype(np.uint64)


def frame_keys(frame: Frame) -> Keys:
    """Return a key for each row of a table, of its cells by the columns' names: the columns' order does not matter.

    Cells that are numbers are compared as numbers, so a CSV, a Parquet file and a data frame of equal values agree.
    """
    total = np.zeros(len(frame), np.uint64)
    for columns in _together(frame.columns):
        lengths = [len(cells.texts) for cells in columns]
        names = np.repeat(text_keys(cells.name for cells in columns), lengths)
        own = mixed(_cell_keys([text for cells in columns for text in cells.texts]), names)
        for cells, keys in zip(columns, np.split(own, np.cumsum(lengths)[:-1]), strict=True):
            total += np.append(keys, np.uint64(0))[cells.codes]  # the last for missing ones
    return mixed(total)


def _together(columns: Iterable[Cells]) -> Iterator[list[Cells]]:
    """Yield columns in groups: one of many different texts alone, others by the hundred, which costs each little."""
    group: list[Cells] = []
    for cells in columns:
        if len(cells.texts) > FEW_TEXTS:
            yield [cells]
            continue
        group.append(cells)
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group


def _cell_keys(texts: Sequence[str]) -> Keys:
    """Return a key for each text of a cell."""
    joined = "\n".join(texts)
    if re.fullmatch(r"[0-9.+\-eE\n]+", joined) and not re.search(r"(?m)^[+-]?(0\d|\d{16})", joined):
        try:
            return mixed((np.array(texts).astype("<f8") + 0.0).view(np.uint64))
        except ValueError:
            pass
    keys = text_keys(texts)
    plain = [i for i, text in enumerate(texts) if NUMBER.fullmatch(text) and not _SIXTEEN.match(text)]
    values = np.array([float(texts[i]) for i in plain], "<f8") + 0.0
    keys[plain] = mixed(values.view(np.uint64))
    return keys


def mixed(*keys: Any) -> Keys:
    """Return a hash of numbers of 64 bits, element by element (splitmix64's finaliser, chained).

    >>> mixed(np.arange(2, dtype=np.uint64), np.uint64(1)).tolist() != mixed(np.uint64(1), np.arange(2)).tolist()
    True
    """
    state = np.zeros(np.broadcast_shapes(*(np.shape(part) for part in keys)) or (1,), np.uint64)
    for part in keys:
        state = state + np.asarray(part).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state


def with_sums(n: int, row: np.ndarray, keys: Keys) -> Keys:
    """Return for each of `n` rows a key of those that are its own, whatever their order."""
    total = np.zeros(n, np.uint64)
    np.add.at(total, row, keys)
    return mixed(total)


def digest(keys: Keys) -> str:
    """Return 128 bits of BLAKE2b over the keys of examples, whatever their order, in hex.

    >>> keys = row_keys(np.arange(6).reshape(3, 2))
    >>> digest(keys) == digest(keys[::-1]), digest(keys) == digest(keys[:2])
    (True, False)
    """
    return blake2b(np.sort(keys).astype("<u8").tobytes(), digest_size=16).hexdigest()
