"""Examples that come in several modalities side by side in one row; any of them may be missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, Measure, in_support, measure_of, sum_event
from vaekit.errors import Unsupported
from vaekit.views import CELLS, TEXT, View


class SideBySide(Family):
    """p(x|z) = Π_m p(x_m|z) over the modalities that are there, x being one row (..., W) of all of them.

    The marginal of a product is the product of the marginals, so leaving the missing ones out is p(x_observed|z)
    itself, nats/example. Numbers missing within a picture, a sound or a vector are left out in the same way.

    >>> from vaekit.distributions.normal import DiagonalNormalFamily
    >>> from vaekit.views import views_of
    >>> views = views_of([{"name": name, "kind": "numbers", "shape": [1]} for name in "ab"])
    >>> parts = [DiagonalNormalFamily(torch.zeros(1, 1), torch.zeros(1, 1)) for _ in "ab"]
    >>> SideBySide(parts, views).log_prob(torch.tensor([[0.0, torch.nan]])).item()
    -0.9189...
    """

    has_rsample = False
    averages = False
    domain = constraints.dependent  # pyright: ignore[reportAssignmentType]

    def __init__(self, parts: Sequence[Distribution], views: Sequence[View]) -> None:
        self.parts, self.views = tuple(parts), tuple(views)
        super().__init__(self.parts[0].batch_shape, torch.Size((self.views[-1].stop,)))

    @property
    def measure(self) -> Measure:  # pyright: ignore[reportIncompatibleVariableOverride]
        """A density where a modality has one, else a mass."""
        found = {measure_of(part) for part in self.parts}
        return "none" if "none" in found else "density" if "density" in found else "mass"

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the sum over the modalities that are there, nats/example."""
        return self.log_prob_views(value).sum(-1)

    def log_prob_views(self, value: Tensor) -> Tensor:
        """Return log p(x_m|z) of each modality, (..., M); 0 where it is missing."""
        each = [torch.where(view.seen(value), _log_prob(part, view, value), 0.0) for part, view in self._pairs]
        return torch.stack(each, -1)

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every modality can give what is there of it."""
        each = [in_support(part, view.whole(x)) | ~view.seen(x) for part, view in self._pairs]
        return torch.stack(each).all(0)

    def each(self, call: Callable[[Distribution], Tensor]) -> Tensor:
        """Return rows (..., W) of what `call` makes of every modality's distribution."""
        made = [call(part) for part in self.parts]
        return torch.cat([one.flatten(-len(view.shape)).float() for one, view in zip(made, self.views)], -1)

    @property
    def point(self) -> Tensor:
        """The one value shown of every modality: its mean, the greedy text, the best cells."""
        return self.each(lambda part: part.mean if (own := getattr(part, "point", None)) is None else own)

    @property
    def mean(self) -> Tensor:
        """Raise: a text has no mean."""
        raise Unsupported("examples in several modalities have no mean, as texts have none; use what `point` shows")

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw every modality, (*sample_shape, ..., W)."""
        with torch.no_grad():
            return self.each(lambda part: part.sample(torch.Size(sample_shape)))

    @property
    def _pairs(self) -> list[tuple[Distribution, View]]:
        return list(zip(self.parts, self.views))


def _log_prob(part: Any, view: View, x: Tensor) -> Tensor:
    """Return log p of a view of rows, without the numbers that are missing in it."""
    own = view.whole(x)
    if view.kind in (CELLS, TEXT):
        return part.log_prob(own)
    return sum_event(torch.where(torch.isnan(view.of(x)), 0.0, part.log_prob_elements(own)), len(view.shape))
