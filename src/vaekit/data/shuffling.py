"""The order of an epoch: a function of its length, the seed and the epoch's number, so that resuming needs no state."""

from __future__ import annotations

from collections.abc import Callable

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
        self._n, self._block, self._group, self._soon = n, block, group, soon
        self._key = (seed, epoch)
        count = -(-n // block)
        self._blocks = torch.randperm(count, generator=torch.Generator().manual_seed(mix(seed, epoch, 3)))
        sizes = torch.full((count,), block)
        if count:
            sizes[-1] = n - (count - 1) * block
        ends = sizes[self._blocks].cumsum(0)[group - 1 :: group].tolist()
        self._ends = [*ends, n] if not ends or ends[-1] != n else ends
        self._told = -1
        self._kept: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return self._n

    def to(self, device: object) -> BlockOrder:
        """Return itself: an order stays on the CPU."""
        return self

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
            spans = [torch.arange(*self._span(b)) for b in self._blocks_of(number)]
            rows = torch.cat(spans)
            generator = torch.Generator().manual_seed(mix(*self._key, 4, number))
            self._kept = (number, rows[torch.randperm(len(rows), generator=generator)])
            self._tell(number + 1)
        return self._kept[1]

    def _blocks_of(self, number: int) -> list[int]:
        return self._blocks[number * self._group : (number + 1) * self._group].tolist()

    def _span(self, block: int) -> tuple[int, int]:
        return block * self._block, min((block + 1) * self._block, self._n)

    def _tell(self, number: int) -> None:
        if self._soon is None or number <= self._told or number >= len(self._ends):
            return
        self._told = number
        for block in self._blocks_of(number):
            self._soon(*self._span(block))
