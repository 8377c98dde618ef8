"""The prior of sparse codes."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from vaekit.distributions.spike import SpikeSlabFamily
from vaekit.nets.mlp import Shape, as_shape
from vaekit.priors.base import PRIORS, Prior


@PRIORS.register(
    "spike-slab",
    reference="Tonolini et al. 2019, arXiv:1801.10129",
    options={"active_share": "share of a code's numbers that are not zero, a priori"},
)
class SpikeSlabPrior(Prior):
    """p(z) = Π_j α N(z_j; 0, 1) + (1 - α) δ_0(z_j), with α = `active_share`.

    >>> p = SpikeSlabPrior(1000, active_share=0.1)()
    >>> 0.05 < (p.sample() != 0).float().mean().item() < 0.15
    True
    """

    like: Tensor
    space = "numbers or zeros"

    def __init__(self, shape: Shape, active_share: Annotated[float, Field(gt=0, lt=1)] = 0.2) -> None:
        super().__init__()
        self.register_buffer("like", torch.zeros(as_shape(shape)), persistent=False)
        self.logit = math.log(active_share) - math.log1p(-active_share)

    def forward(self) -> SpikeSlabFamily:
        """Return p(z)."""
        return SpikeSlabFamily(self.like + self.logit, self.like, self.like, self.like.dim())
