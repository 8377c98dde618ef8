"""What an encoder is told of a node: features as given, an indicator of its own, or its place in the spectrum."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vaekit.data.graphs.raw_graphs import RawGraphs
from vaekit.errors import UserError
from vaekit.graphs import Graphs

LARGEST_DENSE = 2000


def feature_kind(raw: RawGraphs, wanted: str, links: bool) -> str:
    """Return which features nodes get, "auto" settled; `links`: the graph is one whose links are held out."""
    if wanted == "auto":
        return "given" if raw.features is not None else "indicator" if links else "spectral"
    if wanted == "given" and raw.features is None:
        raise UserError(f"{raw.source}: nodes have no features; leave data.features out")
    if wanted == "indicator" and not links:
        raise UserError("data.features=indicator numbers the nodes of one graph; for several graphs use spectral")
    return wanted


def feature_width(x: Graphs, kind: str) -> int:
    """Return how many numbers a node has; an indicator has one for each node."""
    return x.nodes if x.features is None or kind == "indicator" else x.features.shape[1]


def with_features(x: Graphs, raw: RawGraphs, kind: str, spectral_width: int) -> Graphs:
    """Return the graphs with features of a kind; an indicator is left to the network that embeds it."""
    if kind == "indicator":
        return x
    if kind == "spectral":
        return replace(x, features=spectral(x, spectral_width))
    return replace(x, features=raw.features)


def spectral(x: Graphs, width: int) -> Tensor:
    """Return, for each node (N, width + 2): its graph's leading eigenvectors there, log(1 + degree), log(nodes) / 4.

    They are those of D^-½ (A + I) D^-½ over the edges seen, by falling eigenvalue, times √n, zero beyond n. A vector's
    sign makes the sum of its cubes positive. They follow the nodes whatever their order, except where eigenvalues
    coincide: there any basis is as good.
    """
    seen = x.edges if x.seen is None else x.seen
    largest = int(x.sizes.max())
    if largest > LARGEST_DENSE:
        raise UserError(
            f"spectral features are for graphs of up to {LARGEST_DENSE:,} nodes, and one has {largest:,}; give features"
        )
    out = np.zeros((x.nodes, width + 2), np.float32)
    graph, i, j = (part.numpy() for part in x.local(seen))
    starts = x.starts.tolist()
    for g, n in enumerate(x.sizes.tolist()):
        a = np.eye(n)
        rows = graph == g
        a[i[rows], j[rows]] = a[j[rows], i[rows]] = 1
        degree = a.sum(1)
        vectors = np.linalg.eigh(a / np.sqrt(np.outer(degree, degree)))[1][:, ::-1][:, :width] * math.sqrt(n)
        vectors = vectors * np.where((vectors**3).sum(0) < 0, -1, 1)
        part = out[starts[g] : starts[g] + n]
        part[:, : vectors.shape[1]] = vectors
        part[:, width] = np.log(degree)
        part[:, width + 1] = math.log(n) / 4
    return torch.from_numpy(out)
