"""Keys of graphs, and of the edges of one graph: hashes of what they hold (`vaekit.data.digest`)."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from vaekit.data.digest import Keys, mixed, row_keys, text_keys, with_sums
from vaekit.data.graphs.raw_graphs import RawGraphs


def graph_keys(raw: RawGraphs) -> Keys:
    """Return a key for each graph, of its edges as its nodes are numbered, and its nodes' features and labels."""
    nodes = _node_keys(raw)
    starts = np.cumsum([0, *raw.sizes])
    owner = np.searchsorted(starts, raw.edges[:, 0], side="right") - 1
    edges = raw.edges - starts[owner][:, None]
    order = np.lexsort((edges[:, 1], edges[:, 0], owner))
    edges, ends = edges[order].astype("<i8"), np.searchsorted(owner[order], np.arange(len(raw.sizes) + 1))
    out = bytearray()
    for i in range(len(raw.sizes)):
        own = edges[ends[i] : ends[i + 1]].tobytes() + nodes[starts[i] : starts[i + 1]].astype("<u8").tobytes()
        out += blake2b(own, digest_size=8).digest()
    return np.frombuffer(bytes(out), "<u8").astype(np.uint64)


def _node_keys(raw: RawGraphs) -> Keys:
    """Return a key for each node, of its features and its label where it has them."""
    n = int(raw.sizes.sum())
    keys = np.ones(n, np.uint64)
    if raw.features is not None and raw.features.is_sparse:
        sparse = raw.features.coalesce()
        (row, column), values = sparse.indices().numpy(), sparse.values().numpy()
        keys = with_sums(n, row, mixed(column, row_keys(values[:, None])))
    elif raw.features is not None:
        keys = row_keys(raw.features.numpy())
    return keys if raw.labels is None else mixed(keys, np.asarray(raw.labels, np.int64))


def edge_keys(raw: RawGraphs) -> Keys:
    """Return a key for each edge of one graph: of its nodes' names if they have any, else of their numbers."""
    nodes = _nodes(raw)
    first, second = nodes[raw.edges[:, 0]], nodes[raw.edges[:, 1]]
    return mixed(np.minimum(first, second), np.maximum(first, second))


def whole_keys(raw: RawGraphs) -> Keys:
    """Return what tells one graph from another: the keys of its edges, and of its nodes with what is known of them."""
    return np.concatenate([edge_keys(raw), mixed(_nodes(raw), _node_keys(raw))])


def _nodes(raw: RawGraphs) -> Keys:
    n = int(raw.sizes[0])
    return text_keys(raw.names) if len(raw.names) == n else mixed(np.arange(n))
