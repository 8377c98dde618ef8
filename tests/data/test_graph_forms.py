"""Graphs in the forms that other tools write: headers, weights, GraphML, GML, networkx, arrays, data frames."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

from vaekit.data.graphs.graph_files import read_graphs
from vaekit.data.graphs.modality import GraphData, GraphSettings
from vaekit.errors import UserError

networkx: Any = pytest.importorskip("networkx")
RNG = np.random.default_rng(0)


def weighted(n: int = 12) -> Any:
    """A ring with a chord, named nodes and a weight an edge."""
    made = networkx.relabel_nodes(networkx.cycle_graph(n), {i: f"user {i}" for i in range(n)})
    made.add_edge("user 0", "user 6")
    for i, (a, b) in enumerate(made.edges):
        made.edges[a, b]["weight"] = 0.1 + i
    return made


def write(graph: Any, path: Path) -> Any:
    """Write a graph in a form, and return what is to be read."""
    rows = [(a, b, facts["weight"]) for a, b, facts in graph.edges(data=True)]
    array = networkx.to_numpy_array(graph)
    names = list(graph.nodes)
    named = [["", *names], *([name, *map(str, row)] for name, row in zip(names, array))]
    written: dict[str, Callable[[], Any]] = {
        ".matrix": lambda: path.write_text("\n".join(" ".join(map(str, row)) for row in array)),
        ".named": lambda: path.write_text("\n".join(",".join(row) for row in named)),
        ".headed": lambda: path.write_text("\n".join([",".join(names), *(",".join(map(str, row)) for row in array)])),
        ".csv": lambda: path.write_text("source,target\n" + "".join(f'"{a}",{b}\n' for a, b, _ in rows)),
        ".txt": lambda: path.write_text("from;to;weight\n" + "".join(f"{a};{b};{w}\n" for a, b, w in rows)),
        ".tsv": lambda: path.write_text("".join(f"{a}\t{b}\t{w}\n" for a, b, w in rows)),
        ".edges": lambda: path.write_text("id,Source,Target\n" + "".join(f"{w},{a},{b}\n" for a, b, w in rows)),
        ".gz": lambda: path.write_bytes(gzip.compress("".join(f"{a},{b}\n" for a, b, _ in rows).encode("utf-16"))),
        ".edgelist": lambda: networkx.write_edgelist(networkx.convert_node_labels_to_integers(graph), path),
        ".gml": lambda: networkx.write_gml(graph, path),
        ".graphml": lambda: networkx.write_graphml(graph, path),
        ".npy": lambda: np.save(path, array),
        ".npz": lambda: scipy.sparse.save_npz(path, scipy.sparse.csr_array(array)),
    }
    if path.suffix:
        written[path.suffix]()
        return path
    sources: dict[str, Any] = {
        "graph": graph,
        "graphs": [graph],
        "array": array,
        "arrays": [array],
        "tensor": torch.from_numpy(array),
        "sparse": scipy.sparse.coo_array(array),
        "pairs": [(a, b) for a, b, _ in rows],
    }
    return sources[path.name]


FORMS = [
    ".csv",
    ".txt",
    ".tsv",
    ".edges",
    ".gz",
    ".edgelist",
    ".gml",
    ".graphml",
    ".npy",
    ".npz",
    ".matrix",
    ".named",
    ".headed",
]
FORMS += ["graph", "graphs", "array", "arrays", "tensor", "sparse", "pairs"]


@pytest.mark.parametrize("form", FORMS)
def test_one_graph_in_every_form_is_the_same(form: str, tmp_path: Path) -> None:
    graph = weighted()
    source = write(graph, tmp_path / (f"g{form}" if form[0] == "." else form))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = read_graphs(source)
    assert found.sizes.tolist() == [12] and len(found.edges) == 13
    degrees = np.bincount(found.edges.ravel(), minlength=12)
    names = found.names or tuple(graph.nodes)
    assert {name for name, degree in zip(names, degrees) if degree == 3} == {"user 0", "user 6"}
    texts = " ".join(str(warning.message) for warning in said)
    unweighted = form in (".csv", ".edges", ".gz", "pairs")
    assert ("weights are not modelled" in texts) == (not unweighted)
    assert ("columns id are not used" in texts) == (form == ".edges") and ("read as utf-16" in texts) == (form == ".gz")


@pytest.mark.parametrize("form", [".txt", ".gml", ".npy", ".npz", "graph", "array", "sparse"])
def test_edges_below_the_threshold_are_none(form: str, tmp_path: Path) -> None:
    source = write(weighted(), tmp_path / (f"g{form}" if form[0] == "." else form))
    with pytest.warns(UserWarning, match="of 13 edges have a weight of 5 or more, and are kept"):
        found = read_graphs(source, threshold=5)
    assert found.sizes.tolist() == [12] and len(found.edges) == 8
    with pytest.warns(UserWarning, match="of 13 edges"):
        data = GraphData().load(source, GraphSettings(threshold=5, test=1, valid=0))
    assert len(data.test.x.edges) == 8  # type: ignore[attr-defined]


def test_stacks_of_graphs_and_correlations(tmp_path: Path) -> None:
    stack = np.stack([networkx.to_numpy_array(networkx.path_graph(5)), networkx.to_numpy_array(networkx.star_graph(4))])
    np.save(tmp_path / "g.npy", stack * 255)
    for source in (stack, stack.astype(np.uint8), tmp_path / "g.npy", list(stack)):
        found = read_graphs(source)
        assert found.sizes.tolist() == [5, 5] and found.edges[4:].tolist() == [[5, 6], [5, 7], [5, 8], [5, 9]]
    made = np.corrcoef(RNG.normal(size=(6, 40)) + 2 * np.arange(40) * (np.arange(6)[:, None] < 3))
    with pytest.raises(UserError, match=r"100% of all pairs are not 0; set data.threshold=W"):
        read_graphs(made)
    with pytest.warns(UserWarning, match="of 15 edges"):
        assert read_graphs(made, threshold=0.9).edges.tolist() == [[0, 1], [0, 2], [1, 2]]
    pairs = np.array([[0, 1, 2], [1, 2, 3]])
    assert read_graphs(pairs).edges.tolist() == read_graphs(pairs.T).edges.tolist() == [[0, 1], [1, 2], [2, 3]]
    with pytest.raises(UserError, match=r"shape \(2, 3, 4\); graphs are adjacencies"):
        read_graphs(np.zeros((2, 3, 4)))


def test_nodes_of_networkx_may_have_labels_and_features() -> None:
    graphs = []
    for n in (4, 6):
        graph = networkx.cycle_graph(n)
        for i in range(n):
            graph.nodes[i].update(y="ab"[i % 2], x=[float(i), 1.0], age=3)
        graphs.append(graph)
    with pytest.warns(UserWarning, match="the nodes' attributes age are not used"):
        found = read_graphs(graphs)
    assert found.classes == ("a", "b") and found.features is not None and found.features.shape == (10, 2)
    assert found.labels is not None and found.labels.tolist() == [0, 1] * 5
    with pytest.warns(UserWarning, match="directions are not used"):
        assert read_graphs(networkx.DiGraph([(0, 1), (1, 0), (1, 2)])).edges.tolist() == [[0, 1], [1, 2]]
    assert read_graphs(networkx.MultiGraph([(0, 1), (0, 1)])).edges.tolist() == [[0, 1]]


class Indexed:
    """As PyTorch Geometric's graphs are."""

    def __init__(self, n: int, **more: Any) -> None:
        i = torch.arange(n - 1)
        self.edge_index = torch.cat([torch.stack([i, i + 1]), torch.stack([i + 1, i])], 1)
        self.num_nodes = n
        vars(self).update(more)


