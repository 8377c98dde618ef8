"""Graphs of arrays: lists of edges, and adjacencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.data.arrays import as_floats
from vaekit.data.graphs.raw_graphs import RawGraphs, check_edges, strong
from vaekit.data.limits import check_size
from vaekit.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


NODE_BYTES = 32
"""What a node takes at least, whatever it has: its place, its graph, a degree and a code."""
WEIGHT_BYTES = 256
"""What a column of features takes of a model's weights."""
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
    if matrix.dtype.kind not in "buif" or not matrix.shape[0]:
        raise UserError(f"{source} is a sparse matrix of {matrix.dtype}, {matrix.shape}; give numbers, (N, N)")
    matrix = as_floats(matrix)
    if not np.isfinite(matrix.data).all():
        raise UserError(f"{source}: the adjacency has a value that is not finite; write 0 or 1, or weights")
    if matrix.nnz and abs(matrix - matrix.T).max() > TOLERANCE * abs(matrix).max():
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
        keep = _mask(arrays.get("mask"), adjacency.shape[:2], source)
        sizes, edges = _unpadded(adjacency, keep, source)
    elif "edges" in arrays:
        keep = None
        sizes, edges = _sized(arrays, source)
    else:
        raise UserError(f"{source} has {', '.join(arrays) or 'nothing'}; graphs need 'edges' (E, 2) or 'adjacency'")
    total = sum(map(int, sizes.tolist()))
    check_size(NODE_BYTES * total, source, packed=sum(array.nbytes for array in arrays.values()))
    labels, classes = _labels(arrays.get("labels"), total, source)
    features = _features(arrays, total, keep, source)
    checked = check_edges(edges, sizes, source, lambda row: f"{source}: edge {row}")
    return RawGraphs(name, source, sizes, checked, features, labels, classes, notes=notes)


def _sized(arrays: Mapping[str, np.ndarray], source: str) -> tuple[np.ndarray, np.ndarray]:
    edges = arrays["edges"]
    if edges.ndim != 2 or edges.shape[1] != 2:
        raise UserError(f"{source}: edges have shape {edges.shape}; give one row of two nodes an edge, (E, 2)")
    edges = _whole(edges, f"{source}: edges")
    if "sizes" in arrays:
        sizes = _whole(np.atleast_1d(arrays["sizes"]), f"{source}: sizes")
        if sizes.ndim != 1:
            raise UserError(f"{source}: sizes have shape {sizes.shape}; give one number a graph, (G,)")
        if not len(sizes) or sizes.min() < 1:
            raise UserError(f"{source}: sizes must be at least 1 a graph; leave empty graphs out")
        return sizes, edges
    for key in ("nodes", "feature_shape"):
        if key in arrays:
            counts = _whole(np.ravel(arrays[key]), f"{source}: {key}")
            if not len(counts) or counts[0] < 1:
                raise UserError(f"{source}: {key} says how many nodes there are, at least 1")
            return counts[:1], edges
    for key in ("features", "labels"):
        if key in arrays and arrays[key].ndim:
            return np.array([len(arrays[key])]), edges
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


def _mask(mask: np.ndarray | None, shape: tuple[int, ...], source: str) -> np.ndarray:
    """Return which rows of padded adjacencies are nodes, (G, N)."""
    if mask is None:
        return np.ones(shape, bool)
    if mask.dtype.kind not in "buif" or mask.size != shape[0] * shape[1] or not np.isin(mask, (0, 1)).all():
        raise UserError(f"{source}: mask has type {mask.dtype} and shape {mask.shape}; give 0 or 1, {shape}")
    return mask.astype(bool).reshape(shape)


