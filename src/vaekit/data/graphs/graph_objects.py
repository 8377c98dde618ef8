"""Graphs in memory: {node: neighbours}, networkx's graphs, and the GraphML and GML files that networkx reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.arrays import as_array
from vaekit.data.csv_files import LABEL_COLUMNS
from vaekit.data.files import in_short, read_text
from vaekit.data.graphs.graph_arrays import from_arrays
from vaekit.data.graphs.raw_graphs import RawGraphs, strong
from vaekit.data.limits import check_count
from vaekit.data.number_forms import number_of
from vaekit.errors import UserError, optional

LABELS = (*LABEL_COLUMNS, "y")
FEATURES = ("features", "x")
MOST_GML = 3_000_000
"""Letters of a GML file, of which networkx reads about a million a second."""


def read_markup(path: Path, threshold: float | None = None) -> RawGraphs:
    """Read the graphs of a GraphML or GML file.

    Raises:
        UserError: networkx is not installed, or the file is not valid, or declares entities of its own.
    """
    networkx = optional("networkx", "GraphML and GML files need the package networkx: pip install 'vaekit[graphs]'")
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities can be made to expand without end
        raise UserError(f"{path} declares a document type; take the line <!DOCTYPE …> out of it")
    gml = path.suffix.lower() == ".gml"
    if gml:
        check_count(len(text), MOST_GML, "letters", path)
    try:
        if gml:
            named = text.count("label") >= text.count("node")
            graphs = [networkx.parse_gml(text, label="label" if named else "id")]
        else:
            graphs = list(networkx.readwrite.graphml.GraphMLReader()(string=text))
    except Exception as error:  # networkx raises whatever it meets
        raise UserError(f"{path} is not a readable graph ({in_short(error)}); write it again") from None
    return from_objects(graphs, path.stem, str(path), threshold)


def from_objects(graphs: Sequence[Any], name: str, source: str, threshold: float | None = None) -> RawGraphs:
    """Read graphs that are {node: neighbours}, adjacencies, or objects as those of networkx or PyTorch Geometric are.

    Of nodes' attributes, `label`, `class` or `y` are labels where they repeat, and lists of numbers called `features`
    or `x` are features.

    Raises:
        UserError: a graph has no node, or an edge to a node that it has not or to itself.
    """
    if not graphs:
        raise UserError(f"{source} has no graph")
    read = [_one(graph, "the graph" if len(graphs) == 1 else f"graph {i}", threshold) for i, graph in enumerate(graphs)]
    sizes = np.array([len(one["nodes"]) for one in read], np.int64)
    starts = np.cumsum(sizes) - sizes
    arrays = {"sizes": sizes, "edges": np.concatenate([one["edges"] + start for one, start in zip(read, starts)])}
    for part in ("labels", "features"):
        if all(part in one for one in read):
            arrays[part] = np.concatenate([one[part] for one in read])
    made = from_arrays(arrays, name, source)
    notes = tuple(dict.fromkeys(note for one in read for note in one["notes"]))
    named = len(read) == 1 and not isinstance(read[0]["nodes"], range)
    nodes = tuple(str(node) for node in read[0]["nodes"]) if named else ()
    return RawGraphs(name, source, made.sizes, made.edges, made.features, made.labels, made.classes, nodes, notes)


def _one(graph: Any, where: str, threshold: float | None) -> dict[str, Any]:
    """Return a graph's `nodes`, `edges` (E, 2) by number, `notes`, and its `labels` and `features` if it has any."""
    if isinstance(graph, np.ndarray) or hasattr(graph, "detach"):
        made = from_arrays({"adjacency": as_array(graph, where)}, where, where, threshold)
        return {"nodes": range(int(made.sizes[0])), "edges": made.edges, "notes": made.notes}
    if hasattr(graph, "edge_index"):
        return _indexed(graph, where)
    nodes, pairs, weights, notes = _listed(graph, where)
    if not nodes:
        raise UserError(f"{where} has no node; leave it out")
    try:
        place = {node: i for i, node in enumerate(nodes)}
        lost = next((pair for pair in pairs if pair[0] not in place or pair[1] not in place), None)
    except TypeError:
        raise UserError(f"{where}: nodes are numbers or names, and one is none; check its neighbours") from None
    if lost is not None:
        one, other = lost if lost[0] in place else lost[::-1]
        raise UserError(f"{where}: {one!r} is joined to {other!r}, which is not listed as a node; list it too")
    for one, other in pairs:
        if one == other:
            raise UserError(f"{where}: {one!r} is joined to itself; leave such edges out")
    if weights is not None:
        keep, said = strong(weights, threshold)
        pairs, notes = [pair for pair, kept in zip(pairs, keep) if kept], [*said, *notes]
    edges = {(min(place[a], place[b]), max(place[a], place[b])) for a, b in pairs}
    facts = dict(graph.nodes(data=True)) if hasattr(graph, "nodes") else {}
    known, unused = _attributes(facts, nodes)
    if unused:
        notes = [*notes, f"the nodes' attributes {', '.join(unused)} are not used"]
    return {"nodes": nodes, "edges": np.array(sorted(edges), np.int64).reshape(-1, 2), "notes": notes, **known}


