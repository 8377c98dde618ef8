"""The uniform prior of categorical latents."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit.distributions.categorical import OneHot
from vaekit.nets.mlp import Shape, as_shape
from vaekit.priors.base import PRIORS, Prior


@PRIORS.register("uniform-categorical", reference="Jang et al. 2017, arXiv:1611.01144")
class UniformCategorical(Prior):
    """p(z) = Π_j 1/C over one-hot vectors (D, C).

    >>> UniformCategorical((20, 10))().sample((3,)).sum(-1).unique()
    tensor([1.])
    """

    logits: Tensor
    measure = "mass"
    space = "one-hot codes"

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("logits", torch.zeros(as_shape(shape)), persistent=False)

    def forward(self) -> OneHot:
        """Return equal probabilities."""
        return OneHot(self.logits, self.logits.dim())
