"""Terms of quantised models: what keeps encoder and codebook together."""

from __future__ import annotations

from torch import Tensor

from vaekit.errors import UserError
from vaekit.objectives.base import OBJECTIVES, Objective, Term
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.schedules import Schedule
from vaekit.trace import Trace


@OBJECTIVES.register("quantiser-cost", reference="van den Oord et al. 2017, arXiv:1711.00937, eq. 3")
class Cost(Term):
    """A cost of the quantiser by its name in the trace's `costs`, (B,): summed over places and dimensions."""

    def __init__(self, name: str, weight: Schedule | float | str = 1.0) -> None:
        super().__init__(weight)
        self.name = name

    def forward(self, trace: Trace) -> Tensor:
        """Return the cost of each example."""
        if self.name not in trace.costs:
            raise UserError(
                f"the term '{self.name}' needs a model whose quantiser has that cost, and this one's has none"
            )
        return trace.costs[self.name]


def quantised(commitment: Schedule | float | str = 0.25, codebook: bool = False, commits: bool = True) -> Objective:
    """Return -log p(x|c) - log p(c) + β ‖f(x) - sg z‖² (+ ‖sg f(x) - e‖² where the codebook learns by a loss).

    Source: van den Oord et al. 2017, arXiv:1711.00937, eq. 3, with the bound in nats in place of its first term.

    >>> [term.name for term in quantised(codebook=True).each()]
    ['reconstruction', 'rate', 'commitment', 'codebook']
    """
    terms: list[Term] = [Reconstruction(), Rate()]
    if commits:
        terms.append(Cost("commitment", commitment))
    if codebook:
        terms.append(Cost("codebook"))
    return Objective(*terms)
