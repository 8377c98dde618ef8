"""The prior of bits."""

from __future__ import annotations

import torch
from torch import nn

from vaekit.distributions.bernoulli import BernoulliFamily
from vaekit.nets.mlp import Shape, as_shape
from vaekit.priors.base import PRIORS, Prior


@PRIORS.register("bernoulli", reference="Mnih & Gregor 2014, arXiv:1402.0030")
class BernoulliPrior(Prior):
    """p(z) = Π_j Bernoulli(z_j; sigmoid b_j) with learned b that start at 0, even odds.

    >>> round(BernoulliPrior(20)().log_prob(torch.zeros(20)).exp().item() * 2**20, 4)
    1.0
    """

    measure = "mass"
    space = "bits"

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(as_shape(shape)))

    def forward(self) -> BernoulliFamily:
        """Return p(z)."""
        return BernoulliFamily(self.logits, self.logits.dim())
