"""The learned mixture of normals."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import nn

from vaekit.distributions.mixture import Mixture
from vaekit.distributions.normal import DiagonalNormalFamily, bounded_log_scale
from vaekit.nets.mlp import Shape, as_shape
from vaekit.priors.base import PRIORS, Prior


@PRIORS.register(
    "gaussian-mixture",
    reference="Dilokthanakul et al. 2016, arXiv:1611.02648; Jiang et al. 2017, arXiv:1611.05148",
    options={"components": "components of the mixture"},
)
class GaussianMixture(Prior):
    """p(z) = Σ_c π_c N(z; μ_c, diag σ_c²), with π, μ and σ learned; `responsibilities` of the distribution is p(c|z).

    The centres start as draws from N(0, I), whose mixture is then a little wider than the standard normal.

    >>> prior = GaussianMixture(20, components=10)
    >>> prior().responsibilities(torch.zeros(3, 20)).shape
    torch.Size([3, 10])
    """

    def __init__(self, shape: Shape, components: PositiveInt = 10) -> None:
        super().__init__()
        size = as_shape(shape)
        self.loc = nn.Parameter(torch.randn(components, *size))
        self.raw_log_scale = nn.Parameter(torch.zeros(components, *size))
        self.logits = nn.Parameter(torch.zeros(components))

    def forward(self) -> Mixture:
        """Return the mixture."""
        parts = DiagonalNormalFamily(self.loc, bounded_log_scale(self.raw_log_scale), self.loc.dim() - 1)
        return Mixture(parts, self.logits)
