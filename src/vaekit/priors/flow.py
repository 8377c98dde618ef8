"""The flow prior."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from vaekit.distributions.flow import Flow, coupling
from vaekit.distributions.normal import StandardNormalFamily
from vaekit.nets.mlp import Shape, as_shape
from vaekit.priors.base import PRIORS, Prior


@PRIORS.register(
    "flow",
    reference="Chen et al. 2017, arXiv:1611.02731; Dinh et al. 2017, arXiv:1605.08803",
    options={"prior_flow": "kind of the prior's flow", "prior_transforms": "steps of the prior's flow"},
    examples=({"prior_flow": "realnvp"}, {"prior_flow": "nsf"}),
)
class FlowPrior(Prior):
    """p(z) = N(f(z); 0, I) |det ∂f/∂z| with f learned: affine ("realnvp") or spline ("nsf") couplings.

    >>> prior = FlowPrior(20)()
    >>> prior.log_prob(torch.zeros(3, 20)).shape, prior.sample((2,)).shape
    (torch.Size([3]), torch.Size([2, 20]))
    """

    like: Tensor

    def __init__(
        self, shape: Shape, prior_flow: Literal["realnvp", "nsf"] = "realnvp", prior_transforms: PositiveInt = 6
    ) -> None:
        super().__init__()
        shape = as_shape(shape)
        if len(shape) != 1:
            raise ValueError(f"a flow needs a flat latent, not one of shape {shape}")
        self.register_buffer("like", torch.zeros(shape), persistent=False)
        # The steps lead from z to the base, as densities need them; the family's map leads the other way.
        self.steps = coupling(shape[0], 0, prior_transforms, spline=prior_flow == "nsf", reverse=True)

    def forward(self) -> Flow:
        """Return the flow."""
        return Flow(StandardNormalFamily(self.like), self.steps)
