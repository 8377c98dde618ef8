"""A batch of graphs: nodes and edges packed one graph after another, so that nothing is padded until it must be.

Graphs are undirected and simple: an edge joins two different nodes, and each unordered pair is stored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Graphs:
    """G graphs with N nodes and E edges in all. Node numbers run through the batch: the second graph's start at n_1.

    `sizes` (G,) int64, numbers of nodes. `edges` (E, 2) int64 with i < j, sorted by graph: the edges that are scored.
    `seen` (M, 2): the edges an encoder may look at; None: all of `edges`. `hidden` (H, 2): pairs that are not scored,
    whether joined or not (held out). `features` (N, F), dense or sparse COO, or None. `labels` (N,) int64 or None:
    the nodes' classes. `asked` (Q, 2) and `answers` (Q,): pairs to predict, and whether they are joined. `room`:
    the rows that a dense form has at least.

    >>> two = Graphs(torch.tensor([3, 2]), torch.tensor([[0, 1], [1, 2], [3, 4]]))
    >>> len(two), two.nodes, two.pad, two[1:].edges.tolist()
    (2, 5, 3, [[0, 1]])
    >>> two.index_select(0, torch.tensor([1, 0])).edges.tolist()
    [[0, 1], [2, 3], [3, 4]]
    """

    sizes: Tensor
    edges: Tensor
    seen: Tensor | None = None
    hidden: Tensor | None = None
    features: Tensor | None = None
    labels: Tensor | None = None
    asked: Tensor | None = None
    answers: Tensor | None = None
    room: int = 0

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def nodes(self) -> int:
        """The number of nodes in all, N."""
        return int(self.sizes.sum())

    @cached_property
    def pad(self) -> int:
        """The number of rows of a graph in a dense form: that of the largest graph, or `room`."""
        return max(int(self.sizes.max()) if len(self) else 0, self.room)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.sizes.device

    @cached_property
    def starts(self) -> Tensor:
        """The number of each graph's first node, (G,)."""
        return self.sizes.cumsum(0) - self.sizes

    @cached_property
    def graph_of(self) -> Tensor:
        """The graph of each node, (N,)."""
        return torch.repeat_interleave(torch.arange(len(self), device=self.device), self.sizes)

    @cached_property
    def slots(self) -> Tensor:
        """The row of each node in a dense form (G · pad, ...), (N,)."""
        local = torch.arange(self.nodes, device=self.device) - self.starts[self.graph_of]
        return self.graph_of * self.pad + local

    @cached_property
    def mask(self) -> Tensor:
        """Which rows of a dense form are nodes, (G, pad) bool."""
        return torch.arange(self.pad, device=self.device) < self.sizes.unsqueeze(1)

    def padded(self, values: Tensor) -> Tensor:
        """Return node values (N, ...) as (G, pad, ...), zero where there is no node."""
        out = values.new_zeros(len(self) * self.pad, *values.shape[1:])
        return out.index_copy(0, self.slots, values).unflatten(0, (len(self), self.pad))

    def packed(self, dense: Tensor) -> Tensor:
        """Return the rows of (G, pad, ...) that are nodes, (N, ...)."""
        return dense.flatten(0, 1).index_select(0, self.slots)

    def local(self, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the graph (E,) of packed pairs (E, 2), and both nodes' numbers within it."""
        graph = self.graph_of[pairs[:, 0]]
        inside = pairs - self.starts[graph].unsqueeze(1)
        return graph, inside[:, 0], inside[:, 1]

    # -- parts of a batch -------------------------------------------------------------------------------------------

    def __getitem__(self, rows: Any) -> Graphs:
        if isinstance(rows, Tensor):
            index = rows.nonzero().squeeze(1) if rows.dtype == torch.bool else rows
        else:
            index = torch.arange(len(self))[rows if isinstance(rows, slice) else [rows]]
        return self.index_select(0, index)

    def index_select(self, dim: int, index: Tensor) -> Graphs:
        """Return the graphs at `index` (M,), in that order; `dim` is 0."""
        if dim != 0:
            raise IndexError("graphs are selected along axis 0")
        index = index.to(self.device)
        if len(index) == len(self) and bool((index == torch.arange(len(self), device=self.device)).all()):
            return self
        sizes = self.sizes[index]
        old = _spans(self.starts[index], sizes)
        shift = (sizes.cumsum(0) - sizes) - self.starts[index]
        answers = None
        if self.asked is not None and self.answers is not None:
            answers = self.answers[self._rows(self.asked, index)[0]]
        return Graphs(
            sizes,
            *(self._moved(part, index, shift) for part in (self.edges, self.seen, self.hidden)),  # type: ignore[arg-type]
            features=None if self.features is None else self.features.index_select(0, old),
            labels=None if self.labels is None else self.labels[old],
            asked=self._moved(self.asked, index, shift),
            answers=answers,
            room=self.room,
        )

    def _rows(self, pairs: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return which pairs belong to the graphs at `index`, graph by graph, and how many each has."""
        counts = torch.bincount(self.graph_of[pairs[:, 0]], minlength=len(self))
        return _spans((counts.cumsum(0) - counts)[index], counts[index]), counts[index]

    def _moved(self, pairs: Tensor | None, index: Tensor, shift: Tensor) -> Tensor | None:
        if pairs is None:
            return None
        rows, counts = self._rows(pairs, index)
        return pairs[rows] + torch.repeat_interleave(shift, counts).unsqueeze(1)

    def to(self, device: Any, non_blocking: bool = False) -> Graphs:
        """Return the batch with its tensors on `device`."""
        parts = {name: value for name, value in vars(self).items() if name in _TENSORS and isinstance(value, Tensor)}
        if all(value.device == torch.device(device) for value in parts.values()):
            return self
        return replace(self, **{name: value.to(device, non_blocking=non_blocking) for name, value in parts.items()})

    def float(self) -> Graphs:
        """Return the batch itself: its numbers are as models take them."""
        return self

    def roomy(self, room: int) -> Graphs:
        """Return the batch with at least `room` rows a graph in its dense form: no number may change by it."""
        return replace(self, room=room)

    def share(self, rows: Any) -> Graphs:
        """Return the part of a batch that one of several processes takes: as roomy as the whole, so draws fit it."""
        return self[rows].roomy(self.pad)

    @staticmethod
    def cat(graphs: Sequence[Graphs]) -> Graphs:
        """Return the graphs of several batches as one; they must have the same parts."""
        starts, total = [], 0
        for part in graphs:
            starts.append(total)
            total += part.nodes
        merged: dict[str, Any] = {}
        for name in _TENSORS:
            values = [getattr(part, name) for part in graphs]
            if any(value is None for value in values):
                merged[name] = None
                continue
            shifts = starts if name in _PAIRS else [0] * len(values)
            merged[name] = torch.cat([value + shift if shift else value for value, shift in zip(values, shifts)])
        return Graphs(**merged, room=max((part.room for part in graphs), default=0))


_TENSORS = ("sizes", "edges", "seen", "hidden", "features", "labels", "asked", "answers")
_PAIRS = ("edges", "seen", "hidden", "asked")


def _spans(starts: Tensor, counts: Tensor) -> Tensor:
    """Return starts[0] … starts[0] + counts[0] − 1, then the next span, and so on."""
    before = counts.cumsum(0) - counts
    return torch.arange(int(counts.sum()), device=counts.device) + torch.repeat_interleave(starts - before, counts)
