"""Mixtures of discretised logistics, one for each pixel, whose channels depend on the channels before them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event
from vaekit.distributions.categorical import OneHot
from vaekit.distributions.discretised_logistic import DiscretisedLogisticFamily
from vaekit.distributions.levels import on_grid


class DiscretisedLogisticMixture(Family):
    """P(x_i) = Σ_m π_im Π_c P(x_ic | μ_imc + Σ_{d<c} κ_imdc x_id, s_imc) for each pixel i, channels c in order.

    Each factor is a `DiscretisedLogisticFamily`, whose ends take the tails, so the masses of a pixel sum to 1. Shapes,
    the event being (C, *places): `logits` (..., M, *places), `loc` and `log_scale` (..., M, C, *places), and κ
    `coefficients` (..., M, C - 1, C, *places) or None, of which the entries with d < c count. With `flat` the event is
    (*places) and C is 1. `dims` is the number of `places` axes.

    Source: Salimans et al. 2017, arXiv:1701.05517, §2.1-2.2.

    >>> d = DiscretisedLogisticMixture(torch.zeros(2, 5, 8, 8), torch.rand(2, 5, 3, 8, 8), torch.zeros(2, 5, 3, 8, 8),
    ...     torch.zeros(2, 5, 2, 3, 8, 8), levels=256, dims=2)
    >>> d.event_shape, d.log_prob(d.sample()).shape
    (torch.Size([3, 8, 8]), torch.Size([2]))
    """

    measure = "mass"
    has_rsample = False
    domain = constraints.unit_interval

    def __init__(
        self,
        logits: Tensor,
        loc: Tensor,
        log_scale: Tensor,
        coefficients: Tensor | None = None,
        *,
        levels: int,
        dims: int,
        flat: bool = False,
    ) -> None:
        self.logits, self.loc, self.log_scale, self.coefficients = logits, loc, log_scale, coefficients
        self.levels, self.places, self.flat = levels, dims, flat
        lead = logits.shape[: logits.dim() - dims - 1]
        super().__init__(lead, loc.shape[loc.dim() - dims - (0 if flat else 1) :])

    @property
    def channels(self) -> int:
        """C."""
        return self.loc.shape[-1 - self.places]

    def _channel(self, x: Tensor, c: int) -> Tensor:
        """Channel c of a tensor (..., C, *places)."""
        return x.select(x.dim() - 1 - self.places, c)

    def _mean_given(self, c: int, before: list[Tensor]) -> Tensor:
        """Return μ of channel c given the values of those before it, (..., M, *places)."""
        loc = self._channel(self.loc, c)
        if self.coefficients is not None:
            for d, value in enumerate(before):
                own = self.coefficients.select(self.coefficients.dim() - 2 - self.places, d)
                loc = loc + self._channel(own, c) * value
        return loc

    def _factor(self, c: int, before: list[Tensor]) -> DiscretisedLogisticFamily:
        """Return P(x_c | x_<c) of every component and pixel."""
        return DiscretisedLogisticFamily(self._mean_given(c, before), self._channel(self.log_scale, c), self.levels, 0)

    def log_prob_pixels(self, value: Tensor) -> Tensor:
        """Return the log-mass of each pixel, all channels together: (..., *places)."""
        if self.flat:
            value = value.unsqueeze(-1 - self.places)
        axis = value.dim() - 1 - self.places
        parts = [part.unsqueeze(-1 - self.places) for part in value.unbind(axis)]
        total = self.logits.log_softmax(-1 - self.places)
        for c in range(self.channels):
            total = total + self._factor(c, parts[:c]).log_prob_elements(parts[c])
        return torch.logsumexp(total, -1 - self.places)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass, nats/example."""
        return sum_event(self.log_prob_pixels(value), self.places)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw values on the grid: a component for each pixel, then channel after channel."""
        with torch.no_grad():
            logits = self.logits.movedim(-1 - self.places, -1)
            chosen = OneHot(logits, 1).sample(sample_shape).movedim(-1, -1 - self.places)
            n, parts = self.levels - 1, []
            for c in range(self.channels):
                loc = (self._mean_given(c, [p.unsqueeze(-1 - self.places) for p in parts]) * chosen).sum(
                    -1 - self.places
                )
                scale = (self._channel(self.log_scale, c).exp() * chosen).sum(-1 - self.places)
                u = torch.empty((2, *loc.shape), dtype=loc.dtype, device=loc.device).exponential_().log()
                parts.append(((loc + scale * (u[0] - u[1])) * n).round().clamp(0, n) / n)
            return parts[0] if self.flat else torch.stack(parts, -1 - self.places)

    def _moment(self, order: int) -> Tensor:
        weights = self.logits.softmax(-1 - self.places)
        parts: list[Tensor] = []
        out: list[Tensor] = []
        for c in range(self.channels):
            factor = self._factor(c, parts)
            mean = factor.mean
            moment = mean if order == 1 else factor.variance + mean.square()
            parts.append(mean)
            out.append((weights * moment).sum(-1 - self.places))
        return out[0] if self.flat else torch.stack(out, -1 - self.places)

    @property
    def mean(self) -> Tensor:
        """E[x], exact for one channel; of later channels, at the component's means of those before.

        That is E[x] too but for rounding and clipping at 0 and 1, which make the true one a sum over levels² values.
        """
        return self._moment(1)

    @property
    def variance(self) -> Tensor:
        """Var[x], for one channel."""
        if self.channels > 1:
            raise NotImplementedError("the variance of conditioned channels has no closed form")
        return (self._moment(2) - self._moment(1).square()).clamp_min(0)

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every element of each example is on the grid, within 1e-4 of a step."""
        return on_grid(x, self.levels, len(self.event_shape))
