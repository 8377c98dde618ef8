"""The uniform prior on the sphere."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit.distributions.von_mises_fisher import SphereUniform
from vaekit.nets.mlp import Shape, as_shape
from vaekit.priors.base import PRIORS, Prior


@PRIORS.register("uniform-sphere", reference="Davidson et al. 2018, arXiv:1804.00891")
class UniformSphere(Prior):
    """p(z) = 1 / area on the unit sphere in R^D.

    >>> UniformSphere(3)().sample((2,)).norm(dim=-1).round(decimals=4)
    tensor([1., 1.])
    """

    like: Tensor
    space = "unit vectors"

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        shape = as_shape(shape)
        if len(shape) != 1 or shape[0] < 2:
            raise ValueError(f"directions need a flat latent of at least 2 dimensions, not {shape}")
        self.register_buffer("like", torch.zeros(shape), persistent=False)

    def forward(self) -> SphereUniform:
        """Return the uniform distribution."""
        return SphereUniform(self.like)