def _indexed(graph: Any, where: str) -> dict[str, Any]:
    """Return a graph that is an `edge_index` (2, E), as PyTorch Geometric has it, with nodes' `x` and `y` if any."""
    edges = as_array(graph.edge_index, f"{where}: edge_index").T
    given = {part: getattr(graph, part, None) for part in ("x", "y", "num_nodes")}
    x, y = (None if given[part] is None else as_array(given[part], f"{where}: {part}") for part in ("x", "y"))
    n = int(given["num_nodes"] or 0) or (len(x) if x is not None else int(edges.max(initial=-1)) + 1)
    arrays = {"edges": edges, "nodes": np.array(n)}
    made = from_arrays(arrays, where, where)
    known = {"features": x} if x is not None and x.ndim == 2 else {}
    labels = {"labels": y} if y is not None and y.shape == (n,) and n > 1 else {}
    return {"nodes": range(n), "edges": made.edges, "notes": made.notes, **known, **labels}


def _listed(graph: Any, where: str) -> tuple[list[Any], list[tuple[Any, Any]], np.ndarray | None, list[str]]:
    """Return a graph's nodes, pairs of joined ones, weights if it has any, and what is to be said."""
    if hasattr(graph, "nodes") and hasattr(graph, "edges"):
        edges = [(a, b, facts.get("weight")) for a, b, facts in graph.edges(data=True)]
        weighted = any(weight is not None for _, _, weight in edges)
        weights = np.array([_weight(weight, where) for _, _, weight in edges]) if weighted else None
        directed = ["the edges' directions are not used"] if getattr(graph, "is_directed", bool)() else []
        return list(graph.nodes), [(a, b) for a, b, _ in edges], weights, directed
    pairs = graph.items() if isinstance(graph, Mapping) else getattr(graph, "adjacency", lambda: None)()
    if pairs is None:
        raise UserError(f"{where} is {type(graph).__name__}; give each node with its neighbours")
    try:
        table = {node: list(near) for node, near in pairs}
    except (TypeError, ValueError):
        raise UserError(f"{where}: give each node with a list of its neighbours, {{0: [1, 2], 1: [0]}}") from None
    return list(table), [(node, other) for node, near in table.items() for other in near], None, []


def _weight(weight: Any, where: str) -> float:
    """Return an edge's weight, 1 where it has none."""
    number = number_of(str(1.0 if weight is None else weight))
    if number is None or number != number:
        raise UserError(f"{where}: the weight {weight!r} is not a number; correct it")
    return number


def _attributes(
    facts: Mapping[Any, Mapping[str, Any]], nodes: Sequence[Any]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return nodes' labels and features as arrays, and the names of what is neither."""
    found: dict[str, np.ndarray] = {}
    unused = []
    for name in dict.fromkeys(name for node in nodes for name in facts.get(node, ())):
        values: list[Any] = [facts.get(node, {}).get(name) for node in nodes]
        single = all(isinstance(value, str | int | np.integer) for value in values)
        if name.lower() in LABELS and single and "labels" not in found and 2 * len(set(values)) <= len(values):
            found["labels"] = np.array(values)
        elif name in FEATURES and {np.ndim(value) for value in values} == {1} and len(set(map(len, values))) == 1:
            found["features"] = np.array(values)
        else:
            unused.append(name)
    return found, unused