def _unpadded(a: np.ndarray, keep: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Return sizes and packed edges of padded adjacencies (G, N, N); `keep` (G, N) says which rows are nodes."""
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
            row = int(np.argwhere(~np.isfinite(np.atleast_1d(values)))[0][0])
            raise UserError(f"{what}: row {row} is not a number; write whole numbers")
        if (values != np.round(values)).any() or (np.abs(values.astype(np.float64)) > 2**53).any():
            raise UserError(f"{what} are not whole numbers; number nodes from 0")
    elif values.dtype.kind not in "iub":
        raise UserError(f"{what} are {values.dtype}, not whole numbers; number nodes from 0")
    return values.astype(np.int64)


def _labels(values: np.ndarray | None, total: int, source: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if values is None:
        return None, ()
    if values.shape != (total,):
        raise UserError(f"{source}: labels have shape {values.shape}, and there are {total} nodes; give one a node")
    if values.dtype.kind not in "biufUS":
        raise UserError(f"{source}: labels have type {values.dtype}; give whole numbers or names")
    if values.dtype.kind == "f":
        values = _whole(values, f"{source}: labels")
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    names, numbers = np.unique(values, return_inverse=True)
    return numbers.astype(np.int64), tuple(str(name) for name in names)


def _features(arrays: Mapping[str, np.ndarray], total: int, keep: np.ndarray | None, source: str) -> Tensor | None:
    """Return nodes' features (N, F), dense or sparse; `keep` (G, N) says which rows of padded ones are nodes."""
    import torch  # not with the module: the known sets are listed without it

    if "features" in arrays:
        x = arrays["features"]
        padded = x.ndim == 3 and keep is not None and x.shape[:2] == keep.shape
        flat = x.reshape(keep.size, -1) if padded and keep is not None else x
        if flat.ndim != 2 or not flat.shape[1] or (not padded and len(x) != total):
            raise UserError(f"{source}: features have shape {x.shape}; give one row a node, ({total}, F)")
        if x.dtype.kind not in "buif":
            raise UserError(f"{source}: features have type {x.dtype}; give numbers")
        x, flat = as_floats(x, np.float32), as_floats(flat, np.float32)
        if not np.isfinite(flat).all():
            i, j = np.argwhere(~np.isfinite(flat))[0]
            raise UserError(f"{source}: feature {j} of node {i} is {flat[i, j]}; fill it in or leave the column out")
        x = x[keep] if padded else x
        return torch.from_numpy(x)
    if "feature_rows" not in arrays:
        return None
    for key in ("feature_cols", "feature_shape"):
        if key not in arrays:
            raise UserError(f"{source} has feature_rows without {key}; sparse features need both")
    rows, columns = (_whole(arrays[key], f"{source}: {key}") for key in ("feature_rows", "feature_cols"))
    shape = _whole(np.ravel(arrays["feature_shape"]), f"{source}: feature_shape").tolist()
    values = arrays.get("feature_values", np.ones(rows.shape))
    if len(shape) != 2 or shape[1] < 1 or {rows.ndim, columns.ndim, values.ndim} != {1}:
        raise UserError(f"{source}: feature_shape is (nodes, F), and rows, columns and values of features are (E,)")
    if values.dtype.kind not in "buif":
        raise UserError(f"{source}: feature_values have type {values.dtype}; give numbers")
    (count, width), values = shape, as_floats(values, np.float32)
    check_size(WEIGHT_BYTES * width, f"{source}: features of {width:,} columns")
    if count != total or not len(rows) == len(columns) == len(values):
        raise UserError(f"{source}: sparse features are of {count} nodes, and the graph has {total}; make them agree")
    bad = (rows < 0) | (rows >= total) | (columns < 0) | (columns >= width) | ~np.isfinite(values)
    if bad.any():
        at = int(np.argmax(bad))
        raise UserError(f"{source}: entry {at} of the features ({rows[at]}, {columns[at]}: {values[at]}) is not valid")
    index = torch.from_numpy(np.stack([rows, columns]))
    made = torch.sparse_coo_tensor(index, torch.from_numpy(values), (total, width), check_invariants=False)
    return made.coalesce()
