"""The likelihood of several modalities: one of its own for each, given one z."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaekit.distributions.views import SideBySide
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.nets.mlp import mlp
from vaekit.views import View, views_of


def _example(shape: tuple[int, ...]) -> tuple[Likelihood, tuple[Tensor]]:
    if len(shape) != 1 or shape[0] < 2:
        raise ValueError("two vectors side by side have one axis")
    views = views_of([{"name": "a", "kind": "numbers", "shape": [1]}, {"name": "b", "kind": "numbers", "shape": [1]}])
    views = (views[0], View("b", "numbers", (shape[0] - 1,), 1))
    return Views([Gaussian(mlp(3, view.shape, (8,))) for view in views], views), (torch.randn(5, 3),)


@LIKELIHOODS.register(
    "views",
    reference="Wu & Goodman 2018, arXiv:1802.05335",
    of="several modalities",
    no_contract="to it NaN is a missing modality, not an impossible value: tests/models/test_views.py holds it",
    example=_example,
)
class Views(Likelihood):
    """p(x|z) = Π_m p_m(x_m|z), a likelihood for each modality, independent given z; a missing one has no factor.

    x is one row of all of them, as `views` lay it out.

    >>> part, context = _example((4,))
    >>> part(*context).log_prob(torch.full((5, 4), torch.nan)).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """

    wants = "any"

    def __init__(self, of: Sequence[Likelihood], views: Sequence[View]) -> None:
        super().__init__()
        self.of = nn.ModuleList(of)
        self.views = tuple(views)

    def forward(self, z: Tensor) -> SideBySide:
        """Return p(x|z)."""
        return SideBySide([part(z) for part in self.of], self.views)
