"""Graphs of arrays: lists of edges, and adjacencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.data.graphs.raw_graphs import RawGraphs, check_edges, strong
from vaekit.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


TOLERANCE = 1e-6
"""How far, relative to the largest weight, the two directions of an edge may differ by rounding."""


def from_array(x: np.ndarray, name: str, source: str, threshold: float | None = None) -> RawGraphs:
    """Read adjacencies (N, N) or (graphs, N, N), or edges (E, 2) or (2, E).

    >>> from_array(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]), "a", "a").edges.tolist()
    [[0, 1], [1, 2]]
    """
    if x.ndim == 2 and x.shape[0] != x.shape[1] and 2 in x.shape:
        return from_arrays({"edges": x if x.shape[1] == 2 else x.T}, name, source)
    if x.ndim not in (2, 3) or x.shape[-1] != x.shape[-2]:
        raise UserError(
            f"{source} has shape {x.shape}; graphs are adjacencies (N, N) or (graphs, N, N), or edges (E, 2)"
        )
    return from_arrays({"adjacency": x}, name, source, threshold)


def from_sparse(matrix: Any, name: str, source: str, threshold: float | None = None) -> RawGraphs:
    """Read one graph's adjacency, a scipy sparse matrix (N, N)."""
    if len(set(matrix.shape)) > 1:
        raise UserError(f"{source} has shape {matrix.shape}; the adjacency of a graph is (N, N)")
    if abs(matrix - matrix.T).max() > TOLERANCE * abs(matrix).max():
        raise UserError(f"{source}: the adjacency is not symmetric; these graphs are undirected")
    upper = matrix.tocoo()
    above = (upper.row < upper.col) & (upper.data != 0)
    keep, notes = strong(np.asarray(upper.data[above], np.float64), threshold)
    edges = np.stack([upper.row[above][keep], upper.col[above][keep]], 1)
    size = np.array([matrix.shape[0]])
    return RawGraphs(name, source, size, check_edges(edges, size, source, lambda row: source), notes=notes)


def from_arrays(arrays: Mapping[str, np.ndarray], name: str, source: str, threshold: float | None = None) -> RawGraphs:
    """Read the arrays of one graph, of several packed ones, or of padded adjacencies."""
    notes: tuple[str, ...] = ()
    if "adjacency" in arrays:
        adjacency, notes = _joined(arrays["adjacency"], source, threshold)
        sizes, edges = _unpadded(adjacency, arrays.get("mask"), source)
    elif "edges" in arrays:
        sizes, edges = _sized(arrays, source)
    else:
        raise UserError(f"{source} has {', '.join(arrays) or 'nothing'}; graphs need 'edges' (E, 2) or 'adjacency'")
    total = int(sizes.sum())
    labels, classes = _labels(arrays.get("labels"), total, source)
    features = _features(arrays, sizes, source)
    checked = check_edges(edges, sizes, source, lambda row: f"{source}: edge {row}")
    return RawGraphs(name, source, sizes, checked, features, labels, classes, notes=notes)


def _sized(arrays: Mapping[str, np.ndarray], source: str) -> tuple[np.ndarray, np.ndarray]:
    edges = arrays["edges"]
    if edges.ndim != 2 or edges.shape[1] != 2:
        raise UserError(f"{source}: edges have shape {edges.shape}; give one row of two nodes an edge, (E, 2)")
    edges = _whole(edges, f"{source}: edges")
    if "sizes" in arrays:
        sizes = _whole(np.atleast_1d(arrays["sizes"]), f"{source}: sizes")
        if not len(sizes) or sizes.min() < 1:
            raise UserError(f"{source}: sizes must be at least 1 a graph; leave empty graphs out")
        return sizes, edges
    for key, axis in (("nodes", None), ("feature_shape", None), ("features", 0), ("labels", 0)):
        if key in arrays:
            value = arrays[key]
            return np.array([int(value.shape[0] if axis == 0 else np.ravel(value)[0])]), edges
    if not len(edges):
        raise UserError(f"{source} has no edges; give a graph with some")
    return np.array([int(edges.max()) + 1]), edges


