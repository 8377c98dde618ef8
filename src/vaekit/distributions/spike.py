"""Spike and slab: numbers that are exactly zero, or normal."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event
from vaekit.distributions.kl import register_kl
from vaekit.distributions.normal import LOG_2PI
from vaekit.distributions.relaxed import logistic


class SpikeSlabFamily(Family):
    """Each number is 0 with probability 1 - γ_j, and else N(μ_j, σ_j²); γ = sigmoid(logits).

    log p(x) = Σ_j log(1 - γ_j) where x_j = 0, and log γ_j + log N(x_j; μ_j, σ_j²) elsewhere, nats/example: a density
    with respect to Lebesgue measure and a unit mass at 0. Ratios of two such densities are those of the distributions.

    >>> p = SpikeSlabFamily(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2))
    >>> p.log_prob(torch.zeros(1, 2)).item()  # two spikes, log ½ each
    -1.3862...
    """

    has_rsample = False

    def __init__(self, logits: Tensor, loc: Tensor, log_scale: Tensor, event_dims: int = 1) -> None:
        self.logits, self.loc, self.log_scale = logits, loc, log_scale
        split = loc.dim() - event_dims
        super().__init__(loc.shape[:split], loc.shape[split:])

    @property
    def share(self) -> Tensor:
        """γ, the probability that a number is not 0."""
        return torch.sigmoid(self.logits)

    @property
    def mean(self) -> Tensor:
        """γ μ."""
        return self.share * self.loc

    @property
    def mode(self) -> Tensor:
        """0 where the spike is the likelier part, else μ."""
        return torch.where(self.logits > 0, self.loc, torch.zeros_like(self.loc))

    @property
    def variance(self) -> Tensor:
        """γ (σ² + μ²) - γ² μ²."""
        share = self.share
        return share * ((2 * self.log_scale).exp() + (1 - share) * self.loc.square())

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw numbers, zeros among them."""
        with torch.no_grad():
            return self.through(sample_shape, torch.ones((), dtype=self.loc.dtype, device=self.loc.device))

    def through(self, sample_shape: _size, temperature: Tensor) -> Tensor:
        """Draw numbers with a gradient: that of the slab where it is chosen, and the gate's from its relaxation.

        The gate is b = 1 where l + g > 0, with logistic noise g; its gradient is that of sigmoid((l + g) / τ), which
        is biased.
        """
        shape = self._extended_shape(sample_shape)
        slab = torch.addcmul(self.loc, torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device), self.scale)
        noisy = self.logits + logistic(shape, self.loc)
        soft = torch.sigmoid(noisy / temperature)
        gate = torch.where(noisy > 0, 1.0, 0.0).to(slab.dtype) + (soft - soft.detach())
        return gate * slab

    @property
    def scale(self) -> Tensor:
        """σ of the slab."""
        return self.log_scale.exp().expand_as(self.loc)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density with respect to Lebesgue measure and a unit mass at 0, nats/example."""
        return sum_event(self.log_prob_elements(value), len(self.event_shape))

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-density of each number, shaped as `value`."""
        z = (value - self.loc) * torch.exp(-self.log_scale)
        slab = logsigmoid(self.logits) - 0.5 * (z * z + LOG_2PI) - self.log_scale
        return torch.where(value == 0, logsigmoid(-self.logits).expand_as(slab), slab)

    def tempered(self, temperature: float) -> SpikeSlabFamily:
        """Return the distribution with the log-odds of its gates divided, and σ multiplied, by `temperature`."""
        log_scale = self.log_scale + math.log(temperature)
        return SpikeSlabFamily(self.logits / temperature, self.loc, log_scale, len(self.event_shape))

    def entropy(self) -> Tensor:
        """Return E[-log p(x)] with respect to the same measure, nats/example."""
        gates = softplus(self.logits) - self.share * self.logits
        slab = 0.5 * (1 + LOG_2PI) + self.log_scale
        return sum_event(gates + self.share * slab, len(self.event_shape))


@register_kl(SpikeSlabFamily, SpikeSlabFamily, elements=True)
def _spikes_spikes(q: SpikeSlabFamily, p: SpikeSlabFamily) -> Tensor:
    """KL of the gates, and γ times that of the slabs (Tonolini et al. 2019, eq. 7)."""
    gates = q.share * (q.logits - p.logits) + softplus(p.logits) - softplus(q.logits)
    log_ratio = q.log_scale - p.log_scale
    off = (q.loc - p.loc) * torch.exp(-p.log_scale)
    return gates + q.share * (0.5 * (off * off + torch.expm1(2 * log_ratio)) - log_ratio)