def test_graphs_of_an_edge_index() -> None:
    found = read_graphs(Indexed(4, x=torch.ones(4, 3), y=torch.tensor([0, 1, 1, 0])))
    assert found.edges.tolist() == [[0, 1], [1, 2], [2, 3]] and found.classes == ("0", "1") and not found.names
    assert found.features is not None and found.features.shape == (4, 3)
    found = read_graphs(
        [Indexed(3, x=torch.ones(3, 2), y=torch.tensor([1])), Indexed(2, x=torch.zeros(2, 2), y=torch.tensor([0]))]
    )
    assert found.sizes.tolist() == [3, 2] and found.edges.tolist() == [[0, 1], [1, 2], [3, 4]]
    assert found.features is not None and found.features[:, 0].tolist() == [1, 1, 1, 0, 0] and found.labels is None
    assert read_graphs(Indexed(3, num_nodes=None)).sizes.tolist() == [3]


@pytest.mark.parametrize(
    ("numbers", "size", "names"),
    [
        (["0 1", "1 4"], 5, ()),
        (["1 2", "2 6", "3 4"], 6, ("1", "2", "3", "4", "5", "6")),
        (["3001 40", "40 77"], 3, ("40", "77", "3001")),
    ],
)
def test_numbers_of_nodes_may_begin_at_one_or_be_any(numbers: list[str], size: int, names: Any, tmp_path: Path) -> None:
    path = tmp_path / "g.txt"
    path.write_text("\n".join(numbers))
    found = read_graphs(path)
    assert found.sizes.tolist() == [size] and found.names == names
    shown = [f"{(names or range(9))[a]} {(names or range(9))[b]}" for a, b in found.edges.tolist()]
    assert {frozenset(pair.split()) for pair in shown} == {frozenset(pair.split()) for pair in numbers}


def test_a_graph_for_a_run_has_its_nodes_by_name(tmp_path: Path) -> None:
    ring = [(f"n{i}", f"n{(i + 1) % 30}") for i in range(30)]
    data = GraphData().load(ring, GraphSettings(test=2, valid=0))
    again: Any = GraphData().encode(list(reversed(ring)), data.info, GraphSettings()).x
    assert again.edges.tolist() == data.test.x.edges.tolist()  # type: ignore[attr-defined]
    GraphData().write(tmp_path / "again.edges", again, data.info)
    assert "\nn0,n1\n" in (tmp_path / "again.edges").read_text()
    assert (
        read_graphs(tmp_path / "again.edges").renumbered(data.info.facts["names"]).edges.tolist()
        == again.edges.tolist()
    )
    fewer: Any = GraphData().encode(ring[:5], data.info, GraphSettings()).x
    assert fewer.nodes == 30 and len(fewer.edges) == 5
    with pytest.raises(UserError, match="has a node 'zoe', and this run's graph has none of that name"):
        GraphData().encode([("n0", "zoe")], data.info, GraphSettings())


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("g.graphml", "<graphml><graph>", "not a readable graph"),
        ("g.graphml", '<!DOCTYPE x SYSTEM "y"><graphml><graph/></graphml>', "declares a document type"),
        ("g.gml", "graph [ node [ ]", "not a readable graph"),
        ("g.npy", "0 1\n", "not a readable array"),
    ],
)
def test_damaged_graphs_are_named(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said):
        read_graphs(tmp_path / name)
