"""Priors of states that follow one another: linear, and recurrent."""

from __future__ import annotations

import math

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from vaekit.distributions.normal import LOG_SCALE_BOUND, bounded_log_scale
from vaekit.distributions.state_space import LinearChain, RecurrentChain
from vaekit.nets.mlp import Shape, as_shape
from vaekit.nets.states import StateTransition
from vaekit.priors.base import PRIORS, Prior

CARRY = 0.9
"""What a state starts with of the one before it."""
HOLDS = "its latent is a state a step: tests/models/test_states.py holds it"


def _states(shape: Shape) -> tuple[int, int]:
    shape = as_shape(shape)
    if len(shape) != 2:
        raise ValueError(f"states are (T, D), not of shape {shape}")
    return shape[0], shape[1]


@PRIORS.register("linear-states", reference="Kalman 1960, doi:10.1115/1.3662552", of="states", no_contract=HOLDS)
class LinearStates(Prior):
    """p(z): z_1 ~ N(0, I), z_t = A z_{t-1} + diag(q) ε_t, with A and q learned.

    It starts stationary, A = 0.9 I and q² = 1 - 0.81.

    >>> p = LinearStates((50, 3))()
    >>> p.sample((4,)).shape, round(p.variance[49, 0].item(), 4)
    (torch.Size([4, 50, 3]), 1.0)
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.steps, size = _states(shape)
        self.carry = nn.Parameter(CARRY * torch.eye(size))
        start = LOG_SCALE_BOUND * math.atanh(0.5 * math.log(1 - CARRY**2) / LOG_SCALE_BOUND)  # what is bounded below
        self.raw = nn.Parameter(torch.full((size,), start))

    def forward(self) -> LinearChain:
        """Return p(z)."""
        size = len(self.raw)
        carry = self.carry.expand(self.steps, size, size)
        log_scale = bounded_log_scale(self.raw).expand(self.steps - 1, size)
        log_diagonal = torch.cat([log_scale.new_zeros(1, size), log_scale])
        loc = log_diagonal.new_zeros(self.steps, size)
        return LinearChain(loc, log_diagonal, carry, loc.new_zeros(self.steps, size, size))


@PRIORS.register(
    "recurrent-states",
    reference="Chung et al. 2015, arXiv:1506.02216",
    options={"prior_width": "width of the prior's network"},
    of="states",
    no_contract=HOLDS,
)
class RecurrentStates(Prior):
    """p(z) = Π_t N(z_t; μ(z_<t), diag σ²(z_<t)), from a GRU over the states before.

    >>> p = RecurrentStates((50, 3), prior_width=16)()
    >>> p.sample((4,)).shape, p.log_prob(torch.zeros(4, 50, 3)).shape
    (torch.Size([4, 50, 3]), torch.Size([4]))
    """

    def __init__(self, shape: Shape, prior_width: PositiveInt = 64) -> None:
        super().__init__()
        self.shape = _states(shape)
        self.transition = StateTransition(self.shape[1], prior_width)

    def forward(self, *context: Tensor) -> RecurrentChain:
        """Return p(z)."""
        return RecurrentChain(self.transition, self.shape)
