"""The likelihood of a graph given a latent for each of its nodes: inner products, with or without a network before."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaekit.distributions.edges import EdgesFamily
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.nets.base import activation


@LIKELIHOODS.register(
    "edges",
    reference="Kipf & Welling 2016, arXiv:1611.07308",
    of="graphs",
    no_contract="its events are graphs: tests/distributions/test_edges.py sums it over all of them",
)
class Edges(Likelihood):
    """p(A|Z) = Π_{i<j} Bernoulli(a_ij; sigmoid(f(z_i)ᵀ diag(s) f(z_j) + b)), each unordered pair of nodes once.

    With `hidden` empty f is the identity and s is 1, the inner-product decoder of Kipf & Welling; b is learned where
    `bias` is set, else 0. With hidden layers f is a network of that many features and s is learned: factors with s < 0
    join nodes that differ. z is (..., G, N, D); `sizes` (G,) says how many of the N rows are nodes.

    >>> Edges(2)(torch.zeros(4, 3, 2), torch.tensor([3, 3, 2, 1])).batch_shape
    torch.Size([4])
    """

    wants = "any"
    measure = "mass"

    def __init__(self, dims: int, hidden: tuple[int, ...] = (), *, bias: bool = False, act: str = "silu") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = dims
        for number, out in enumerate(hidden):
            layers += [activation(act)] if number else []
            layers.append(nn.Linear(width, out))
            width = out
        self.features = nn.Sequential(*layers)
        self.factors = nn.Parameter(torch.ones(width)) if hidden else None
        self.bias = nn.Parameter(torch.zeros(())) if bias else None

    def forward(self, z: Tensor, sizes: Tensor) -> EdgesFamily:  # type: ignore[override]
        """Return p(A|Z)."""
        u = self.features(z)
        v = u if self.factors is None else u * self.factors
        return EdgesFamily(u, v, u.new_zeros(()) if self.bias is None else self.bias, sizes)

    def start_at(self, density: float) -> None:
        """Start b from the logit of the training graphs' density, the share of pairs that are joined."""
        if self.bias is not None:
            with torch.no_grad():
                self.bias.fill_(torch.logit(torch.tensor(density).clamp(1e-6, 1 - 1e-6)))
