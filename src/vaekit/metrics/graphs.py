"""Metrics of graphs: predicted links, drawn graphs beside the data's, the bound per node."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from vaekit import bounds
from vaekit.collapse import ACTIVE
from vaekit.devices import device_of
from vaekit.graphs import Graphs
from vaekit.inference import joined
from vaekit.intervals import (
    auroc,
    auroc_interval,
    average_precision,
    average_precision_interval,
)
from vaekit.metrics.base import Result, Subject, mean_of, metric, refused

LEAST_DRAWN = 200


@metric(
    "links",
    group="graph",
    gives={
        "auc": ("area under the ROC curve of held-out edges against as many pairs not joined", True),
        "ap": ("average precision of the same pairs, by falling log-odds at the posterior means", True),
    },
    needs=("graph",),
    reference="Kipf & Welling 2016, arXiv:1611.07308",
    quiet=True,
)
def links(subject: Subject) -> dict[str, Result]:
    """How well the log-odds at the posterior means separate held-out edges from pairs that are not joined."""
    x = subject.x
    model: Any = subject.model
    if x.asked is None or not len(x.asked) or bool(x.answers.all()) or not bool(x.answers.any()):
        reason = "no links were held out; they are only where the data are one graph"
        return {name: refused(reason, "of 1") for name in ("auc", "ap")}
    answers = x.answers.numpy()
    x = x.to(device_of(model))
    scores = model.decode(model.posterior_mean(x), sizes=x.sizes).pair_logits(x, x.asked).cpu().double().numpy()
    facts = {"edges": int(answers.sum()), "pairs not joined": int((~answers).sum())}
    area, precision = auroc(scores, answers), average_precision(scores, answers)
    return {
        "auc": Result(area, "of 1", len(scores), None, auroc_interval(scores, answers), facts),
        "ap": Result(precision, "of 1", len(scores), None, average_precision_interval(scores, answers), facts),
    }


@metric(
    "elbo_per_node",
    group="graph",
    gives={
        "elbo_per_node": ("the plain evidence lower bound of each graph over its number of nodes", True),
        "active_node_units": ("latent dimensions whose posterior mean varies over the nodes by more than 0.01", None),
    },
    needs=("graph",),
)
def elbo_per_node(subject: Subject) -> dict[str, Result]:
    """The plain ELBO over the number of nodes, and the latent dimensions that are active over the nodes."""
    values, codes = [], []
    reason = None
    for x, _ in subject.batches("elbo_per_node"):
        trace = subject.model.trace(x, hard=True)
        reason = reason or bounds.refusal(trace)
        codes.append(x.packed(trace.latents["z"].q.mean))
        if reason is None:
            values.append(bounds.elbo(trace) / x.sizes)
    means = joined(codes)
    active = Result(float((means.var(0) > ACTIVE).sum()), "dimensions", len(means), facts={"of": means.shape[1]})
    unit = "nats a node"
    bound = mean_of(joined(values), unit) if reason is None else refused(reason, unit)
    return {"elbo_per_node": bound, "active_node_units": active}


@metric(
    "drawn_graphs",
    group="graph",
    gives={
        "degree": ("mean degree of a node in drawn graphs", None),
        "clustering": ("mean local clustering coefficient of a node in drawn graphs", None),
        "degree_distance": (
            "total variation between the degrees of drawn graphs' nodes and of the test graphs'",
            False,
        ),
        "clustering_distance": ("the same of local clustering coefficients, in ten bins", False),
    },
    needs=("graph",),
    quiet=True,
)
def drawn_graphs(subject: Subject) -> dict[str, Result]:
    """Degrees and clustering of graphs drawn from the model beside those of the test graphs."""
    names = {"degree": "edges a node", "clustering": "of 1", "degree_distance": "of 1", "clustering_distance": "of 1"}
    data = subject.x
    if len(data) < 2:
        reason = "the data are one graph, so there are no others to compare"
        return {name: refused(reason, unit) for name, unit in names.items()}
    drawn: Any = subject.model.sample(max(LEAST_DRAWN, len(data))).to("cpu")
    ours, theirs = statistics(drawn), statistics(data)
    train = None if subject.train is None else statistics(subject.train()[0])
    out = {}
    for i, name in enumerate(("degree", "clustering")):
        per_graph = torch.tensor([float(part.mean()) for part in ours[i]])
        truth = float(np.mean([part.mean() for part in theirs[i]]))
        out[name] = mean_of(per_graph, names[name], data=truth)
        far = distance(ours[i], theirs[i], name)
        facts = {} if train is None else {"training graphs": distance(train[i], theirs[i], name)}
        out[f"{name}_distance"] = Result(far, "of 1", len(drawn), facts=facts)
    return out


def statistics(x: Graphs) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the degree and the local clustering coefficient of every node, graph by graph.

    The coefficient is the share of pairs of a node's neighbours that are joined; 0 with fewer than two neighbours.
    Source: Watts & Strogatz 1998.
    """
    degrees, clusterings = [], []
    for i, n in enumerate(x.sizes.tolist()):
        edges = x[i].edges.numpy()
        a = np.zeros((n, n))
        a[edges[:, 0], edges[:, 1]] = a[edges[:, 1], edges[:, 0]] = 1
        degree = a.sum(1)
        pairs = degree * (degree - 1) / 2
        triangles = ((a @ a) * a).sum(1) / 2
        degrees.append(degree)
        clusterings.append(np.divide(triangles, pairs, out=np.zeros(n), where=pairs > 0))
    return degrees, clusterings


def distance(ours: list[np.ndarray], theirs: list[np.ndarray], name: str) -> float:
    """Return ½ Σ |p − q| over degrees, or over ten bins of clustering coefficients."""
    a, b = np.concatenate(ours), np.concatenate(theirs)
    top = int(max(a.max(), b.max())) + 1
    edges = np.arange(top + 1) - 0.5 if name == "degree" else np.linspace(0, 1, 11)
    p, q = (np.histogram(v, edges)[0] / len(v) for v in (a, b))
    return float(np.abs(p - q).sum() / 2)
