"""Pictures of graphs and of sound."""

from __future__ import annotations

import numpy as np

from graph_toys import some
from vaekit import figures
from vaekit.figures.audio import spectrograms
from vaekit.figures.graphs import graphs, near, part, spring

MEL = {"rate": 8000, "window": 256, "hop": 100, "bins": 512, "mels": 16, "frames": 8, "low": 50.0}


def test_joined_nodes_lie_nearer_than_others() -> None:
    two = [(i, j) for half in (range(5), range(5, 10)) for i in half for j in half if i < j] + [(4, 5)]
    place = spring(10, np.array(two))
    apart = np.linalg.norm(place[:, None] - place, axis=-1)
    joined = np.zeros((10, 10), bool)
    joined[tuple(np.array(two).T)] = True
    far = np.triu(~joined, 1)
    assert apart[joined].mean() < 0.6 * apart[far].mean() and np.abs(place).max() <= 1 + 1e-9


def test_graphs_are_drawn_and_long_ones_too() -> None:
    assert figures.png(graphs(some((5, 3, 7, 1, 2))))[1:4] == b"PNG"
    large = some((400,), density=0.1)
    axes = graphs(large).axes
    assert len(axes) == 1 and "400 nodes" in axes[0].get_title()


def test_spectrograms_have_hertz_and_seconds() -> None:
    x = np.random.default_rng(0).normal(size=(5, 1, 16, 8))
    fig = spectrograms(x, {"mel": MEL, "mean": -4.0, "sd": 2.0})
    labels = [text.get_text() for text in fig.axes[0].get_yticklabels()]
    assert figures.png(fig)[1:4] == b"PNG" and labels == ["250", "1,000", "2,000", "4,000"]
    assert sum(ax.get_visible() for ax in fig.axes) == 6  # five of them, and the scale


def test_a_part_of_a_large_graph_is_joined_and_small() -> None:
    rng = np.random.default_rng(0)
    edges = np.unique(np.sort(rng.integers(0, 2000, (6000, 2)), 1), axis=0)
    edges = edges[edges[:, 0] < edges[:, 1]]
    chosen = near(2000, edges)
    assert len(chosen) == len(set(chosen.tolist())) == 60
    within = edges[np.isin(edges, chosen).all(1)]
    known, grown = {int(chosen[0])}, True
    while grown:
        found = {int(n) for pair in within if known & set(pair.tolist()) for n in pair}
        grown, known = not found <= known, known | found
    assert known == set(chosen.tolist()), "every node is joined to the first one by links that are drawn"
    fig = part(2000, edges, np.arange(2000) % 3 - 1, ["a", "b"])
    assert fig.get_suptitle().startswith("60 of 2,000 nodes")
    assert [label.get_text() for label in fig.legends[0].get_texts()] == ["a", "b"]


def test_predicted_links_of_a_part_are_dashed_and_others_are_not_drawn() -> None:
    line = np.stack([np.arange(499), np.arange(1, 500)], 1)
    chosen = near(500, line)
    pairs = np.array([[chosen[0], chosen[5]], [chosen[7], chosen[30]], [0, 499]])
    outside = ~np.isin(pairs, chosen).all(1)
    assert outside.tolist() == [False, False, True]
    fig = part(500, line, predicted=pairs, chance=np.array([0.75, 0.5, 0.99]))
    place = spring(60, np.array([[i, j] for i in range(60) for j in range(i, 60) if abs(chosen[i] - chosen[j]) == 1]))
    dashed = [drawn for drawn in fig.axes[0].lines if drawn.get_linestyle() == "--"]
    ends = [np.asarray(drawn.get_xydata()).round(6).tolist() for drawn in dashed]
    assert len(ends) == 2 and len(place) == 60
    said = [label.get_text() for label in fig.legends[0].get_texts()]
    assert said == ["link", "predicted, no link in the data (p = 0.50 to 0.75)"]