def _joined(adjacency: np.ndarray, source: str, threshold: float | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return adjacencies (G, N, N) as 0 and 1, and what is to be said of their weights."""
    a = adjacency[None] if adjacency.ndim == 2 else adjacency
    if a.ndim != 3 or a.shape[1] != a.shape[2] or not a.size:
        raise UserError(f"{source}: adjacency has shape {adjacency.shape}; give (graphs, N, N)")
    if a.dtype.kind not in "buif":
        raise UserError(f"{source}: the adjacency has type {a.dtype}, not numbers; write 0 or 1, or weights")
    _refuse(a, ~np.isfinite(a), source, "the adjacency of graph {g} is {value} at ({i}, {j}); write 0 or 1")
    other = a.swapaxes(1, 2)
    odd = np.abs(a - other) > TOLERANCE * np.abs(a).max() if a.dtype.kind == "f" else a != other
    _refuse(a, odd, source, "the adjacency of graph {g} is not symmetric at ({i}, {j}); these graphs are undirected")
    if bool(((a == 0) | (a == 1)).all()):
        return a, ()
    a = a.copy()
    a[:, np.arange(a.shape[1]), np.arange(a.shape[1])] = 0  # a node's weight with itself, as correlations have it
    i, j = np.triu_indices(a.shape[1], 1)
    weights = a[:, i, j]
    keep, notes = strong(weights[weights != 0], threshold)
    share = keep.sum() / max(weights.size, 1)
    if threshold is None and notes and share > 0.5:
        raise UserError(
            f"{source}: the adjacency has weights, and {share:.0%} of all pairs are not 0; set data.threshold=W, and "
            "pairs of a weight of W or more are edges"
        )
    return (a != 0 if threshold is None else np.abs(a) >= threshold).astype(np.uint8), notes


def _refuse(a: np.ndarray, fault: np.ndarray, source: str, problem: str) -> None:
    if fault.any():
        g, i, j = np.argwhere(fault)[0]
        raise UserError(f"{source}: " + problem.format(g=g, i=i, j=j, value=a[g, i, j]))


def _unpadded(a: np.ndarray, mask: np.ndarray | None, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Return sizes and packed edges of padded adjacencies (G, N, N); `mask` (G, N) says which rows are nodes."""
    keep = np.ones(a.shape[:2], bool) if mask is None else np.asarray(mask).astype(bool).reshape(a.shape[:2])
    outside = (a != 0) & ~(keep[:, :, None] & keep[:, None, :])
    _refuse(a, outside, source, "graph {g} joins {i} and {j}, and the mask says that one of them is not a node")
    sizes = keep.sum(1)
    if (sizes < 1).any():
        raise UserError(f"{source}: graph {int(np.argmin(sizes))} has no node; leave it out")
    number = np.cumsum(keep.ravel()).reshape(keep.shape) - 1
    g, i, j = np.nonzero(np.triu(a != 0))
    return sizes.astype(np.int64), np.stack([number[g, i], number[g, j]], 1)


def _whole(values: np.ndarray, what: str) -> np.ndarray:
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            raise UserError(f"{what}: row {row} is not a number; write whole numbers")
        if (values != np.round(values)).any():
            raise UserError(f"{what} are not whole numbers; number nodes from 0")
    elif values.dtype.kind not in "iub":
        raise UserError(f"{what} are {values.dtype}, not whole numbers; number nodes from 0")
    return values.astype(np.int64)


def _labels(values: np.ndarray | None, total: int, source: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if values is None:
        return None, ()
    if values.shape != (total,):
        raise UserError(f"{source}: labels have shape {values.shape}, and there are {total} nodes; give one a node")
    if values.dtype.kind == "f":
        values = _whole(values, f"{source}: labels")
    names, numbers = np.unique(values, return_inverse=True)
    return numbers.astype(np.int64), tuple(str(name) for name in names)


def _features(arrays: Mapping[str, np.ndarray], sizes: np.ndarray, source: str) -> Tensor | None:
    import torch  # not with the module: the known sets are listed without it

    total = int(sizes.sum())
    if "features" in arrays:
        x = np.asarray(arrays["features"])
        flat = x.reshape(-1, x.shape[-1]) if x.ndim == 3 and "adjacency" in arrays else x
        if flat.ndim != 2 or (x.ndim == 2 and len(x) != total):
            raise UserError(f"{source}: features have shape {x.shape}; give one row a node, ({total}, F)")
        if not np.isfinite(flat.astype(np.float64)).all():
            i, j = np.argwhere(~np.isfinite(flat.astype(np.float64)))[0]
            raise UserError(f"{source}: feature {j} of node {i} is {flat[i, j]}; fill it in or leave the column out")
        x = x[np.arange(x.shape[1]) < sizes[:, None]] if x.ndim == 3 else x
        return torch.from_numpy(x.astype(np.float32))
    if "feature_rows" not in arrays:
        return None
    for key in ("feature_cols", "feature_shape"):
        if key not in arrays:
            raise UserError(f"{source} has feature_rows without {key}; sparse features need both")
    rows, columns = (_whole(arrays[key], f"{source}: {key}") for key in ("feature_rows", "feature_cols"))
    count, width = (int(n) for n in arrays["feature_shape"])
    values = np.asarray(arrays.get("feature_values", np.ones(len(rows))), np.float32)
    if count != total or not len(rows) == len(columns) == len(values):
        raise UserError(f"{source}: sparse features are of {count} nodes, and the graph has {total}; make them agree")
    bad = (rows < 0) | (rows >= total) | (columns < 0) | (columns >= width) | ~np.isfinite(values)
    if bad.any():
        at = int(np.argmax(bad))
        raise UserError(f"{source}: entry {at} of the features ({rows[at]}, {columns[at]}: {values[at]}) is not valid")
    index = torch.from_numpy(np.stack([rows, columns]))
    made = torch.sparse_coo_tensor(index, torch.from_numpy(values), (total, width), check_invariants=False)
    return made.coalesce()
