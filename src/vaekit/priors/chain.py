"""The autoregressive prior: mixtures of normals, each given the numbers before."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from vaekit.conditional import label_vectors
from vaekit.distributions.chain import Chain
from vaekit.nets.made import MADE
from vaekit.nets.mlp import Shape, as_shape
from vaekit.priors.base import PRIORS, Prior


@PRIORS.register(
    "autoregressive",
    reference="Uria et al. 2013, arXiv:1306.0186; Germain et al. 2015, arXiv:1502.03509",
    options={
        "prior_components": "components of each number's mixture",
        "prior_width": "width of the prior's network",
        "prior_layers": "hidden layers of the prior's network",
    },
    examples=({"prior_width": 32, "prior_layers": 2},),
)
class AutoregressivePrior(Prior):
    """p(z) = Π_i Σ_c π_c(z_<i) N(z_i; μ_c(z_<i), σ_c(z_<i)²), exact; `context` numbers of a condition make it p(z|y).

    It fits clusters, edges and dependence that the standard normal leaves to the decoder. A draw takes one pass of the
    network for each latent.

    >>> prior = AutoregressivePrior(20)()
    >>> prior.log_prob(torch.zeros(3, 20)).shape, prior.sample((2,)).shape
    (torch.Size([3]), torch.Size([2, 20]))
    """

    def __init__(
        self,
        shape: Shape,
        prior_components: PositiveInt = 10,
        prior_width: PositiveInt = 192,
        prior_layers: PositiveInt = 3,
        context: int = 0,
    ) -> None:
        super().__init__()
        shape = as_shape(shape)
        if len(shape) != 1:
            raise ValueError(f"an autoregressive prior needs a flat latent, not one of shape {shape}")
        self.chain = MADE(shape[0], 3 * prior_components, (prior_width,) * prior_layers, context)
        self.context = context
        # The mixtures start spread over (-2, 2), together not far from the standard normal.
        start = torch.zeros(shape[0], 3, prior_components)
        if prior_components > 1:
            start[:, 1] = torch.linspace(-2, 2, prior_components)
            start[:, 0] = -0.5 * start[:, 1].square()
            start[:, 2] = -0.7
        with torch.no_grad():
            self.chain.last.bias.copy_(start.flatten())

    @property
    def takes_label(self) -> bool:
        """Whether it is of a condition."""
        return self.context > 0

    def forward(self, *context: Tensor) -> Chain:
        """Return p(z), or p(z|y)."""
        return Chain(self.chain, label_vectors(context[0], self.context) if context else None)
