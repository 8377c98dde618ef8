"""Relaxations of discrete variables, binary concrete and Gumbel-softmax, and what couples them to hard draws."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, one_hot
from torch.types import _size

from vaekit.distributions.base import SCALAR
from vaekit.distributions.bernoulli import BernoulliFamily
from vaekit.distributions.categorical import OneHot


class RelaxedBernoulli(BernoulliFamily):
    """Numbers in (0, 1) near the ends: sigmoid((l + g) / τ) with logistic noise g, differentiable in l.

    As τ → 0 they are bits with the probabilities of `BernoulliFamily`, whose KLs and log-masses stand for a loss;
    bounds refuse the family, since the density of a relaxed sample is another.

    Source: Maddison et al. 2017, arXiv:1611.00712.

    >>> bool((RelaxedBernoulli(torch.zeros(3, 10), torch.tensor(0.5)).rsample((2,)) < 1).all())
    True
    """

    relaxed = True
    has_rsample = True

    def __init__(self, logits: Tensor, temperature: Tensor, event_dims: int = 1) -> None:
        self.temperature = temperature
        super().__init__(logits, event_dims)

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw relaxed bits."""
        return torch.sigmoid(
            (self.logits + logistic(self._extended_shape(sample_shape), self.logits)) / self.temperature
        )

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw relaxed bits without gradients."""
        with torch.no_grad():
            return self.rsample(sample_shape)


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
        gumbel = -exponential(self._extended_shape(sample_shape), self.logits).log()
        return ((self.logits + gumbel) / self.temperature).softmax(-1)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw relaxed vectors without gradients."""
        with torch.no_grad():
            return self.rsample(sample_shape)


def exponential(shape: torch.Size, like: Tensor) -> Tensor:
    """Draw exponential noise above 0: a draw of exactly 0 would be infinitely early in a race of clocks."""
    return torch.empty(shape, dtype=like.dtype, device=like.device).exponential_().clamp(min=1e-20)


def logistic(shape: torch.Size, like: Tensor) -> Tensor:
    """Draw logistic noise, log u - log(1 - u), as the log-ratio of two exponentials."""
    return exponential(shape, like).log() - exponential(shape, like).log()


def coupled_bits(q: BernoulliFamily, temperature: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw bits b of q, the relaxed value that they round, and another relaxed value drawn given b: (K, B, ...) each.

    ζ = l + log u - log(1 - u), b = 1 where ζ > 0, and ζ̃ ~ p(ζ | b); the last two are sigmoid(ζ / τ), sigmoid(ζ̃ / τ),
    differentiable in l, b has no gradient. Both have one distribution, so the difference of a function of them has
    mean 0.

    Source: Tucker et al. 2017, arXiv:1703.07370.

    >>> b, soft, given = coupled_bits(BernoulliFamily(torch.zeros(3, 2)), torch.tensor(0.5), 4)
    >>> bool(((soft > 0.5) == (b > 0)).all() & ((given > 0.5) == (b > 0)).all())
    True
    """
    shape = torch.Size((k,)) + q.logits.shape
    zeta = q.logits + logistic(shape, q.logits)
    b = (zeta.detach() > 0).to(zeta.dtype)
    noise, sign = logistic(shape, q.logits), 2 * b - 1
    # |ζ| given its sign s is log(1 + e^n / p(-s)) with n logistic: both signs by one stable expression
    given = sign * torch.nn.functional.softplus(noise - logsigmoid(-sign * q.logits))
    return b, torch.sigmoid(zeta / temperature), torch.sigmoid(given / temperature)


def coupled_one_hot(q: OneHot, temperature: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same of one-hot vectors: b is the largest of ζ = log π + Gumbel noise, and ζ̃ is drawn given which it is.

    Source: Tucker et al. 2017, arXiv:1703.07370.

    >>> b, soft, given = coupled_one_hot(OneHot(torch.zeros(3, 5)), torch.tensor(0.5), 4)
    >>> bool((soft.argmax(-1) == b.argmax(-1)).all() & (given.argmax(-1) == b.argmax(-1)).all())
    True
    """
    log_p = q.logits.log_softmax(-1)
    shape = torch.Size((k,)) + log_p.shape
    zeta = log_p - exponential(shape, log_p).log()
    b = one_hot(zeta.detach().argmax(-1), log_p.shape[-1]).to(zeta.dtype)
    clock = exponential(shape, log_p)
    first = (clock * b).sum(-1, keepdim=True)  # the winner's time is Exp(1) whoever wins; the others come after it
    given = -torch.where(b > 0, first, first + clock * (-log_p).exp()).log()
    return b, (zeta / temperature).softmax(-1), (given / temperature).softmax(-1)
