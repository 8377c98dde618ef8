"""The figures of a run on one graph, whose links are learned."""

from __future__ import annotations

from typing import Any

import torch

from vaekit.distributions.edges import EdgesFamily
from vaekit.figures import graphs
from vaekit.inference import inference
from vaekit.runs.latent import LatentRun

PREDICTED = 15
"""Pairs of the drawn part that are no link, the likeliest, that are drawn as predicted."""


def part(run: LatentRun) -> Any:
    """A part of one graph, its nodes by class, with the likeliest pairs of it that are no link."""
    if not run.info.facts.get("links"):
        return None
    graph: Any = run.shown.x
    edges, n = graph.edges.numpy(), graph.nodes
    chosen = torch.from_numpy(graphs.near(n, edges))
    model: Any = run.model
    with inference(model):
        px: EdgesFamily = model.decode(model.posterior_mean(graph.to(run.device)))
    u, v = (each[:, chosen.to(run.device)].cpu() for each in (px.u, px.v))
    within = EdgesFamily(u, v, px.bias.cpu(), torch.tensor([len(chosen)]))
    places = torch.full((n,), -1)
    places[chosen] = torch.arange(len(chosen))
    known = places[graph.edges].sort(1).values
    pairs, chance = within.likeliest(PREDICTED, known[known[:, 0] >= 0])
    classes = None if graph.labels is None else graph.labels.numpy()
    names = run.info.facts.get("classes") or ()
    return graphs.part(n, edges, classes, names, chosen[pairs].numpy(), chance.numpy())


MAKERS = {"part": part}
"""Makers by the name of the figure."""
