"""Small graphs for tests."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch

from vaekit.graphs import Graphs
from vaekit.likelihoods.edges import Edges
from vaekit.models.graph import GraphVAE
from vaekit.nets.graph import GraphNet
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.normal import DiagonalNormal


def some(sizes: tuple[int, ...] = (5, 3, 7), seed: int = 0, features: int = 4, density: float = 0.4) -> Graphs:
    """Random graphs of the given sizes with random features."""
    generator = torch.Generator().manual_seed(seed)
    pairs, start = [], 0
    for n in sizes:
        every = torch.tensor(list(itertools.combinations(range(n), 2)), dtype=torch.int64).reshape(-1, 2)
        pairs.append(every[torch.rand(len(every), generator=generator) < density] + start)
        start += n
    x = torch.randn(start, features, generator=generator)
    return Graphs(torch.tensor(sizes), torch.cat(pairs), features=x)


def every_graph(n: int) -> Graphs:
    """All 2^(n(n-1)/2) graphs of n nodes, as one batch."""
    every = list(itertools.combinations(range(n), 2))
    parts = []
    for bits in itertools.product((False, True), repeat=len(every)):
        edges = [pair for pair, on in zip(every, bits) if on]
        parts.append(Graphs(torch.tensor([n]), torch.tensor(edges, dtype=torch.int64).reshape(-1, 2)))
    return Graphs.cat(parts)


def model(
    features: int = 4, dims: int = 2, *, delta: bool = False, hidden: tuple[int, ...] = (6,), push: float = 0.3
) -> GraphVAE:
    """A small model with a learned bias and weights that do something."""
    torch.manual_seed(3)
    net = GraphNet(features, (8,), dims)
    likelihood = Edges(dims, hidden, bias=True)
    made = GraphVAE(Delta(net) if delta else DiagonalNormal(net), likelihood, {3: 1, 5: 2})
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(push * torch.randn_like(parameter))
    return made


def shuffled(x: Graphs, order: torch.Tensor) -> Graphs:
    """The same graphs with their nodes in another order: node `order[i]` (N,) becomes node i.

    The order must keep each graph's nodes together.
    """
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    parts = ((name, getattr(x, name)) for name in ("edges", "seen", "hidden"))
    pairs = {name: _sorted(place[part]) for name, part in parts if part is not None}
    if x.asked is not None:
        pairs["asked"] = place[x.asked].sort(1).values
    features = None if x.features is None else x.features.index_select(0, order)
    return replace(x, **pairs, features=features, labels=None if x.labels is None else x.labels[order])


def _sorted(pairs: torch.Tensor) -> torch.Tensor:
    """Pairs with i < j in the order of (i, j)."""
    pairs = pairs.sort(1).values
    return pairs[(pairs[:, 0] * (int(pairs.max()) + 1) + pairs[:, 1]).argsort()] if len(pairs) else pairs
