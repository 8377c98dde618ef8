"""The order of an epoch: a function of its length, the seed and the epoch's number, so that resuming needs no state."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import torch
from torch import Tensor

_MASK = 2**64 - 1
GROUP = 64
"""Blocks shuffled together."""


def mix(*values: int) -> int:
    """Return a 63-bit hash of integers (splitmix64's finaliser, chained), so that near inputs give unrelated seeds.

    >>> mix(0, 1) != mix(1, 0)
    True
    """
    state = 0
    for value in values:
        state = (state + value + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


def some_rows(total: int, n: int) -> Tensor:
    """Return `n` of the numbers below `total`, (n,) int64 in order: a random subset, the same at every call.

    Those of a smaller n are among those of a larger one.

    >>> set(some_rows(100, 3).tolist()) <= set(some_rows(100, 5).tolist())
    True
    """
    return torch.randperm(total, generator=torch.Generator().manual_seed(0))[:n].sort().values


def epoch_order(n: int, seed: int, epoch: int) -> Tensor:
    """Return a permutation of 0 … n − 1 that depends on its arguments alone, so that resuming needs no state.

    >>> bool((epoch_order(5, 0, 1) == epoch_order(5, 0, 1)).all())
    True
    """
    return torch.randperm(n, generator=torch.Generator().manual_seed(mix(seed, epoch, 1)))


class BlockOrder:
    """An order for data on slow disks: blocks of neighbours in random order, shuffled within groups of `GROUP` blocks.

    A slice of it is a tensor of numbers, each of 0 … n − 1 once an epoch. Rows far apart meet in a batch only when
    their blocks fall in one group, so data sorted by class want either large groups or an exact shuffle. `soon(start,
    stop)` is told of each block of a group when the group before it is begun.

    >>> order = BlockOrder(10, 2, seed=0, epoch=0)
    >>> sorted(torch.cat([order[:4], order[4:10]]).tolist()) == list(range(10))
    True
    """

    def __init__(
        self,
        n: int,
        block: int,
        seed: int,
        epoch: int,
        soon: Callable[[int, int], None] | None = None,
        group: int = GROUP,
    ) -> None:
        self._n, self._block, self._soon, self._key = n, block, soon, (seed, epoch)
        blocks = torch.randperm(-(-n // block), generator=torch.Generator().manual_seed(mix(seed, epoch, 3)))
        sizes = (n - blocks * block).clamp(max=block)
        self._groups = blocks.split(group)
        self._ends = list(accumulate(int(part.sum()) for part in sizes.split(group)))
        self._kept: tuple[int, Tensor] | None = None

    def __getitem__(self, part: slice) -> Tensor:
        start, stop, _ = part.indices(self._n)
        pieces, first = [], 0
        for number, end in enumerate(self._ends):
            if end > start and first < stop:
                pieces.append(self._rows(number)[max(start - first, 0) : stop - first])
            first = end
        return torch.cat(pieces) if pieces else torch.empty(0, dtype=torch.int64)

    def _rows(self, number: int) -> Tensor:
        """Return a group's rows, shuffled."""
        if self._kept is None or self._kept[0] != number:
            rows = (self._groups[number].unsqueeze(1) * self._block + torch.arange(self._block)).flatten()
            rows = rows[rows < self._n]
            generator = torch.Generator().manual_seed(mix(*self._key, 4, number))
            self._kept = (number, rows[torch.randperm(len(rows), generator=generator)])
            if self._soon is not None and number + 1 < len(self._groups):
                for start in (self._groups[number + 1] * self._block).tolist():
                    self._soon(start, min(start + self._block, self._n))
        return self._kept[1]
