"""Graphs read from files and memory: what they hold, how links are split, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graph_toys import shuffled
from vaekit.data.graphs.features import spectral
from vaekit.data.graphs.graph_files import read_graphs
from vaekit.data.graphs.modality import GraphData, GraphSettings
from vaekit.errors import UserError
from vaekit.graphs import Graphs


def ring(n: int = 40) -> dict[str, Any]:
    """One cycle with features and labels."""
    i = np.arange(n)
    return {"edges": np.stack([i, (i + 1) % n], 1), "features": np.eye(n)[:, :3], "labels": i % 2}


def pairs(x: torch.Tensor | None) -> set[tuple[int, ...]]:
    return set() if x is None else {tuple(sorted(pair)) for pair in x.tolist()}


@pytest.mark.parametrize("held_out", ["absent", "hidden"])
def test_links_are_split_and_the_encoder_sees_training_edges_alone(held_out: Any) -> None:
    settings = GraphSettings(test=0.2, valid=0.1, held_out=held_out)
    data = GraphData().load(ring(), settings)
    parts: list[Any] = [data.train.x, data.valid.x, data.test.x]
    train, valid, test = parts
    every = {tuple(sorted(pair)) for pair in ring()["edges"].tolist()}
    assert [len(part) for part in parts] == [1, 1, 1]
    for part in parts:
        assert torch.equal(part.seen, train.edges)
    on = [pairs(part.asked[part.answers]) for part in (valid, test)]
    off = [pairs(part.asked[~part.answers]) for part in (valid, test)]
    assert [len(group) for group in off] == [len(group) for group in on]
    assert 1 <= len(on[0]) < 12 and 3 <= len(on[1]) < 16  # 4 and 8 but for chance
    assert on[0] | on[1] | pairs(train.edges) == every and not (on[0] & on[1])
    assert not ((off[0] | off[1]) & every) and not (off[0] & off[1])
    assert pairs(test.edges) == every and test.hidden is None
    assert pairs(valid.edges) == every - on[1] and pairs(valid.hidden) == on[1] | off[1]
    held = pairs(train.hidden)
    assert held == (on[0] | on[1] | off[0] | off[1] if held_out == "hidden" else set())
    assert data.info.facts["classes"] == ["0", "1"] and data.info.facts["inputs"] == 3
    assert abs(data.info.facts["density"] - len(train.edges) / (780 - len(held))) < 1e-12
    again, other = (GraphData().load(ring(), settings.model_copy(update={"seed": s})) for s in (0, 1))
    assert torch.equal(again.test.x.asked, test.asked)  # type: ignore[attr-defined]
    assert pairs(other.test.x.asked) != pairs(test.asked)  # type: ignore[attr-defined]


def test_pairs_not_joined_are_drawn_evenly() -> None:
    """A path of four nodes has three pairs not joined: each is held out as often as another."""
    path = {"edges": np.array([[0, 1], [1, 2], [2, 3]])}
    counts: dict[tuple[int, ...], int] = {}
    for seed in range(300):
        data = GraphData().load(path, GraphSettings(test=1, valid=0, seed=seed))
        (pair,) = pairs(data.test.x.asked[1:])  # type: ignore[attr-defined]
        counts[pair] = counts.get(pair, 0) + 1
    assert set(counts) == {(0, 2), (0, 3), (1, 3)} and min(counts.values()) > 70


def several() -> dict[str, Any]:
    """Padded adjacencies of twelve graphs of 3 to 5 nodes, and features of every row."""
    rng = np.random.default_rng(0)
    adjacency, mask = np.zeros((12, 5, 5), np.uint8), np.zeros((12, 5), bool)
    for g in range(12):
        n = 3 + g % 3
        mask[g, :n] = True
        for i in range(n - 1):
            adjacency[g, i, i + 1] = adjacency[g, i + 1, i] = 1
    return {"adjacency": adjacency, "mask": mask, "features": rng.standard_normal((12, 5, 2)).astype(np.float32)}


def test_padded_adjacencies_lose_their_padding() -> None:
    source = several()
    found = read_graphs(source)
    assert found.sizes.tolist() == [3, 4, 5] * 4 and len(found.edges) == 4 * (2 + 3 + 4)
    assert found.features is not None and np.array_equal(found.features, source["features"][source["mask"]])
    wider = {
        "adjacency": np.pad(source["adjacency"], ((0, 0), (0, 4), (0, 4))),
        "mask": np.pad(source["mask"], ((0, 0), (0, 4))),
        "features": np.pad(source["features"], ((0, 0), (0, 4), (0, 0)), constant_values=7),
    }
    again = read_graphs(wider)
    assert np.array_equal(again.edges, found.edges) and np.array_equal(again.features, found.features)  # type: ignore[arg-type]
    first = read_graphs({"adjacency": source["adjacency"][0, :3, :3]})
    assert first.sizes.tolist() == [3] and first.edges.tolist() == [[0, 1], [1, 2]]


def test_several_graphs_are_split_as_examples_and_written_as_they_are_read(tmp_path: Path) -> None:
    data = GraphData().load(several(), GraphSettings(test=2, valid=2))
    assert (data.info.n_train, data.info.n_valid, data.info.n_test) == (8, 2, 2)
    x: Any = data.train.x
    assert sum(count for _, count in data.info.facts["sizes"]) == 8 and x.features.shape == (x.nodes, 2)
    GraphData().write(tmp_path / "out.npz", x, data.info)
    again = read_graphs(tmp_path / "out.npz")
    assert again.sizes.tolist() == x.sizes.tolist() and again.edges.tolist() == x.edges.tolist()
    GraphData().write(tmp_path / "out.edges", x, data.info)
    assert read_graphs(tmp_path / "out.edges").edges.tolist() == x.edges.tolist()
    assert GraphData().lines(x, data.info)[0].startswith(f"{int(x.sizes[0])} nodes, ")


def test_lists_of_edges_have_numbers_or_names_and_maybe_a_header(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("source,target\n0,2\n2,4\n")
    found = read_graphs(file)
    assert found.sizes.tolist() == [5] and found.edges.tolist() == [[0, 2], [2, 4]]
    file.write_text("# friends\nann bob\nbob\tcid  # close\n\n")
    found = read_graphs(file)
    assert found.names == ("ann", "bob", "cid") and found.edges.tolist() == [[0, 1], [1, 2]]
    file.write_text("0 1\n1 0\n1 2\n2 1\n")
    assert read_graphs(file).edges.tolist() == [[0, 1], [1, 2]]


class Like:
    """As networkx's graphs are."""

    def adjacency(self) -> Any:
        return {"x": {"y": {}}, "y": {"x": {}}, "z": {}}.items()


