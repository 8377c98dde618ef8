"""Graphs of files and in memory: checked, and numbered from 0."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.arrays import as_array
from vaekit.data.csv_files import check_names
from vaekit.data.files import read_bytes
from vaekit.data.graphs.edge_lists import from_rows, read_edge_list
from vaekit.data.graphs.graph_arrays import from_array, from_arrays, from_sparse
from vaekit.data.graphs.graph_objects import from_objects, read_markup
from vaekit.data.graphs.raw_graphs import RawGraphs
from vaekit.data.npy_files import npz_arrays, parse_npy, sparse_matrix
from vaekit.data.paths import exists
from vaekit.errors import UserError


def read_graphs(source: Any, threshold: float | None = None) -> RawGraphs:
    """Read graphs from a path, or from memory: arrays, {node: neighbours}, a graph of networkx, or lists of these.

    NPZ: `edges` (E, 2) with `nodes` or features to say how many nodes there are, or `sizes` (G,) of several graphs
    numbered through; or `adjacency` (G, N, N) with `mask` (G, N). Features: `features` (N, F), or `feature_rows`,
    `feature_cols`, `feature_shape` and maybe `feature_values`. `labels` (N,). A sparse matrix that scipy saved is one
    adjacency. NPY: adjacencies (N, N) or (G, N, N), or edges (E, 2). GraphML and GML. Text: a line an edge.

    An edge is there or not: weights only say which edges are (`threshold`, see `raw_graphs.strong`). What of a source
    is not used is said in a warning.

    Raises:
        UserError: names the edge, node or entry that is not valid, and how to correct it.

    >>> read = read_graphs({"a": ["b", "c"], "b": ["a"], "c": ["a"], "d": []})
    >>> read.sizes.tolist(), read.edges.tolist(), read.names
    ([4], [[0, 1], [0, 2]], ('a', 'b', 'c', 'd'))
    """
    raw = _file(source, threshold) if isinstance(source, str | Path) else _memory(source, threshold)
    if raw.notes:
        warnings.warn(f"{raw.source}: {'; '.join(raw.notes)}", stacklevel=3)
    return raw


def _file(source: str | Path, threshold: float | None) -> RawGraphs:
    path = Path(source).expanduser()
    if not exists(path) or path.is_dir():
        raise UserError(f"there is no file {path}; give an NPZ of edges or adjacencies, or a list of edges")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _npz(path, threshold)
    if suffix == ".npy":
        return from_array(parse_npy(read_bytes(path), path), path.stem, str(path), threshold)
    return read_markup(path, threshold) if suffix in (".graphml", ".gml") else read_edge_list(path, threshold)


def _memory(source: Any, threshold: float | None) -> RawGraphs:
    where = ("memory", "memory")
    if hasattr(source, "tocoo"):
        return from_sparse(source, *where, threshold)
    if isinstance(source, np.ndarray) or hasattr(source, "detach"):
        return from_array(as_array(source, "graphs"), *where, threshold)
    if hasattr(source, "columns"):  # a data frame
        header = [str(name) for name in source.columns]
        check_names(header, "the data frame")
        rows = zip(*([str(cell) for cell in source[name]] for name in source.columns))
        return from_rows([(i, list(row)) for i, row in enumerate(rows, start=1)], header, *where, threshold)
    if isinstance(source, Mapping) and {"edges", "adjacency"} & set(source):
        arrays = {str(name): as_array(value, f"memory: {name}") for name, value in source.items() if value is not None}
        return from_arrays(arrays, *where, threshold)
    if isinstance(source, Mapping) or hasattr(source, "adjacency") or hasattr(source, "edge_index"):
        return from_objects([source], *where, threshold)
    if isinstance(source, Sequence) and len(source):
        if all(isinstance(each, tuple) and len(each) in (2, 3) for each in source):
            return from_rows(
                [(i, [str(part) for part in each]) for i, each in enumerate(source)], None, *where, threshold
            )
        return from_objects(source, *where, threshold)
    raise UserError(
        f"cannot read graphs from {type(source).__name__}; give a name, a path, arrays, or nodes with their neighbours"
    )


def _npz(path: Path, threshold: float | None) -> RawGraphs:
    arrays, _ = npz_arrays(read_bytes(path), path)
    if "format" in arrays and "shape" in arrays:  # as scipy saves a sparse matrix
        return from_sparse(sparse_matrix(arrays, path), path.stem, str(path), threshold)
    return from_arrays(arrays, path.stem, str(path), threshold)
