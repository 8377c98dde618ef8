"""Normal families over the nodes of graphs of several sizes: what is not a node has no part in any number."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family
from vaekit.distributions.kl import register_kl
from vaekit.distributions.normal import LOG_2PI


class NodeNormal(Family):
    """Π_i N(z_i; μ_i, diag σ_i²) over the nodes i of each graph, in a dense form.

    log p(z) = -½ Σ_i Σ_d [((z_id - μ_id) / σ_id)² + 2 log σ_id + log 2π], nats a graph, i over `mask`.
    `loc` and `log_scale` are (G, N, D), `mask` (G, N) says which rows are nodes; samples are zero elsewhere. The noise
    of a node does not depend on how many rows are no nodes.

    >>> mask = torch.tensor([[True, True, False]])
    >>> q = NodeNormal(torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), mask)
    >>> q.rsample((4,)).shape, q.log_prob(torch.zeros(1, 3, 2)).item()
    (torch.Size([4, 1, 3, 2]), -3.6757...)
    """

    def __init__(self, loc: Tensor, log_scale: Tensor, mask: Tensor) -> None:
        self.loc = torch.where(mask.unsqueeze(-1), loc, loc.new_zeros(()))
        self.log_scale = torch.where(mask.unsqueeze(-1), log_scale, log_scale.new_zeros(()))
        self.mask = mask
        super().__init__(loc.shape[:1], loc.shape[1:])

    @property
    def mean(self) -> Tensor:
        """The means μ, zero where there is no node."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The mode, which is the mean."""
        return self.loc

    @property
    def scale(self) -> Tensor:
        """The standard deviations σ, one where there is no node."""
        return self.log_scale.exp()

    @property
    def variance(self) -> Tensor:
        """The variances σ², one where there is no node."""
        return (2 * self.log_scale).exp()

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw μ + σ ε, ε ~ N(0, I) for each node."""
        shape = self._extended_shape(sample_shape)
        n = int(self.mask.sum())
        drawn = torch.randn(*shape[:-3], n, shape[-1], dtype=self.loc.dtype, device=self.loc.device)
        noise = drawn.new_zeros(shape)
        noise[..., self.mask, :] = drawn
        return self.at(noise)

    def at(self, noise: Tensor) -> Tensor:
        """Return μ + σ ε for a given ε (..., G, N, D)."""
        return torch.addcmul(self.loc, noise, self.log_scale.exp()) * self.mask.unsqueeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of (..., G, N, D), nats a graph."""
        z = (value - self.loc) * torch.exp(-self.log_scale)
        each = -0.5 * (z * z + LOG_2PI) - self.log_scale
        return (each * self.mask.unsqueeze(-1)).flatten(-2).sum(-1)

    def tempered(self, temperature: float) -> NodeNormal:
        """Return the family with every standard deviation multiplied by `temperature`."""
        return NodeNormal(self.loc, self.log_scale + math.log(temperature), self.mask)

    def entropy(self) -> Tensor:
        """Return Σ_i Σ_d ½ (1 + log 2π) + log σ_id, nats a graph."""
        return ((0.5 * (1 + LOG_2PI) + self.log_scale) * self.mask.unsqueeze(-1)).flatten(-2).sum(-1)


def standard_nodes(mask: Tensor, dims: int, dtype: torch.dtype = torch.float32) -> NodeNormal:
    """Return N(0, I) over `dims` dimensions of each node of `mask` (G, N).

    >>> standard_nodes(torch.tensor([[True, False]]), 3).log_prob(torch.zeros(1, 2, 3)).item()
    -2.7568...
    """
    zero = torch.zeros((), dtype=dtype, device=mask.device).expand(*mask.shape, dims)
    return NodeNormal(zero, zero, mask)


@register_kl(NodeNormal, NodeNormal)
def _node_node(q: NodeNormal, p: NodeNormal) -> Tensor:
    """Σ_i Σ_d ½ ((μ_q - μ_p)² / σ_p² + σ_q² / σ_p² - 1) + log σ_p - log σ_q, nats a graph; never negative."""
    log_ratio = q.log_scale - p.log_scale
    off = (q.loc - p.loc) * torch.exp(-p.log_scale)
    each = 0.5 * (off * off + torch.expm1(2 * log_ratio)) - log_ratio
    return (each * q.mask.unsqueeze(-1)).flatten(-2).sum(-1)
