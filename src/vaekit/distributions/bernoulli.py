"""Bernoulli families on logits: the real one, for binary data, and the soft one that is no likelihood."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event
from vaekit.distributions.kl import register_kl


class BernoulliFamily(Family):
    """Independent bits with log-odds `logits` over the last `event_dims` axes.

    log p(x) = Σ_j x_j l_j - log(1 + exp l_j), nats/example.

    >>> BernoulliFamily(torch.zeros(1, 4), 1).log_prob(torch.ones(1, 4)).item()
    -2.7725...
    """

    measure = "mass"
    has_rsample = False
    domain = constraints.boolean

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = logits
        split = logits.dim() - event_dims
        super().__init__(logits.shape[:split], logits.shape[split:])

    @property
    def mean(self) -> Tensor:
        """P(x_j = 1)."""
        return torch.sigmoid(self.logits)

    @property
    def mode(self) -> Tensor:
        """The likelier value of each bit."""
        return (self.logits > 0).to(self.logits.dtype)

    @property
    def variance(self) -> Tensor:
        """P(x_j = 1) P(x_j = 0)."""
        p = self.mean
        return p * (1 - p)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw bits, as floats."""
        with torch.no_grad():
            return torch.bernoulli(self.mean.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass, nats/example."""
        dims = len(self.event_shape)
        if torch.is_grad_enabled() and dims:
            # torch's one call is quicker, forwards and backwards, than the expression below.
            logits, x = self.logits.flatten(-dims), value.flatten(-dims).to(self.logits.dtype)
            if logits.shape[-x.dim() :] == x.shape:
                x = x.expand_as(logits)
            else:  # rare: torch.broadcast_tensors takes forty microseconds, which a small model's step would feel
                logits, x = torch.broadcast_tensors(logits, x)
            return -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        if value.dim() >= self.logits.dim() or value.shape != self.logits.shape[-value.dim() :]:
            return sum_event(value * self.logits - softplus(self.logits), dims)
        # Many samples of few examples: Σ_j x_j l_j as matrix-vector products, without (K, B, D) products
        size = math.prod(self.event_shape)
        x = value.reshape(-1, size)
        logits = self.logits.reshape(-1, len(x), size)
        inner = torch.einsum("kbd,bd->kb", logits, x.to(logits.dtype))
        return (inner - softplus(logits).sum(-1)).view(self.batch_shape)

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-mass of each bit, shaped as the logits."""
        return value * self.logits - softplus(self.logits)

    def tempered(self, temperature: float) -> BernoulliFamily:
        """Return the distribution with log-odds divided by `temperature`."""
        return type(self)(self.logits / temperature, len(self.event_shape))

    def entropy(self) -> Tensor:
        """Return the entropy, nats/example."""
        return sum_event(softplus(self.logits) - self.mean * self.logits, len(self.event_shape))

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every element of each example is 0 or 1."""
        return ((x == 0) | (x == 1)).flatten(-len(self.event_shape)).all(-1)


class SoftBernoulliFamily(BernoulliFamily):
    """The Bernoulli cross-entropy on grey values in [0, 1]: Σ_j x_j l_j - log(1 + exp l_j).

    It is common in tutorials and is *not* a log-probability: over x in [0, 1] its exponential does not integrate to 1.
    """

    measure = "none"
    domain = constraints.unit_interval

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every element of each example lies in [0, 1]."""
        return ((x >= 0) & (x <= 1)).flatten(-len(self.event_shape)).all(-1)


@register_kl(BernoulliFamily, BernoulliFamily, elements=True)
def _bits_bits(q: BernoulliFamily, p: BernoulliFamily) -> Tensor:
    """Σ_b q(b) (log q(b) - log p(b)) for each bit."""
    return q.mean * (q.logits - p.logits) + softplus(p.logits) - softplus(q.logits)
