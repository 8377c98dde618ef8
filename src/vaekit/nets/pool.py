"""Networks of a set: attention pools its members' features into one answer, whatever their order and number."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vaekit.nets.base import Dense, Net, activation
from vaekit.nets.mlp import Shape, as_shape


class AttentionPool(Net):
    """Members' features h (B, N, W) → (B, values, *out_shape): f(pooled, mass) - f(0, 0), which of no members is 0.

    Each of `heads` learned queries scores a member, s_i = q·h_i, and takes a value of it, v_i = V h_i, beside an empty
    slot of score 0 and value 0:

        pooled = Σ_i e^{s_i} v_i / (1 + Σ_i e^{s_i}),    mass = log(1 + Σ_i e^{s_i}).

    Both are sums over the members, so their order does not matter, and a member that is there twice counts twice. The
    mass grows with the number of members: it tells the posterior how much it has seen. A posterior around it so has
    its network's output 0 for an empty set: N(0, I), the prior.

    Source: attention pooling with learned queries, Lee et al. 2019, arXiv:1810.00825, §3.2.

    >>> pool = AttentionPool(8, 3)
    >>> h = torch.randn(2, 5, 8)
    >>> torch.allclose(pool(h), pool(h.flip(1)), atol=1e-6), pool(h[:, :0]).abs().max().item()
    (True, 0.0)
    """

    def __init__(self, width: int, out_shape: Shape, heads: int = 4, hidden: int = 128, act: str = "silu") -> None:
        super().__init__(None, as_shape(out_shape))
        self.scores = Dense(width, heads)
        self.members = Dense(width, heads * hidden)
        self.mix = nn.Sequential(Dense(heads * (hidden + 1), hidden), activation(act))
        self.hidden = hidden
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        """Return the last linear layer, without a bias: that of the empty set would cancel it."""
        return Dense(self.hidden, values * math.prod(self.out_shape), bias=False)

    def features(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return f's last hidden layer less that of an empty set, (B, hidden)."""
        scores = nn.functional.pad(at_least_single(self.scores(x)), (0, 0, 1, 0))  # (B, 1 + N, H), the empty slot first
        weights = scores.softmax(1)[:, 1:]
        values = self.members(x).unflatten(-1, (weights.shape[-1], self.hidden)).to(weights.dtype)
        pooled = torch.einsum("bnh,bnhd->bhd", weights, values).flatten(1)
        seen = torch.cat([pooled, scores.logsumexp(1)], -1)
        return self.mix(seen) - self.mix(torch.zeros_like(seen))


def at_least_single(x: Tensor) -> Tensor:
    """Return x in single precision, or double where it is: half loses what a softmax over many needs."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
