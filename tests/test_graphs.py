"""Batches of graphs: slices, selections and joins keep each graph's own nodes, edges and features."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from graph_toys import shuffled, some
from vaekit.graphs import Graphs


def whole(x: Graphs) -> Graphs:
    """The batch with every optional part filled."""
    labels = torch.arange(x.nodes)
    asked = torch.stack([x.starts, x.starts + 1], 1)
    return Graphs(
        x.sizes, x.edges, x.edges[::2], asked, x.features, labels, asked, torch.arange(len(x)) % 2 == 0, room=x.room
    )


def same(a: Graphs, b: Graphs) -> bool:
    names = ("sizes", "edges", "seen", "hidden", "labels", "asked", "answers")
    dense = [(p.to_dense() if p is not None and p.is_sparse else p) for p in (a.features, b.features)]
    parts: list[Any] = [(getattr(a, name), getattr(b, name)) for name in names] + [(dense[0], dense[1])]
    return all(torch.equal(p, q) if p is not None else q is None for p, q in parts)


@pytest.mark.parametrize("sparse", [False, True])
def test_taking_apart_and_joining_gives_the_batch_back(sparse: bool) -> None:
    x = whole(some((5, 3, 7, 1, 4)))
    if sparse:
        index = x.features.nonzero().T  # type: ignore[union-attr]
        values = x.features[index[0], index[1]]  # type: ignore[index]
        features = torch.sparse_coo_tensor(index, values, x.features.shape, check_invariants=False)  # type: ignore[union-attr]
        x = Graphs(x.sizes, x.edges, x.seen, x.hidden, features.coalesce(), x.labels, x.asked, x.answers)
    assert same(Graphs.cat([x[i] for i in range(5)]), x)
    assert same(Graphs.cat([x[:2], x[2:]]), x)
    assert same(x[torch.tensor([3, 1, 4])], Graphs.cat([x[3], x[1], x[4]]))
    assert same(x.index_select(0, torch.tensor([2, 2])), Graphs.cat([x[2], x[2]]))
    assert same(x[torch.tensor([False, True, False, True, True])], x[torch.tensor([1, 3, 4])])
    assert len(x[:0]) == 0 and x[:0].pad == 0


def test_dense_forms_hold_each_node_once() -> None:
    x = some((5, 3, 7))
    values = torch.arange(15.0).unsqueeze(1)
    dense = x.padded(values)
    assert dense.shape == (3, 7, 1) and torch.equal(x.packed(dense), values)
    assert x.mask.sum() == 15 and float(dense[~x.mask].abs().sum()) == 0
    assert x.roomy(9).padded(values).shape == (3, 9, 1)


def test_shuffling_keeps_edges_between_the_same_nodes() -> None:
    x = whole(some((5, 3)))
    order = torch.tensor([2, 0, 1, 4, 3, 7, 5, 6])
    y = shuffled(x, order)
    before = {frozenset(pair) for pair in x.edges.tolist()}
    after = {frozenset(order[pair].tolist()) for pair in y.edges}
    assert before == after and bool((y.edges[:, 0] < y.edges[:, 1]).all())
    assert torch.equal(y.labels, order)  # type: ignore[arg-type]
    asked = [frozenset(order[pair].tolist()) for pair in y.asked]  # type: ignore[union-attr]
    assert asked == [frozenset(pair) for pair in x.asked.tolist()]  # type: ignore[union-attr]


def test_only_the_first_axis_has_graphs() -> None:
    with pytest.raises(IndexError):
        some().index_select(1, torch.tensor([0]))
