"""Graphs of files and in memory: checked, and numbered from 0."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.data.files import read_text
from vaekit.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RawGraphs:
    """Graphs packed one after another: `sizes` (G,), `edges` (E, 2) with i < j, features (N, F), node labels (N,).

    Features are float32, dense or sparse COO, or None where nodes have none.
    """

    name: str
    source: str
    sizes: np.ndarray
    edges: np.ndarray
    features: Tensor | None = None
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = field(default=(), repr=False)


def read_graphs(source: Any) -> RawGraphs:
    """Read graphs from a path, or from memory: a mapping of arrays, {node: neighbours}, a graph object, or lists.

    NPZ: `edges` (E, 2) with `nodes` or features to say how many nodes there are, or `sizes` (G,) of several graphs
    numbered through; or `adjacency` (G, N, N) with `mask` (G, N). Features: `features` (N, F), or `feature_rows`,
    `feature_cols`, `feature_shape` and maybe `feature_values`. `labels` (N,). Text: two columns, a line an edge.

    Raises:
        UserError: names the edge, node or entry that is not valid, and how to correct it.

    >>> read = read_graphs({"a": ["b", "c"], "b": ["a"], "c": ["a"], "d": []})
    >>> read.sizes.tolist(), read.edges.tolist(), read.names
    ([4], [[0, 1], [0, 2]], ('a', 'b', 'c', 'd'))
    """
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if not path.is_file():
            raise UserError(f"there is no file {path}; give an NPZ of edges or adjacencies, or a list of edges")
        return _npz(path) if path.suffix.lower() == ".npz" else _edge_list(path)
    if isinstance(source, Mapping) and {"edges", "adjacency"} & set(source):
        return _arrays({str(name): np.asarray(value) for name, value in source.items()}, "memory", "memory")
    if isinstance(source, Mapping) or hasattr(source, "adjacency"):
        return _joined([_neighbours(source, "the graph")])
    if isinstance(source, Sequence) and len(source):
        return _joined([_neighbours(each, f"graph {i}") for i, each in enumerate(source)])
    raise UserError(
        f"cannot read graphs from {type(source).__name__}; give a name, a path, arrays, or nodes with their neighbours"
    )


def _npz(path: Path) -> RawGraphs:
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            arrays = {
                name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
            }
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a readable NPZ of arrays ({error}); write it again") from None
    return _arrays(arrays, path.stem, str(path))


def _arrays(arrays: Mapping[str, np.ndarray], name: str, source: str) -> RawGraphs:
    """Read the arrays of one graph, of several packed ones, or of padded adjacencies."""
    if "adjacency" in arrays:
        sizes, edges = _unpadded(arrays["adjacency"], arrays.get("mask"), source)
    elif "edges" in arrays:
        sizes, edges = _sized(arrays, source)
    else:
        raise UserError(f"{source} has {', '.join(arrays) or 'nothing'}; graphs need 'edges' (E, 2) or 'adjacency'")
    total = int(sizes.sum())
    labels, classes = _labels(arrays.get("labels"), total, source)
    features = _features(arrays, sizes, source)
    checked = check_edges(edges, sizes, source, lambda row: f"{source}: edge {row}")
    return RawGraphs(name, source, sizes, checked, features, labels, classes)


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


def _unpadded(adjacency: np.ndarray, mask: np.ndarray | None, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Return sizes and packed edges of padded adjacencies (G, N, N); `mask` (G, N) says which rows are nodes."""
    a = adjacency[None] if adjacency.ndim == 2 else adjacency
    if a.ndim != 3 or a.shape[1] != a.shape[2] or not a.size:
        raise UserError(f"{source}: adjacency has shape {adjacency.shape}; give (graphs, N, N)")

    def refuse(fault: np.ndarray, problem: str) -> None:
        if fault.any():
            g, i, j = np.argwhere(fault)[0]
            raise UserError(f"{source}: " + problem.format(g=g, i=i, j=j, value=a[g, i, j]))

    if a.dtype.kind == "f":
        refuse(~np.isfinite(a), "the adjacency of graph {g} is {value} at ({i}, {j}); write 0 or 1")
    both = "the adjacency of graph {{g}} {} at ({{i}}, {{j}}); these graphs are undirected"
    refuse((a != 0) & (a != 1), both.format("is neither 0 nor 1"))
    refuse(a != a.swapaxes(1, 2), both.format("is not symmetric"))
    keep = np.ones(a.shape[:2], bool) if mask is None else np.asarray(mask).astype(bool).reshape(a.shape[:2])
    outside = (a != 0) & ~(keep[:, :, None] & keep[:, None, :])
    refuse(outside, "graph {g} joins {i} and {j}, and the mask says that one of them is not a node")
    sizes = keep.sum(1)
    if (sizes < 1).any():
        raise UserError(f"{source}: graph {int(np.argmin(sizes))} has no node; leave it out")
    number = np.cumsum(keep.ravel()).reshape(keep.shape) - 1
    g, i, j = np.nonzero(np.triu(a != 0))
    return sizes.astype(np.int64), np.stack([number[g, i], number[g, j]], 1)


