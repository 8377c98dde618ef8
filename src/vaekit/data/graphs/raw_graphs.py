"""Graphs as read: packed, numbered from 0, each edge once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RawGraphs:
    """Graphs packed one after another: `sizes` (G,), `edges` (E, 2) with i < j, features (N, F), node labels (N,).

    Features are float32, dense or sparse COO, or None where nodes have none. `notes`: what of the
    source is not used.
    """

    name: str
    source: str
    sizes: np.ndarray
    edges: np.ndarray
    features: Tensor | None = None
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

    def renumbered(self, names: Sequence[str]) -> RawGraphs:
        """Return one graph with its nodes in the order of `names`; those that it has not are nodes without an edge.

        Raises:
            UserError: it has a node of another name.
        """
        place = {name: i for i, name in enumerate(names)}
        other = next((name for name in self.names if name not in place), None)
        if other is not None:
            raise UserError(f"{self.source} has a node '{other}', and this run's graph has none of that name")
        number = np.array([place[name] for name in self.names], np.int64)
        edges = np.sort(number[self.edges], 1)
        return replace(
            self,
            sizes=np.array([len(names)]),
            edges=edges[np.lexsort(edges.T[::-1])],
            features=None,
            labels=None if self.labels is None or len(number) < len(names) else self.labels[np.argsort(number)],
            names=tuple(names),
        )


def check_edges(edges: np.ndarray, sizes: np.ndarray, source: str, place: Callable[[int], str]) -> np.ndarray:
    """Return each edge once with i < j, in order; both directions of every edge may be listed, or one of each.

    `place` names an edge by its row.

    Raises:
        UserError: a node that is not there, an edge from a node to itself, between two graphs, or listed twice.
    """
    edges = np.asarray(edges, np.int64).reshape(-1, 2)
    ends = np.cumsum(sizes)
    total = int(ends[-1])

    def refuse(fault: Any, what: str) -> None:
        if fault.any():
            row = int(np.argmax(fault))
            raise UserError(f"{place(row)} ({edges[row, 0]}, {edges[row, 1]}) {what}")

    refuse(((edges < 0) | (edges >= total)).any(1), f"names a node outside 0 … {total - 1}; number nodes from 0")
    refuse(edges[:, 0] == edges[:, 1], "joins a node to itself; leave such edges out")
    graph = np.searchsorted(ends, edges, side="right")
    refuse(graph[:, 0] != graph[:, 1], "joins two graphs; check the sizes")
    _, number, counts = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    refuse(counts[number.reshape(-1)] > 1, "is listed twice; leave one out")
    once, counts = np.unique(np.sort(edges, 1), axis=0, return_counts=True)
    if (counts > 1).any() and not (counts == 2).all():
        i, j = once[counts > 1][0]
        raise UserError(
            f"{source}: the edge ({i}, {j}) is listed in both directions and others in one; list each "
            "edge once, or every edge both ways"
        )
    return once


def strong(weights: np.ndarray, threshold: float | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return which weights (E,) make an edge, and what is to be said of them: an edge is there or not.

    Those that are not 0 do, or with a `threshold` those of at least that size, whatever their sign.
    """
    size = np.abs(weights)
    keep = size > 0 if threshold is None else size >= threshold
    if threshold is not None:
        kept = f"{int(keep.sum()):,} of {len(keep):,} edges have a weight of {threshold:g} or more, and are kept"
        return keep, (f"{kept}; weights themselves are not modelled",)
    if not len(size) or size.min() == size.max():
        return keep, ()
    return keep, ("weights are not modelled: an edge is there or not; data.threshold=W leaves out those below W",)
