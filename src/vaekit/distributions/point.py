"""Point masses: the posterior of a plain autoencoder, and of any code chosen without noise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family


class PointMass(Family):
    """All mass on `value`, over the last `event_dims` axes.

    As a density it is +∞ at one point, so `log_prob` has no finite answer and raises; bounds refuse before asking.

    >>> PointMass(torch.ones(3, 2)).rsample((4,)).shape
    torch.Size([4, 3, 2])
    """

    point_mass = True

    def __init__(self, value: Tensor, event_dims: int = 1) -> None:
        self.value = value
        split = value.dim() - event_dims
        super().__init__(value.shape[:split], value.shape[split:])

    @property
    def mean(self) -> Tensor:
        """The one value."""
        return self.value

    @property
    def mode(self) -> Tensor:
        """The one value."""
        return self.value

    @property
    def variance(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.value)

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Return the one value, as often as asked."""
        return self.value.expand(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Raise: a point mass has no density."""
        raise ValueError("a point mass has no density with respect to Lebesgue measure")
