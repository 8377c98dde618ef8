"""Any torch distribution as p(x|z), q(z|x) or p(z): one event an example, and the leading axes of what it was given."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, constraints
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, in_support, is_point_mass, measure_of
from vaekit.distributions.bernoulli import BernoulliFamily
from vaekit.distributions.normal import DiagonalNormalFamily


class Unfolded(Family):
    """A torch distribution of batch shape (N, *extra), as one of batch shape `lead` (N in all), event (*extra, *event).

    With `lead` () its whole batch shape is part of the event.

    >>> d = Unfolded(torch.distributions.Gamma(torch.ones(6, 4), torch.ones(6, 4)), (3, 2))
    >>> d.batch_shape, d.event_shape, d.log_prob(torch.ones(2, 4)).shape
    (torch.Size([3, 2]), torch.Size([4]), torch.Size([3, 2]))
    """

    def __init__(self, base: Distribution, lead: tuple[int, ...]) -> None:
        self.base = base
        self.measure = measure_of(base)
        self.point_mass = is_point_mass(base)
        self.rows = (math.prod(lead),) if lead else ()
        extra = base.batch_shape[len(self.rows) :]
        self.extra = len(extra)
        super().__init__(torch.Size(lead), torch.Size((*extra, *base.event_shape)))

    @property
    def has_rsample(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the distribution has it."""
        return self.base.has_rsample

    @property
    def support(self) -> constraints.Constraint:
        """As the distribution has it."""
        return getattr(self.base, "support", None) or constraints.real

    def _folded(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        """Return x (..., *event) as the distribution takes it, (*samples, N, *event), and its leading shape."""
        split = x.dim() - len(self.event_shape)
        lead = torch.broadcast_shapes(x.shape[:split], self.batch_shape)
        samples = lead[: len(lead) - len(self.batch_shape)]
        return x.expand(*lead, *x.shape[split:]).reshape(*samples, *self.rows, *self.event_shape), lead

    def _unfolded(self, x: Tensor, samples: _size = SCALAR) -> Tensor:
        return x.reshape(*samples, *self.batch_shape, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(x), summed over the event."""
        x, lead = self._folded(value)
        rows = self.base.log_prob(x)
        return (rows.flatten(-self.extra).sum(-1) if self.extra else rows).view(lead)

    @property
    def log_prob_elements(self) -> Callable[[Tensor], Tensor]:
        """log p(x_j) of each element: only of a distribution that factorises over them."""
        if self.base.event_shape:
            raise AttributeError("the elements are not independent")
        return self._elements

    def _elements(self, value: Tensor) -> Tensor:
        x, lead = self._folded(value)
        return self.base.log_prob(x).view(*lead, *self.event_shape)

    def in_support(self, x: Tensor) -> Tensor:
        """Return, for each example, whether the distribution can give it."""
        folded, lead = self._folded(x)
        rows = in_support(self.base, folded)
        return (rows.flatten(-self.extra).all(-1) if self.extra else rows).view(lead)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self._unfolded(self.base.mean)

    @property
    def mode(self) -> Tensor:
        """The mode, where the distribution knows it."""
        return self._unfolded(self.base.mode)

    @property
    def variance(self) -> Tensor:
        """The variance of each element."""
        return self._unfolded(self.base.variance)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw."""
        return self._unfolded(self.base.sample(torch.Size(sample_shape)), sample_shape)

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw with a gradient to the parameters."""
        return self._unfolded(self.base.rsample(torch.Size(sample_shape)), sample_shape)


def as_family(made: Distribution, lead: tuple[int, ...]) -> Family:
    """Return a torch distribution of N examples as a family of batch shape `lead`: vaekit's own where it has it.

    So KLs of normals are in closed form.

    >>> from vaekit.distributions.kl import closed_form_kl
    >>> from vaekit.distributions.normal import StandardNormalFamily
    >>> q = as_family(Normal(torch.ones(5, 2), torch.ones(5, 2)), (5,))
    >>> closed_form_kl(q, StandardNormalFamily(torch.zeros(2))).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    if isinstance(made, Family) and tuple(made.batch_shape) == lead:
        return made
    inner: Any = made
    while isinstance(inner, Independent):  # it names axes of the batch as the event's, as is done here
        inner = inner.base_dist
    whole = Unfolded(inner, lead)
    shape, dims = (*lead, *whole.event_shape), len(whole.event_shape)
    if type(inner) is Normal:
        return DiagonalNormalFamily(inner.loc.reshape(shape), inner.scale.log().reshape(shape), dims)
    if type(inner) is Bernoulli:
        return BernoulliFamily(inner.logits.reshape(shape), dims)
    return whole
