"""Distributions that a causal network defines one element after another: over codes, and over pixels."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import cross_entropy
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event
from vaekit.distributions.codes import valid_codes
from vaekit.distributions.levels import on_grid
from vaekit.distributions.logistic_mixture import DiscretisedLogisticMixture


class CodeNet(Protocol):
    """A causal network over codes."""

    def __call__(self, codes: Tensor, context: Tensor | None = None) -> Tensor:
        """Codes (N, *places) → logits (N, K, *places) of each given those before it."""
        ...

    def generate(self, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draw codes (n, *places)."""
        ...


class PixelNet(Protocol):
    """A causal network over pixels."""

    def mixture(self, x: Tensor, context: Tensor) -> DiscretisedLogisticMixture:
        """Images (N, C, H, W) and context (N, D, H, W) → the mixture of each pixel given those before it."""
        ...

    def generate(self, context: Tensor, greedy: bool = False) -> Tensor:
        """Draw images (N, C, H, W), or take every pixel's mean on the grid given those before it."""
        ...


class AutoregressiveCodes(Family):
    """log p(c) = Σ_i log p(c_i | c_<i [, context]) for codes 0 … K-1 at `shape` places, nats/example.

    The context (..., *context_event) has the batch shape in front; without one the batch shape is ().
    """

    measure = "mass"
    has_rsample = False
    domain = constraints.nonnegative_integer

    def __init__(
        self,
        net: CodeNet,
        codes: int,
        shape: tuple[int, ...],
        context: Tensor | None = None,
        context_dims: int = 3,
        temperature: float = 1.0,
    ) -> None:
        self.net, self.codes, self.temperature = net, codes, temperature
        self.context, self.context_dims = context, context_dims
        lead = SCALAR if context is None else context.shape[: context.dim() - context_dims]
        super().__init__(torch.Size(lead), torch.Size(shape))

    def _rows(self, lead: torch.Size) -> Tensor | None:
        if self.context is None:
            return None
        own = self.context.shape[self.context.dim() - self.context_dims :]
        return self.context.expand(*lead, *own).reshape(-1, *own)

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return log p(c_i | c_<i) at every place, (..., *places)."""
        dims = len(self.event_shape)
        lead = torch.broadcast_shapes(value.shape[: value.dim() - dims], self.batch_shape)
        rows = value.expand(*lead, *self.event_shape).reshape(-1, *self.event_shape).long()
        logits = self.net(rows, self._rows(torch.Size(lead)))
        if self.temperature != 1.0:
            logits = logits / self.temperature
        # in float32 whatever the networks compute in: a sum over many places loses digits in half precision
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return -cross_entropy(logits, rows, reduction="none").view(*lead, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass, nats/example."""
        return sum_event(self.log_prob_elements(value), len(self.event_shape))

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw codes one after another, int64."""
        lead = torch.Size(sample_shape) + self.batch_shape
        with torch.no_grad():
            drawn = self.net.generate(lead.numel(), self._rows(lead), self.temperature)
        return drawn.view(*lead, *self.event_shape)

    def tempered(self, temperature: float) -> AutoregressiveCodes:
        """Return the distribution whose every conditional has its logits divided by `temperature`."""
        return AutoregressiveCodes(
            self.net, self.codes, tuple(self.event_shape), self.context, self.context_dims,
            self.temperature * temperature,
        )  # fmt: skip

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every number of each example is a code."""
        return valid_codes(x, self.codes, len(self.event_shape))


class AutoregressivePixels(Family):
    """log p(x) = Σ_i log p(x_i | x_<i, context) over the pixels in reading order, nats/example.

    Each conditional is a mixture of discretised logistics. E[x] has no closed form: `mean` is a stand-in, see there,
    and `draws_only` says that samples are to be drawn.
    """

    measure = "mass"
    has_rsample = False
    draws_only = True
    domain = constraints.unit_interval

    def __init__(self, net: PixelNet, context: Tensor, shape: tuple[int, ...], levels: int) -> None:
        self.net, self.context, self.levels = net, context, levels
        super().__init__(context.shape[:-3], torch.Size(shape))

    def _rows(self, lead: torch.Size) -> Tensor:
        own = self.context.shape[-3:]
        return self.context.expand(*lead, *own).reshape(-1, *own)

    def log_prob_pixels(self, value: Tensor) -> Tensor:
        """Return log p(x_i | x_<i) of every pixel, its channels together: (..., H, W)."""
        lead = torch.Size(torch.broadcast_shapes(value.shape[:-3], self.batch_shape))
        rows = value.expand(*lead, *self.event_shape).reshape(-1, *self.event_shape)
        return self.net.mixture(rows, self._rows(lead)).log_prob_pixels(rows).view(*lead, *self.event_shape[1:])

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass, nats/example."""
        return sum_event(self.log_prob_pixels(value), 2)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw pixel after pixel."""
        lead = torch.Size(sample_shape) + self.batch_shape
        with torch.no_grad():
            return self.net.generate(self._rows(lead)).view(*lead, *self.event_shape)

    @property
    def mean(self) -> Tensor:
        """Not E[x]: the image in which every pixel is its conditional mean on the grid given those before it."""
        with torch.no_grad():
            return self.net.generate(self._rows(self.batch_shape), greedy=True).view(
                *self.batch_shape, *self.event_shape
            )

    @property
    def variance(self) -> Tensor:
        """Raise: there is no closed form."""
        raise NotImplementedError("an autoregressive distribution has no moments in closed form; sample it")

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every element of each example is on the grid, within 1e-4 of a step."""
        return on_grid(x, self.levels, len(self.event_shape))
