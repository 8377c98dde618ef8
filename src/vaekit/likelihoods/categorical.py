"""The categorical likelihood: a free probability for each grey level."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaekit.distributions.categorical import CategoricalFamily
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.nets.own import adapted


def check_levels(levels: int) -> int:
    """Return `levels` if it is a number of grey levels, 2 to 65536; else raise `UserError`."""
    if not 2 <= levels <= 65536:
        raise UserError(f"the setting likelihood.levels is {levels}; grey levels are from 2 to 65536 in number")
    return levels


@LIKELIHOODS.register(
    "categorical",
    reference="van den Oord et al. 2016, arXiv:1601.06759, §3.3",
    needs_levels=True,
    examples=({"levels": 2}, {"levels": 7}),
)
class Categorical(Likelihood):
    """p(x|z) = Π_j softmax(l_j(z))[x_j] over `levels` grey levels i / (levels - 1): 256 values an element for 8 bits.

    >>> from vaekit.nets.mlp import mlp
    >>> Categorical(mlp(20, 784), levels=16)(torch.zeros(3, 20)).log_prob(torch.zeros(3, 784)).shape
    torch.Size([3])
    """

    wants = "levels"
    measure = "mass"

    def __init__(self, net: nn.Module, *, levels: int) -> None:
        net = adapted(net, self, check_levels(levels))
        super().__init__(net, params=levels)
        self.event_dims = len(net.out_shape)
        self.levels = levels

    def family(self, params: Tensor) -> CategoricalFamily:
        """Take the logits of the levels."""
        return CategoricalFamily(params, self.event_dims)

    def start_from(self, mean: Tensor) -> None:
        """Start from the distribution of greatest entropy with the training mean, clipped to [0.01, 0.99].

        Its logits are t i / (levels - 1); the tilt t is found by bisection.
        """
        assert self.net is not None
        target = mean.detach().cpu().double().clamp(0.01, 0.99)
        grid = torch.linspace(0, 1, self.levels, dtype=torch.float64)
        low, high = torch.full_like(target, -1e3), torch.full_like(target, 1e3)
        for _ in range(60):
            tilt = (low + high) / 2
            below = (tilt.unsqueeze(-1) * grid).softmax(-1) @ grid < target
            low, high = torch.where(below, tilt, low), torch.where(below, high, tilt)
        tilt = ((low + high) / 2).to(mean)
        for i in range(self.levels):
            self.net.set_bias(i, tilt * float(grid[i] - 0.5))
