"""The reconstruction term of graphs, with its edges weighted up."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.trace import Trace


@OBJECTIVES.register("edge-reconstruction", reference="Kipf & Welling 2016, arXiv:1611.07308")
class EdgeReconstruction(Term):
    """-E_q[w Σ_edges log p(a_ij=1|Z) + Σ_others log p(a_ij=0|Z)], (G,) nats; w = 1 is the log-likelihood.

    w "balanced" is the number of observed pairs not joined over that of edges, graph by graph, so that both sums weigh
    alike: a training option, never part of a reported bound. Source: Kipf & Welling 2016, arXiv:1611.07308 (its code).
    """

    name = "reconstruction"

    def __init__(self, pos_weight: float | Literal["balanced"] = 1.0, k: int = 1) -> None:
        super().__init__()
        self.pos_weight = pos_weight
        self.k = k

    def forward(self, trace: Trace) -> Tensor:
        """Return the weighted reconstruction."""
        px: Any = trace.px
        edges, rest = px.log_parts(trace.x)
        weight = balance(trace.x) if self.pos_weight == "balanced" else self.pos_weight
        return -(weight * edges + rest).mean(0)


def balance(x: Any) -> Tensor:
    """Return (observed pairs - edges) / edges of each graph, (G,); 1 for a graph without edges."""
    pairs = x.sizes * (x.sizes - 1) // 2 - _count(x, x.hidden)
    edges = _count(x, x.edges)
    return ((pairs - edges) / edges.clamp(min=1)).where(edges > 0, pairs.new_ones(()).float())


def _count(x: Any, pairs: Tensor | None) -> Tensor:
    if pairs is None:
        return x.sizes * 0
    return x.graph_of[pairs[:, 0]].bincount(minlength=len(x))
