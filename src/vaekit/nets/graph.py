"""Graph convolutions: what a node becomes depends on its neighbours, whatever the order of the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from vaekit.graphs import Graphs
from vaekit.nets.base import HALF, Net, activation


def propagation(x: Graphs, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return Ã = D^-½ (A + I) D^-½ over all nodes of the batch, sparse (N, N); D are the degrees of A + I.

    A holds the edges an encoder may see. Source: Kipf & Welling 2017, arXiv:1609.02907.

    >>> from vaekit.graphs import Graphs
    >>> propagation(Graphs(torch.tensor([3]), torch.tensor([[0, 1]]))).to_dense()
    tensor([[0.5000, 0.5000, 0.0000],
            [0.5000, 0.5000, 0.0000],
            [0.0000, 0.0000, 1.0000]])
    """
    seen = x.edges if x.seen is None else x.seen
    n = x.nodes
    own = torch.arange(n, device=x.device)
    rows, columns = torch.cat([seen[:, 0], seen[:, 1], own]), torch.cat([seen[:, 1], seen[:, 0], own])
    scale = torch.bincount(rows, minlength=n).to(dtype).rsqrt()
    values = scale[rows] * scale[columns]
    # Said, since torch warns where nobody says whether the numbers are to be checked; they are right by construction.
    return torch.sparse_coo_tensor(torch.stack([rows, columns]), values, (n, n), check_invariants=False).coalesce()


class GraphConv(nn.Module):
    """H → Ã H W + b, (N, in) → (N, out); W starts as in Glorot & Bengio 2010. `H` None stands for the identity."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, h: Tensor | None, spread: Tensor) -> Tensor:
        """Mix the features of each node with those of its neighbours."""
        # Sparse products have no slope in half precision.
        with torch.autocast(spread.device.type, enabled=False):
            h = h if h is None else h.to(spread.dtype)
            mixed = self.weight if h is None else torch.sparse.mm(h, self.weight) if h.is_sparse else h @ self.weight
            return torch.sparse.mm(spread, mixed) + self.bias


class GraphNet(Net):
    """Graph convolutions from a batch of graphs to values of each node, (G, values, pad, out); zero where no node is.

    `inputs` is the number of features a node has; where graphs have none, the number of nodes of the one graph, which
    are then distinguished by an indicator each. Equivariant: reordering the nodes reorders what comes out.

    >>> x = Graphs(torch.tensor([3, 2]), torch.tensor([[0, 1], [3, 4]]), features=torch.ones(5, 4))
    >>> GraphNet(4, (32,), 16).widen(2)(x).shape
    torch.Size([2, 2, 3, 16])
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], outputs: int, *, act: str = "relu", dropout: float = 0.0
    ) -> None:
        super().__init__(None, (0, outputs))
        widths = [inputs, *hidden]
        self.layers = nn.ModuleList(GraphConv(a, b) for a, b in pairwise(widths))
        self.act = activation(act)
        self.dropout = nn.Dropout(dropout)
        self.width = widths[-1]
        self.outputs = outputs
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        """Return the last graph convolution."""
        return GraphConv(self.width, values * self.outputs)

    def forward(self, x: Graphs, context: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Return (G, values, pad, out)."""
        weight = self.head.weight
        assert isinstance(weight, Tensor)
        spread = propagation(x, weight.dtype)
        h = x.features
        for layer in self.layers:
            h = self.dropout(self.act(layer(h, spread)))
        out = self.head(h, spread)
        out = out.float() if out.dtype in HALF else out
        return x.padded(out).unflatten(-1, (self.values, self.outputs)).transpose(1, 2)