def check_edges(edges: np.ndarray, sizes: np.ndarray, source: str, place: Callable[[int], str]) -> np.ndarray:
    """Return each edge once with i < j, in order; both directions of every edge may be listed, or one of each.

    `place` names an edge by its row.

    Raises:
        UserError: a node that is not there, an edge from a node to itself, between two graphs, or listed twice.
    """
    edges = np.asarray(edges, np.int64).reshape(-1, 2)
    total = int(sizes.sum())

    def refuse(fault: Any, what: str) -> None:
        if fault.any():
            row = int(np.argmax(fault))
            raise UserError(f"{place(row)} ({edges[row, 0]}, {edges[row, 1]}) {what}")

    refuse(((edges < 0) | (edges >= total)).any(1), f"names a node outside 0 … {total - 1}; number nodes from 0")
    refuse(edges[:, 0] == edges[:, 1], "joins a node to itself; leave such edges out")
    graph = np.repeat(np.arange(len(sizes)), sizes)
    refuse(graph[edges[:, 0]] != graph[edges[:, 1]], "joins two graphs; check the sizes")
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


def _edge_list(path: Path) -> RawGraphs:
    """Read two columns of nodes, numbers or names, parted by blanks, a comma or a tab; # begins a comment."""
    rows: list[tuple[int, str, str]] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        words = line.split("#")[0].replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        if len(words) != 2:
            raise UserError(f"{path}: line {number} has {len(words)} columns; write two nodes a line")
        rows.append((number, words[0], words[1]))
    numbers = [_number(a) and _number(b) for _, a, b in rows]
    if rows and not numbers[0] and all(numbers[1:]):
        rows = rows[1:]  # a header
    if not rows:
        raise UserError(f"{path} holds no edges; write two nodes a line")
    words = [word for row in rows for word in row[1:]]
    names: tuple[str, ...] = ()
    if all(_number(word) for word in words):
        edges = np.array([int(word) for word in words], np.int64).reshape(-1, 2)
        total = max(int(edges.max()) + 1, 1)
    else:
        if bad := next((r for r in rows if {r[1].lower(), r[2].lower()} & {"nan", "none", "null"}), None):
            raise UserError(f"{path}: line {bad[0]} names no node ({bad[1]}, {bad[2]}); leave it out")
        names = tuple(dict.fromkeys(words))
        place = {name: i for i, name in enumerate(names)}
        edges = np.array([place[word] for word in words], np.int64).reshape(-1, 2)
        total = len(names)
    checked = check_edges(edges, np.array([total]), str(path), lambda row: f"{path}: line {rows[row][0]}")
    return RawGraphs(path.stem, str(path), np.array([total]), checked, names=names)


def _number(word: str) -> bool:
    return word.lstrip("-").isdigit()


def _neighbours(source: Any, where: str) -> RawGraphs:
    """Read {node: neighbours}, or an object with `adjacency()` as networkx's graphs have."""
    pairs = source.items() if isinstance(source, Mapping) else getattr(source, "adjacency", lambda: None)()
    if pairs is None:
        raise UserError(f"{where} is {type(source).__name__}; give each node with its neighbours")
    table = {node: list(near) for node, near in pairs}
    if not table:
        raise UserError(f"{where} has no node; leave it out")
    place = {node: i for i, node in enumerate(table)}
    edges = set()
    for node, near in table.items():
        for other in near:
            if other not in place:
                raise UserError(f"{where}: {node!r} is joined to {other!r}, which is not listed as a node; list it too")
            if other == node:
                raise UserError(f"{where}: {node!r} is joined to itself; leave such edges out")
            edges.add((min(place[node], place[other]), max(place[node], place[other])))
    listed = np.array(sorted(edges), np.int64).reshape(-1, 2)
    return RawGraphs("memory", "memory", np.array([len(table)]), listed, names=tuple(str(node) for node in table))


def _joined(parts: Sequence[RawGraphs]) -> RawGraphs:
    sizes = np.concatenate([part.sizes for part in parts])
    starts = np.cumsum(sizes) - sizes
    edges = np.concatenate([part.edges + start for part, start in zip(parts, starts)])
    return RawGraphs("memory", "memory", sizes, edges, names=parts[0].names if len(parts) == 1 else ())
