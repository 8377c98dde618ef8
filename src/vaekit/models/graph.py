"""The variational graph autoencoder: a latent for every node, and edges that are independent given them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.conditional import Posterior
from vaekit.distributions.base import is_point_mass, tempered
from vaekit.distributions.edges import EdgesFamily
from vaekit.distributions.nodes import NodeNormal, standard_nodes
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.graphs import Graphs
from vaekit.likelihoods.edges import Edges
from vaekit.models.base import Model
from vaekit.trace import Latent, Trace


class GraphVAE(Model):
    """p(A, Z) = Π_i N(z_i; 0, I) Π_{i<j} p(a_ij|z_i, z_j), with q(Z|A, X) = Π_i q(z_i|A, X) from graph convolutions.

    x is a batch of G `Graphs`; z is (K, G, N, D) with N rows for the largest of them, zero where there is no node. The
    bound is one on log p of a graph's observed pairs, nats a graph. `sizes` counts the training graphs by their number
    of nodes, {n: count}: a sample's number of nodes is drawn from them. With a `Delta` posterior it is the plain graph
    autoencoder, and bounds nothing.

    Source: Kipf & Welling 2016, arXiv:1611.07308.

    >>> from vaekit.nets.graph import GraphNet
    >>> from vaekit.posteriors.normal import DiagonalNormal
    >>> model = GraphVAE(DiagonalNormal(GraphNet(4, (8,), 2)), Edges(2), {3: 1, 2: 1})
    >>> x = Graphs(torch.tensor([3, 2]), torch.tensor([[0, 1], [3, 4]]), features=torch.ones(5, 4))
    >>> model.trace(x, k=5).log_w.shape, len(model.sample(7))
    (torch.Size([5, 2]), 7)
    """

    def __init__(self, posterior: Posterior, likelihood: Edges, sizes: dict[int, int]) -> None:
        super().__init__()
        if not sizes:
            raise UserError("a model of graphs needs to know how many nodes the training graphs have")
        self.posterior = posterior
        self.likelihood = likelihood
        self.dims = posterior.latent_shape[-1]
        self.size_values = sorted(sizes)
        self.size_counts = [sizes[n] for n in self.size_values]

    def trace(self, x: Graphs, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:  # type: ignore[override]
        """Run one forward pass with `k` posterior samples a graph."""
        q = self.encode(x)
        p = standard_nodes(x.mask, self.dims, _dtype(q))
        z = q.rsample(torch.Size((k,)))
        return Trace(x, y, {"z": Latent(q, p, z, z)}, self.decode(z, sizes=x.sizes))

    def encode(self, x: Graphs, y: Tensor | None = None) -> Distribution:  # type: ignore[override]
        """Return q(Z|A, X), batch shape (G,), event (N, D)."""
        q = self.posterior(x)
        if isinstance(q, DiagonalNormalFamily):
            return NodeNormal(q.loc, q.log_scale, x.mask)
        if is_point_mass(q):
            return q
        raise UserError(
            f"a model of graphs needs a posterior that factorises over the nodes, and {type(self.posterior).__name__} "
            "does not; set model.posterior to diagonal-normal or delta"
        )

    def posterior_mean(self, x: Graphs, y: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Return the means of q(Z|A, X), (G, N, D), zero where there is no node."""
        return self.encode(x).mean

    def node_codes(self, x: Graphs) -> Tensor:
        """Return the posterior mean of every node of the batch, packed, (N, D)."""
        return x.packed(self.posterior_mean(x))

    def features(self, x: Graphs, y: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Return the mean over its nodes of the posterior means, one row a graph: (G, D)."""
        return self.posterior_mean(x).sum(1) / x.sizes.unsqueeze(1)

    def decode(self, z: Tensor, y: Tensor | None = None, sizes: Tensor | None = None) -> EdgesFamily:
        """Return p(A|Z) for z (..., G, N, D); all N rows are nodes unless `sizes` (G,) says less."""
        if sizes is None:
            sizes = torch.full(z.shape[-3:-2], z.shape[-2], dtype=torch.int64, device=z.device)
        return self.likelihood(z, sizes)

    def reconstruct(self, x: Graphs, y: Tensor | None = None, sample: bool = False) -> Any:  # type: ignore[override]
        """Return the likeliest graphs at the posterior mean, or at a posterior sample if `sample`."""
        q = self.encode(x)
        return self.decode(q.rsample() if sample else q.mean, sizes=x.sizes).mode

    def sample(self, n: int, y: Tensor | None = None, temperature: float = 1.0, draw: bool = False) -> Any:
        """Return `n` graphs: sizes as the training graphs', latents from the prior, edges drawn from p(A|Z).

        Edges are always drawn: the mean of p(A|Z) is no graph. `draw` changes nothing.
        """
        device = next(self.parameters()).device
        counts = torch.tensor(self.size_counts, dtype=torch.float64)
        chosen = torch.multinomial(counts, n, replacement=True)
        sizes = torch.tensor(self.size_values)[chosen].to(device)
        blank = Graphs(sizes, torch.empty(0, 2, dtype=torch.int64, device=device))
        prior = tempered(standard_nodes(blank.mask, self.dims), temperature)
        return self.decode(prior.sample(), sizes=sizes).sample()


def _dtype(q: Distribution) -> torch.dtype:
    return q.mean.dtype