def test_graphs_in_memory() -> None:
    found = read_graphs([Like(), {0: [1], 1: [0]}])
    assert found.sizes.tolist() == [3, 2] and found.edges.tolist() == [[0, 1], [3, 4]]
    assert read_graphs(Like()).names == ("x", "y", "z")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"edges": np.array([[0, 1], [1, 5]]), "nodes": 4}, r"edge 1 \(1, 5\) names a node outside 0 … 3"),
        ({"edges": np.array([[0, -1]]), "nodes": 4}, r"edge 0 \(0, -1\) names a node outside"),
        ({"edges": np.array([[0, 1], [2, 2]]), "nodes": 4}, r"edge 1 \(2, 2\) joins a node to itself"),
        ({"edges": np.array([[0, 1], [1, 2], [0, 1]]), "nodes": 4}, r"edge 0 \(0, 1\) is listed twice"),
        ({"edges": np.array([[0, 1], [1, 0], [1, 2]]), "nodes": 4}, r"\(0, 1\) is listed in both directions"),
        ({"edges": np.array([[0.0, np.nan]]), "nodes": 4}, "edges: row 0 is not a number"),
        ({"edges": np.array([[0.0, 1.5]]), "nodes": 4}, "edges are not whole numbers"),
        ({"edges": np.array([["a", "b"]]), "nodes": 4}, "not whole numbers"),
        ({"edges": np.array([0, 1]), "nodes": 4}, "one row of two nodes"),
        ({"edges": np.array([[0, 3]]), "sizes": np.array([2, 2])}, r"edge 0 \(0, 3\) joins two graphs"),
        ({"edges": np.array([[0, 1]]), "sizes": np.array([2, 0])}, "sizes must be at least 1"),
        ({"edges": np.array([[0, 1]]), "features": np.array([[1.0], [np.nan]])}, "feature 0 of node 1 is nan"),
        ({"edges": np.array([[0, 1]]), "nodes": 3, "features": np.ones((2, 2))}, r"one row a node, \(3, F\)"),
        ({"edges": np.array([[0, 1]]), "nodes": 2, "labels": np.array([1])}, "there are 2 nodes"),
        (
            {"edges": np.array([[0, 1]]), "feature_rows": [0], "feature_cols": [9], "feature_shape": [2, 3]},
            r"entry 0 of the features \(0, 9",
        ),
        ({"edges": np.array([[0, 1]]), "nodes": 2, "feature_rows": [0]}, "without feature_cols"),
        ({"adjacency": np.array([[0, 1], [0, 0]])}, r"not symmetric at \(0, 1\)"),
        ({"adjacency": np.array([[1, 0], [0, 0]])}, "joins a node to itself"),
        ({"adjacency": np.array([[1, 0.2, 0.1], [0.2, 1, 0.3], [0.1, 0.3, 1]])}, "100% of all pairs.*data.threshold=W"),
        ({"adjacency": np.array([["0", "1"], ["1", "0"]])}, "not numbers"),
        ({"adjacency": np.array([[0, np.nan], [np.nan, 0]])}, r"is nan at \(0, 1\)"),
        ({"adjacency": np.ones((1, 2, 2)) - np.eye(2), "mask": [[1, 0]]}, "one of them is not a node"),
        ({"a": ["b"]}, "'b', which is not listed as a node"),
        ({"a": ["a"]}, "joined to itself"),
        ({1: [None], 2: [1]}, "1 is joined to None, which is not listed"),
        ({}, "has no node"),
        (3, "cannot read graphs from int"),
        ("nowhere.npz", "no data|no file"),
    ],
)
def test_what_cannot_be_is_named(source: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        GraphData().load(source, GraphSettings(test=1, valid=0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 1\n1 2 3\n", "line 2 has 3 columns"),
        ("0 1\n\n2 2\n", r"line 3 \(2, 2\) joins a node to itself"),
        ("0 1\n1 2\n0 1\n", r"line 1 \(0, 1\) is listed twice"),
        ("a b\nb nan\n", "line 2 names no node"),
        ("source,target,weight\na,b,1\nb,c,much\n", "line 3: the weight 'much' is not a number"),
        ("source,target\n", "a header and no edges"),
        ("a\nb\n", "line 1 has 1 columns; write two nodes"),
        ("0 1\n-1 2\n", "line 2 .* outside"),
        ("# nothing\n", "holds no edges"),
    ],
)
def test_lines_that_cannot_be_are_named(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_text(text)
    with pytest.raises(UserError, match=words):
        read_graphs(tmp_path / "g.txt")


def test_damaged_files_and_impossible_wishes_are_named(tmp_path: Path) -> None:
    (tmp_path / "g.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match="a damaged NPZ"):
        read_graphs(tmp_path / "g.npz")
    np.savez(tmp_path / "x.npz", x=np.ones(3))
    with pytest.raises(UserError, match="graphs need 'edges'"):
        read_graphs(tmp_path / "x.npz")
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (ring(), {"test": 40}, "has 40 edges .* leaving none to train on"),
        ({"edges": np.array([[0, 1], [1, 2], [0, 2]])}, {"test": 1, "valid": 0}, "too few pairs that are not joined"),
        ({"edges": ring()["edges"]}, {"features": "given"}, "have no features"),
        (several(), {"features": "indicator"}, "for several graphs use spectral"),
    ]
    for source, given, words in cases:
        with pytest.raises(UserError, match=words):
            GraphData().load(source, GraphSettings(**given))


def test_other_graphs_are_read_as_the_run_s_were() -> None:
    data = GraphData().load(ring(), GraphSettings())
    other = GraphData().encode(ring(12), data.info, GraphSettings())
    x: Any = other.x
    assert len(x.edges) == 12 and x.seen is None and x.hidden is None
    with pytest.raises(UserError, match="have no features"):
        GraphData().encode({"edges": ring()["edges"]}, data.info, GraphSettings())
    bare = GraphData().load({"edges": ring()["edges"]}, GraphSettings())
    assert bare.info.facts["features"] == "indicator" and bare.train.x.features is None  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="12 nodes; this run's model takes exactly 40"):
        GraphData().encode({"edges": ring(12)["edges"]}, bare.info, GraphSettings())


def test_spectral_features_follow_the_nodes() -> None:
    """On the smallest tree that is no two ways the same: legs of one, two and three nodes."""
    x = Graphs(torch.tensor([7]), torch.tensor([[0, 1], [0, 2], [0, 4], [2, 3], [4, 5], [5, 6]]))
    order = torch.tensor([3, 1, 5, 6, 0, 2, 4])
    assert torch.allclose(spectral(x, 5)[order], spectral(shuffled(x, order), 5), atol=1e-4)
    assert spectral(x, 9).shape == (7, 11) and not spectral(x, 9)[:, 7:9].any()


def test_known_sets_say_where_they_were_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAEKIT_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"cora was not found: looked in .*VAEKIT_DATA"):
        GraphData().load("cora", GraphSettings())
