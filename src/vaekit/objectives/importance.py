"""The importance-weighted objective."""

from __future__ import annotations

from torch import Tensor

from vaekit.bounds import importance_weighted
from vaekit.objectives.base import Term
from vaekit.schedules import Schedule
from vaekit.trace import Trace


class ImportanceWeighted(Term):
    """-log (1/K) Σ_k p(x, z_k) / q(z_k|x), (B,) nats; its value is the bound itself, not a surrogate.

    Source: Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519.
    """

    name = "importance"

    def __init__(self, k: int = 50, weight: Schedule | float | str = 1.0) -> None:
        super().__init__(weight)
        self.k = k

    def forward(self, trace: Trace) -> Tensor:
        """Return the negative bound."""
        return -importance_weighted(trace)
