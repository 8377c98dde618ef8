"""Constraints on the rate or the reconstruction: a term's weight is found by a second player, not set."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from vaekit import distributed
from vaekit.objectives.base import OBJECTIVES, Objective, Term, mean_over_samples, total_of
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.schedules import Annealed, Schedule
from vaekit.trace import Trace

MULTIPLIER = "multiplier"
PACE, MOST = 20.0, 10.0
"""log λ per unit of the player's parameter, whose steps are as short as a network's; and how far it may go."""

Constrained = Literal["reconstruction", "rate"]


class Multiplier(Annealed):
    """A weight λ > 0 that a player of its own learns; it starts at 1. Terms that it weighs do not move it.

    >>> weight = Multiplier()
    >>> float(weight()), weight.is_one, weight.varies
    (1.0, False, True)
    """

    def __init__(self) -> None:
        super().__init__(1.0)
        self.exponent = nn.Parameter(torch.zeros(()))

    @property
    def is_one(self) -> bool:
        """Never."""
        return False

    @property
    def varies(self) -> bool:
        """Always."""
        return True

    @property
    def log(self) -> Tensor:
        """log λ, with its gradient."""
        return PACE * self.exponent

    def forward(self) -> Tensor:
        """Return λ, a constant to whoever multiplies by it."""
        self.value.copy_(self.log.detach().exp())
        return self.value.clone()


@OBJECTIVES.register("constraint", reference="Rezende & Viola 2018, arXiv:1810.00597")
class Constraint(Term):
    """-log λ · C with C the batch's mean of -log p(x|z) or of the KL, less its target; a scalar in nats.

    It is the loss of the player "multiplier", so that λ grows while C > 0 and falls while C < 0: the weight of the term
    of that name in the model's loss is found where the target holds. It stays within e^±10. Adam's running mean
    of C is the moving average of the paper.
    Source: Rezende & Viola 2018, arXiv:1810.00597, algorithm 1.
    """

    name = "constraint"
    player = MULTIPLIER

    def __init__(self, weight: Multiplier, of: Constrained, target: Schedule | float | str) -> None:
        super().__init__()
        self.multiplier, self.of, self.target = weight, of, Annealed(target)

    def forward(self, trace: Trace) -> Tensor:
        """Return -log λ · C."""
        value = -trace.log_px if self.of == "reconstruction" else total_of(lambda one: one.kl, trace, None)
        off = distributed.mean_rows(mean_over_samples(value)) - self.target()
        log = self.multiplier.log
        beyond = (log.abs() > MOST) & (log * off > 0)  # a target out of reach moves λ no further
        return -log * torch.where(beyond, torch.zeros_like(off), off).detach()


def constrained(of: Constrained, target: Schedule | float | str, k: int = 1) -> Objective:
    """Return the negative ELBO with the weight of one term found so that it meets its target.

    Of "reconstruction" the KL is least among models whose -E_q[log p(x|z)] is the target (GECO); of "rate" the
    reconstruction is best among those whose KL is.

    >>> constrained("rate", 10.0).player_names
    ['model', 'multiplier']
    """
    weight = Multiplier()
    terms = (Reconstruction(weight, k), Rate()) if of == "reconstruction" else (Reconstruction(k=k), Rate(weight))
    return Objective(*terms, Constraint(weight, of, target), players={MULTIPLIER: weight})
