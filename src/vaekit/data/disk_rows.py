"""Rows of data larger than memory: they stay on disk, and stand in a split where a tensor would.

Each batch is checked as it is read, and a row that breaks what a sample promised is named. Splits, order and noise are
those of the same data in memory, for the same seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.disk import Rows
from vaekit.data.preprocessing import greys_of, not_binary, not_counts, not_greys, not_unit, not_whole_greys
from vaekit.data.raw import Part, Raw, check
from vaekit.data.shuffling import BlockOrder, epoch_order

EXACT_MOST = 1 << 25
"""Rows above which shuffle=auto is by blocks: a permutation takes 8 bytes a row."""


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
        # The i-th row that is kept is i plus the number of rows before it that are left out.
        return index + np.searchsorted(self.left_out - np.arange(len(self.left_out)), index, side="right")


@dataclass(frozen=True)
class Stored:
    """From rows as they lie on disk to stored rows as data in memory are; what does not fit is refused by its row.

    Greys that lie there as floats are whole numbers 0 … 255 (`whole`) or i/255.
    """

    source: str
    kind: str
    levels: int | None
    dtype: torch.dtype
    whole: bool = False

    def __call__(self, x: np.ndarray, place: Callable[[int], str]) -> Tensor:
        """Return a batch (M, *shape), uint8 or float32."""
        part = Part(x)
        raw = Raw("rows", self.source, part, levels=self.levels, named=place)
        check(raw)
        values = part.x
        if self.dtype == torch.uint8:
            return torch.from_numpy(np.ascontiguousarray(self._greys(raw, values)))
        promised = "as the rows read first had it; give every row values of one kind"
        if self.kind in ("unit", "binary"):
            raw.refuse(not_unit, f"is {{value}}, outside [0, 1], not {promised}")
        if self.kind == "counts":
            raw.refuse(not_counts, f"is {{value}}, not a count, {promised}")
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))

    def _greys(self, raw: Raw, x: np.ndarray) -> np.ndarray:
        levels = self.levels or 256
        if levels == 2 and x.dtype != np.uint8:
            raw.refuse(not_binary, "is {value}, and the rows read first had 0 and 1 alone; give one kind")
            return x.astype(np.uint8)
        if x.dtype == np.uint8:
            if levels < 256:
                problem = f"is {{value}}, and the rows read first had {levels} levels; give one kind"
                raw.refuse(lambda x: x >= levels, problem)
            return x
        if self.whole:
            raw.refuse(not_whole_greys, "is {value}, not one of the whole greys 0 … 255 that the rows read first had")
            return x.astype(np.uint8)
        raw.refuse(not_greys, "is {value}, not one of the 256 greys i/255 that the rows read first had; give uint8")
        return greys_of(x).astype(np.uint8)


class DiskRows:
    """A split's examples on disk, in place of the tensor of a split in memory: length, slices, `index_select`.

    `sample` holds some of them, (M, *shape), for statistics.
    """

    device = torch.device("cpu")

    def __init__(self, rows: Rows, held: Held, stored: Stored, sample: Tensor, shuffle: str) -> None:
        self.source, self.held, self.stored, self.sample = rows, held, stored, sample
        self.shape = torch.Size([len(held), *sample.shape[1:]])
        self.dtype = sample.dtype
        self.block = max(1, (1 << 20) // max(rows.row_bytes, 1))
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

    def to(self, device: torch.device | str) -> DiskRows:
        """Return itself: batches are moved, not the source."""
        return self

    def order(self, seed: int, epoch: int) -> Tensor | BlockOrder:
        """Return the epoch's order: the permutation that data in memory have, or one by blocks."""
        if self.blocks:
            return BlockOrder(len(self), self.block, seed, epoch, self._soon)
        return epoch_order(len(self), seed, epoch)

    def _soon(self, start: int, stop: int) -> None:
        first, last = self.held.rows(np.array([start, stop - 1])).tolist()
        self.source.soon(first, last + 1)
