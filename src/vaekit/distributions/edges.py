"""Graphs whose edges are independent given what each node is: a Bernoulli for every unordered pair of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family
from vaekit.graphs import Graphs

BLOCK = 1 << 18
"""Pairs whose logits are held at once: 1 MiB, so that they stay in a core's cache."""


class EdgesFamily(Family):
    """p(A) = Π_{i<j} Bernoulli(a_ij; sigmoid(l_ij)) with l_ij = u_i · v_j + b, each unordered pair once, no diagonal.

    `u` and `v` (..., G, N, F) are what the nodes are (v = u diag(s): then l is symmetric), `bias` a scalar, `sizes`
    (G,) how many of the N rows are nodes. A graph is scored on the pairs it was observed on: `Graphs.hidden` are left
    out. The N × N logits are made in blocks and never kept, with gradients or without.

    >>> from vaekit.graphs import Graphs
    >>> triangle = Graphs(torch.tensor([3]), torch.tensor([[0, 1], [0, 2], [1, 2]]))
    >>> zero = torch.zeros(1, 3, 2)
    >>> EdgesFamily(zero, zero, torch.zeros(()), triangle.sizes).log_prob(triangle)  # three fair coins
    tensor([-2.0794])
    """

    measure = "mass"
    has_rsample = False

    def __init__(self, u: Tensor, v: Tensor, bias: Tensor, sizes: Tensor) -> None:
        self.u, self.v, self.bias, self.sizes = u, v, bias, sizes
        super().__init__(u.shape[:-2], u.shape[-2:-1] * 2)

    def _logits(self, x: Graphs, pairs: Tensor) -> Tensor:
        """Return the logits (..., E) of packed pairs (E, 2)."""
        graph, i, j = x.local(pairs)
        return (self.u[..., graph, i, :] * self.v[..., graph, j, :]).sum(-1) + self.bias

    def _per_graph(self, x: Graphs, pairs: Tensor, values: Tensor) -> Tensor:
        """Sum values (..., E) of packed pairs by graph: (..., G), double."""
        out = torch.zeros(*values.shape[:-1], len(x), dtype=torch.float64, device=values.device)
        return out.index_add(-1, x.graph_of[pairs[:, 0]], values.double())

    def log_parts(self, x: Graphs) -> tuple[Tensor, Tensor]:
        """Return log p of the observed edges, Σ log sigmoid(l_ij), and of the pairs not joined: (..., G) nats each."""
        on = self._logits(x, x.edges)
        edges = -self._per_graph(x, x.edges, softplus(-on))
        rest = self._of_all_pairs(x) - self._per_graph(x, x.edges, softplus(on))
        if x.hidden is not None and len(x.hidden):
            rest = rest - self._per_graph(x, x.hidden, softplus(self._logits(x, x.hidden)))
        return edges.to(self.u.dtype), -rest.to(self.u.dtype)

    def _of_all_pairs(self, x: Graphs) -> Tensor:
        """Return Σ_{i<j} log(1 + exp l_ij), (..., G); the bias is one more feature."""
        ends = self.bias.to(self.v.dtype).expand(*self.v.shape[:-1], 1)
        u, v = torch.cat([self.u, torch.ones_like(ends)], -1), torch.cat([self.v, ends], -1)
        full = bool((x.sizes == u.shape[-2]).all())
        return _AllSoftplus.apply(u, v, None if full else x.sizes)  # type: ignore[no-any-return]

    def log_prob(self, value: Graphs) -> Tensor:
        """Return log p of the observed pairs, (..., G) nats a graph."""
        edges, rest = self.log_parts(value)
        return edges + rest

    def pair_logits(self, x: Graphs, pairs: Tensor) -> Tensor:
        """Return the log-odds (..., E) of packed pairs (E, 2) of the graphs `x`."""
        return self._logits(x, pairs)

    @torch.no_grad()
    def likeliest(self, count: int, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pairs i < j of the one graph (G = 1) with the highest P(a_ij = 1) that are not in `known` (E, 2).

        They are (M, 2) with their probabilities (M,), the highest first; M is `count`, or fewer where there are fewer.

        >>> u = torch.tensor([[[2.0], [1.0], [-1.0]]])
        >>> px = EdgesFamily(u, u, torch.zeros(()), torch.tensor([3]))
        >>> px.likeliest(1, torch.tensor([[0, 1]]))[0].tolist()
        [[1, 2]]
        """
        n = int(self.sizes[0])
        best, pairs = self.u.new_empty(0), known.new_empty(0, 2)
        for rows, columns in _blocks(n, 1):
            logits = self.u[0, rows] @ self.v[0, columns].mT + self.bias
            keep = torch.ones_like(logits, dtype=torch.bool).triu(1)
            own = known[(known[:, 0] >= rows.start) & (known[:, 0] < rows.stop)] - rows.start
            keep[own[:, 0], own[:, 1]] = False
            left = logits.masked_fill(~keep, -torch.inf).flatten()
            top, at = left.topk(min(count, len(left)))
            at = at[top > -torch.inf]
            found = torch.stack([at // logits.shape[1], at % logits.shape[1]], 1) + rows.start
            best, order = torch.cat([best, left[at]]).sort(descending=True)
            best, pairs = best[:count], torch.cat([pairs, found])[order][:count]
        return pairs, best.sigmoid()

    @property
    def mean(self) -> Tensor:
        """P(a_ij = 1), (..., G, N, N), symmetric, zero on the diagonal and where no node is: all at once."""
        p = torch.sigmoid(self.u @ self.v.mT + self.bias)
        rows = torch.arange(p.shape[-1], device=p.device) < self.sizes.unsqueeze(-1)
        keep = rows.unsqueeze(-1) & rows.unsqueeze(-2) & ~torch.eye(p.shape[-1], dtype=torch.bool, device=p.device)
        return p * keep

    def sample(self, sample_shape: _size = SCALAR) -> Graphs:  # type: ignore[override]
        """Draw a graph of each size: `Graphs` of G graphs. Batches (K, G) and sample shapes are not drawn."""
        if sample_shape != SCALAR or len(self.batch_shape) != 1:
            raise ValueError("one graph is drawn for each of (G,) distributions")
        return self._choose(lambda logits: torch.bernoulli(torch.sigmoid(logits)) > 0)

    @property
    def mode(self) -> Graphs:
        """The likeliest graphs: every pair with odds above one is joined."""
        return self._choose(lambda logits: logits > 0)

    @torch.no_grad()
    def _choose(self, joined: Any) -> Graphs:
        starts = (self.sizes.cumsum(0) - self.sizes).tolist()
        found = [torch.empty(0, 2, dtype=torch.int64, device=self.u.device)]
        for g, n in enumerate(self.sizes.tolist()):
            for rows, columns in _blocks(n, 1):
                logits = self.u[g, rows] @ self.v[g, columns].mT + self.bias
                pairs = joined(logits).triu(1).nonzero()
                found.append(pairs + rows.start + starts[g])
        return Graphs(self.sizes, torch.cat(found))

    def in_support(self, x: Any) -> Tensor:
        """Whether each of the graphs fits: (G,) bool."""
        return x.sizes <= self.u.shape[-2]


def _blocks(n: int, batch: int) -> Iterator[tuple[slice, slice]]:
    """Yield row and column ranges that cover the upper triangle, at most `BLOCK` pairs at once over the batch."""
    height = max(1, min(n, BLOCK // max(1, n * batch)))
    for start in range(0, n, height):
        yield slice(start, min(start + height, n)), slice(start, n)


class _AllSoftplus(torch.autograd.Function):
    """Σ_{i<j<n} log(1 + exp(u_i · v_j)), (..., G) double; block by block, computed again for the slopes."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor, sizes: Tensor | None) -> Tensor:
        ctx.save_for_backward(u, v, sizes)
        total = torch.zeros(u.shape[:-2], dtype=torch.float64, device=u.device)
        for rows, columns, leads in _parts(u):
            value = softplus(_block(u, v, sizes, rows, columns, leads))
            total.view(-1)[leads] += value.sum(-1).sum(-1, dtype=torch.float64)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        u, v, sizes = ctx.saved_tensors
        n, width = u.shape[-2:]
        flat_u, flat_v = u.reshape(-1, n, width), v.reshape(-1, n, width)
        grad_u, grad_v = torch.zeros_like(flat_u), torch.zeros_like(flat_v)
        for rows, columns, leads in _parts(u):
            p = _block(u, v, sizes, rows, columns, leads).sigmoid_()
            weight = slope.reshape(-1)[leads].to(u.dtype)[:, None, None]
            grad_u[leads, rows] += p @ flat_v[leads, columns] * weight
            grad_v[leads, columns] += p.mT @ flat_u[leads, rows] * weight
        return grad_u.view_as(u), grad_v.view_as(v), None


def _parts(u: Tensor) -> Iterator[tuple[slice, slice, slice]]:
    """Yield the blocks of pairs, and of the batch where one graph takes less than a block."""
    n, batch = u.shape[-2], u[..., 0, 0].numel()
    step = max(1, BLOCK // max(1, n * n))
    for first in range(0, batch, step):
        for rows, columns in _blocks(n, min(step, batch - first)):
            yield rows, columns, slice(first, min(first + step, batch))


def _block(u: Tensor, v: Tensor, sizes: Tensor | None, rows: slice, columns: slice, leads: slice) -> Tensor:
    """Return the logits of a block (columns start where rows do), −∞ where a pair is not i < j < n."""
    n, width = u.shape[-2:]
    left, right = u.reshape(-1, n, width)[leads, rows], v.reshape(-1, n, width)[leads, columns]
    logits = left @ right.mT
    height = rows.stop - rows.start
    below = torch.ones(height, height, dtype=torch.bool, device=u.device).tril()
    logits[..., :height].masked_fill_(below, -torch.inf)
    if sizes is not None:
        j = torch.arange(columns.start, columns.stop, device=u.device)
        logits.masked_fill_(j >= sizes.expand(u.shape[:-2]).reshape(-1)[leads, None, None], -torch.inf)
    return logits
