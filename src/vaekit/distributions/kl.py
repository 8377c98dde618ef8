"""KL(q ‖ p): the closed form where the pair has one, else an estimate from reparameterised samples.

A closed form is registered once for a pair of classes; subclasses inherit it. torch's own table is asked next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from vaekit.distributions.base import sum_event
from vaekit.distributions.normal import DiagonalNormalFamily, FullNormalFamily, StandardNormalFamily

_CLOSED: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}
_ELEMENTS: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_kl(q: type, p: type, *, elements: bool = False) -> Callable[[Any], Any]:
    """Register a closed form for KL(q ‖ p); with `elements`, one value per event element (q and p both factorise)."""

    def add(form: Any) -> Any:
        (_ELEMENTS if elements else _CLOSED)[q, p] = form
        return form

    return add


def _lookup(table: dict[tuple[type, type], Callable[[Any, Any], Tensor]], q: Distribution, p: Distribution) -> Any:
    for a in type(q).__mro__:
        for b in type(p).__mro__:
            if (a, b) in table:
                return table[a, b]
    return None


def kl_elements(q: Distribution, p: Distribution) -> Tensor | None:
    """Return KL(q_j ‖ p_j) for each element j of the event, (..., *event) in nats, or None if they do not factorise.

    >>> q = DiagonalNormalFamily(torch.ones(1, 2), torch.zeros(1, 2))
    >>> kl_elements(q, StandardNormalFamily(torch.zeros(2)))
    tensor([[0.5000, 0.5000]])
    """
    form = _lookup(_ELEMENTS, q, p)
    return None if form is None else form(q, p)


def closed_form_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """Return KL(q ‖ p) in nats, one value a distribution in the batch, or None where no closed form is known."""
    elements = kl_elements(q, p)
    if elements is not None:
        return sum_event(elements, len(q.event_shape))
    form = _lookup(_CLOSED, q, p)
    if form is not None:
        return form(q, p)
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None


def kl(q: Distribution, p: Distribution, samples: int = 1) -> Tensor:
    """Return KL(q ‖ p) = E_q[log q(z) - log p(z)], nats; in closed form, else averaged over reparameterised samples.

    >>> q = DiagonalNormalFamily(torch.tensor([[1.0]]), torch.tensor([[0.0]]))
    >>> kl(q, StandardNormalFamily(torch.zeros(1)))
    tensor([0.5000])
    """
    exact = closed_form_kl(q, p)
    if exact is not None:
        return exact
    z = q.rsample(torch.Size((samples,)))
    return (q.log_prob(z) - p.log_prob(z)).mean(0)


@register_kl(DiagonalNormalFamily, StandardNormalFamily, elements=True)
def _diagonal_standard(q: DiagonalNormalFamily, p: StandardNormalFamily) -> Tensor:
    """½ (μ² + σ² - log σ² - 1) for each latent dimension; never negative."""
    log_variance = 2 * q.log_scale
    return 0.5 * (torch.addcmul(torch.expm1(log_variance), q.loc, q.loc) - log_variance)


@register_kl(DiagonalNormalFamily, DiagonalNormalFamily, elements=True)
def _diagonal_diagonal(q: DiagonalNormalFamily, p: DiagonalNormalFamily) -> Tensor:
    """½ ((μ_q - μ_p)² / σ_p² + σ_q² / σ_p² - 1) + log σ_p - log σ_q for each latent dimension."""
    log_ratio = q.log_scale - p.log_scale
    off = (q.loc - p.loc) * torch.exp(-p.log_scale)
    return 0.5 * (off * off + torch.expm1(2 * log_ratio)) - log_ratio


@register_kl(FullNormalFamily, DiagonalNormalFamily)
def _full_diagonal(q: FullNormalFamily, p: DiagonalNormalFamily) -> Tensor:
    off = (q.loc - p.loc) * torch.exp(-p.log_scale)
    trace = (q.variance * torch.exp(-2 * p.log_scale)).sum(-1)
    log_ratio = q.log_diagonal.sum(-1) - p.log_scale.expand_as(off).sum(-1)
    return 0.5 * (off.square().sum(-1) + trace - q.loc.shape[-1]) - log_ratio


@register_kl(FullNormalFamily, FullNormalFamily)
def _full_full(q: FullNormalFamily, p: FullNormalFamily) -> Tensor:
    shape = torch.broadcast_shapes(q.scale_tril.shape, p.scale_tril.shape)
    ratio = torch.linalg.solve_triangular(p.scale_tril.expand(shape), q.scale_tril.expand(shape), upper=False)
    off = torch.linalg.solve_triangular(p.scale_tril.expand(shape), (q.loc - p.loc).unsqueeze(-1), upper=False)
    log_ratio = q.log_diagonal.sum(-1) - p.log_diagonal.sum(-1)
    quadratic = ratio.square().sum((-2, -1)) + off.square().sum((-2, -1))
    return 0.5 * (quadratic - q.loc.shape[-1]) - log_ratio
