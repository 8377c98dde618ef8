"""Metrics of graphs against scikit-learn, counting by hand, and graphs whose numbers are known."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from graph_toys import model, shuffled, some
from vaekit import bounds
from vaekit.data.info import DataInfo
from vaekit.graphs import Graphs
from vaekit.metrics.base import Subject, evaluate
from vaekit.metrics.graphs import distance, statistics

INFO = DataInfo("toy", (7,), "graph", None, 3, 0, 3, modality="graphs")


def subject(**more: Any) -> Subject:
    x = some()
    joined = x.edges.tolist()
    off = [[i, j] for i, j in itertools.combinations(range(8, 15), 2) if [i, j] not in joined]
    asked = torch.cat([x.edges[::2], torch.tensor(off[::2])])
    answers = torch.arange(len(asked)) < len(x.edges[::2])
    x = Graphs(x.sizes, x.edges, features=x.features, asked=asked, answers=answers)
    given: Any = {"model": model(), "info": INFO, "x": x} | more
    return Subject(**given)


@torch.no_grad()
def test_links_are_scored_by_log_odds_at_the_posterior_means_and_in_any_order_of_nodes() -> None:
    one = subject()
    found = evaluate(one, ["links"])
    m: Any = one.model
    x: Any = one.x
    p = m.decode(m.posterior_mean(x), sizes=x.sizes).mean
    graph, i, j = x.local(x.asked)
    assert found["auc"].value == pytest.approx(roc_auc_score(x.answers.numpy(), p[graph, i, j].numpy()))
    assert found["ap"].value == pytest.approx(average_precision_score(x.answers.numpy(), p[graph, i, j].numpy()))
    order = torch.cat([torch.tensor([4, 2, 0, 1, 3]), torch.tensor([7, 5, 6]), torch.arange(14, 7, -1)])
    again = evaluate(subject(x=shuffled(x, order)), ["links"])
    assert again["auc"].value == pytest.approx(found["auc"].value) and again["ap"].value == pytest.approx(
        found["ap"].value
    )
    bare = evaluate(subject(x=some()), ["links"])
    assert bare["auc"].value is None and "no links" in bare["auc"].facts["refused"]


def test_the_bound_a_node_is_each_graph_s_bound_over_its_size() -> None:
    one = subject()
    found = evaluate(one, ["elbo_per_node"])
    x: Any = one.x
    with torch.no_grad():
        torch.manual_seed(0)
        wanted = (bounds.elbo(one.model.eval().trace(x)) / x.sizes).mean()
        means = x.packed(one.model.posterior_mean(x))
    assert found["elbo_per_node"].value == pytest.approx(float(wanted), rel=1e-5)
    active = found["active_node_units"]
    assert (active.value, active.n, active.facts["of"]) == (int((means.var(0) > 0.01).sum()), 15, means.shape[1])
    plain = evaluate(subject(model=model(delta=True)), ["elbo_per_node"])
    assert plain["elbo_per_node"].value is None and "point mass" in plain["elbo_per_node"].facts["refused"]


def test_statistics_of_graphs_whose_numbers_are_known() -> None:
    """A triangle with a tail, and a square."""
    edges = torch.tensor([[0, 1], [0, 2], [1, 2], [2, 3], [4, 5], [5, 6], [6, 7], [4, 7]])
    degrees, clusterings = statistics(Graphs(torch.tensor([4, 4]), edges))
    assert degrees[0].tolist() == [2, 2, 3, 1] and degrees[1].tolist() == [2] * 4
    assert clusterings[0].tolist() == pytest.approx([1, 1, 1 / 3, 0]) and not clusterings[1].any()
    assert distance(degrees, degrees, "degree") == 0
    assert distance([np.array([1.0])], [np.array([2.0])], "degree") == 1


def test_drawn_graphs_stand_beside_the_data() -> None:
    found = evaluate(subject(train=lambda: (some(seed=5), None)), ["drawn_graphs"])
    truth = float(np.mean([part.mean() for part in statistics(some())[0]]))
    assert found["degree"].facts["data"] == pytest.approx(truth) and found["degree"].stderr is not None
    assert 0 <= (found["degree_distance"].value or 0) <= 1 and "training graphs" in found["degree_distance"].facts
    assert "degree" not in evaluate(subject(x=some((6,))), ["graph"])
