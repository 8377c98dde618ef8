"""The Gumbel-softmax relaxation of one-hot vectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.types import _size

from vaekit.distributions.base import SCALAR
from vaekit.distributions.categorical import OneHot


class RelaxedOneHot(OneHot):
    """Vectors on the simplex near its corners: softmax((l + g) / τ) with Gumbel noise g, differentiable in l.

    As τ → 0 they are one-hot with the probabilities of `OneHot`. KLs and log-masses are those of the categorical that
    is relaxed, for use in a loss; bounds refuse the family, since the density of a relaxed sample is another.

    Source: Jang et al. 2017, arXiv:1611.01144; Maddison et al. 2017, arXiv:1611.00712.

    >>> RelaxedOneHot(torch.zeros(3, 10), torch.tensor(0.5)).rsample((2,)).sum(-1).allclose(torch.ones(2, 3))
    True
    """

    relaxed = True
    has_rsample = True

    def __init__(self, logits: Tensor, temperature: Tensor, event_dims: int = 1) -> None:
        self.temperature = temperature
        super().__init__(logits, event_dims)

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw relaxed vectors."""
        noise = torch.empty(self._extended_shape(sample_shape), dtype=self.logits.dtype, device=self.logits.device)
        # An exponential draw of exactly 0 would be infinitely early in the race.
        gumbel = -noise.exponential_().clamp(min=1e-20).log()
        return ((self.logits + gumbel) / self.temperature).softmax(-1)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw relaxed vectors without gradients."""
        with torch.no_grad():
            return self.rsample(sample_shape)
