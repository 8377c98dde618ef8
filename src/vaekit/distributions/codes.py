"""Discrete codes 0 … K-1 on a grid: the uniform prior over them, and the point mass of a quantiser."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event
from vaekit.distributions.point import PointMass


def code_space(codes: int) -> str:
    """Return the name of the space of codes 0 … K-1, which a posterior and its prior must share."""
    return f"codes 0 to {codes - 1}"


def valid_codes(x: Tensor, codes: int, dims: int) -> Tensor:
    """Return, for each example, whether all its numbers are codes 0 … `codes` - 1; (...,) bool.

    >>> valid_codes(torch.tensor([[0, 3], [4, 0], [-1, 0]]), 4, 1)
    tensor([ True, False, False])
    """
    good = (x >= 0) & (x < codes) & (x == x.round() if x.dtype.is_floating_point else True)
    return sum_event((~good).to(torch.float32), dims) == 0


class UniformCodes(Family):
    """Every code of every place independently uniform: log p = -n log K for n places, nats/example.

    `like` gives dtype and device. Source: van den Oord et al. 2017, arXiv:1711.00937, §3.1.

    >>> p = UniformCodes(16, (7, 7), torch.zeros(()))
    >>> p.log_prob(p.sample((3,)))  # 49 log 16 = 135.86
    tensor([-135.8568, -135.8568, -135.8568])
    """

    measure = "mass"
    has_rsample = False
    domain = constraints.nonnegative_integer

    def __init__(self, codes: int, shape: tuple[int, ...], like: Tensor) -> None:
        self.codes = codes
        self.like = like
        super().__init__(SCALAR, torch.Size(shape))

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw codes, int64."""
        return torch.randint(self.codes, self._extended_shape(sample_shape), device=self.like.device)

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return -log K for every place."""
        return self.like.new_full(value.shape, -math.log(self.codes))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return -n log K, nats/example."""
        lead = value.shape[: value.dim() - len(self.event_shape)]
        return self.like.new_full(lead, -self.event_shape.numel() * math.log(self.codes))

    def tempered(self, temperature: float) -> UniformCodes:
        """Return itself: at any temperature it is uniform."""
        return self

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every number of each example is a code."""
        return valid_codes(x, self.codes, len(self.event_shape))


class Quantised(PointMass):
    """All mass on one code: `value` (..., *places) int64, with the vectors `z` (..., D, *grid) that stand for it.

    z carries the straight-through gradient to the encoder. `costs` are the quantiser's own costs, (...,) each.
    """

    domain = constraints.nonnegative_integer

    def __init__(self, value: Tensor, z: Tensor, codes: int, dims: int, costs: Mapping[str, Tensor]) -> None:
        super().__init__(value, dims)
        self.z = z
        self.codes = codes
        self.costs = dict(costs)

    @property
    def mean(self) -> Tensor:
        """The code's vectors: numbers of codes have no mean."""
        return self.z

    @property
    def variance(self) -> Tensor:
        """Raise: numbers of codes have no variance."""
        raise NotImplementedError("codes are names, not quantities")

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every number of each example is a code."""
        return valid_codes(x, self.codes, len(self.event_shape))
