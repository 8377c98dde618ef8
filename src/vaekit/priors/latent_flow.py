"""A prior fitted to the codes of a trained model, by flow matching."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from vaekit.distributions.flow import Flow
from vaekit.distributions.normal import StandardNormalFamily
from vaekit.distributions.velocity import Velocity
from vaekit.nets.mlp import Shape, as_shape
from vaekit.priors.base import PRIORS, Prior


@PRIORS.register(
    "latent-flow",
    reference="Lipman et al. 2023, arXiv:2210.02747; the density: Chen et al. 2018, arXiv:1806.07366",
    options={"prior_width": "width of the velocity's two hidden layers"},
    examples=({"prior_width": 64},),
)
class LatentFlow(Prior):
    """p(z), the law of z(1) where dz/dt = v(z, t) and z(0) ~ N(0, I): log p(z(1)) = log N(z(0)) - ∫ ∇·v dt.

    The model is trained with a standard normal first. Then v is fitted to samples of q(z|x) by flow matching, which
    needs no integration; densities and samples integrate. Until then v is next to 0, and p(z) to the standard normal.

    >>> prior = LatentFlow(3)()
    >>> z = torch.ones(2, 3)
    >>> torch.allclose(prior.log_prob(z), torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1), atol=1e-3)
    True
    """

    fitted_last = True
    like: Tensor

    def __init__(self, shape: Shape, prior_width: PositiveInt = 128) -> None:
        super().__init__()
        shape = as_shape(shape)
        if len(shape) != 1:
            raise ValueError(f"a flow needs a flat latent, not one of shape {shape}")
        self.register_buffer("like", torch.zeros(shape), persistent=False)
        self.field = Velocity(shape[0], prior_width)

    def forward(self) -> Flow:
        """Return the flow."""
        return Flow(StandardNormalFamily(self.like), self.field)
