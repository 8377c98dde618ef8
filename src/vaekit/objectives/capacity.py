"""The capacity objective: the rate is held near a value that grows while training."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from vaekit import distributed
from vaekit.objectives.base import OBJECTIVES, Term, mean_over_samples, total_of
from vaekit.schedules import Annealed, Schedule
from vaekit.trace import Trace


@OBJECTIVES.register("capacity", reference="Burgess et al. 2018, arXiv:1804.03599, eq. 8")
class Capacity(Term):
    """γ |KL(q ‖ p) - C(t)|, a scalar in nats: the batch's mean KL of the named latents (all, if None) beside C.

    The mean over the batch is compared, as in the authors' experiments, so that examples may differ in rate. For
    discrete latents the KL cannot exceed Σ log(classes): give a capacity below it.

    Source: Burgess et al. 2018, arXiv:1804.03599, eq. 8.

    >>> import torch
    >>> from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
    >>> from vaekit.trace import Latent
    >>> q = DiagonalNormalFamily(torch.ones(4, 2), torch.zeros(4, 2))
    >>> trace = Trace(None, None, {"z": Latent(q, StandardNormalFamily(torch.zeros(2)), q.mean[None], q.mean[None])}, q)
    >>> Capacity(gamma=10.0, capacity=1.5)(trace)
    tensor(0.5000)
    """

    name = "capacity"

    def __init__(
        self,
        gamma: Schedule | float | str = 100.0,
        capacity: Schedule | float | str = "linear 0 25 100%",
        latents: Collection[str] | None = None,
        name: str = "capacity",
    ) -> None:
        super().__init__(gamma)
        self.capacity = Annealed(capacity)
        self.latents = None if latents is None else frozenset(latents)
        self.name = name

    def forward(self, trace: Trace) -> Tensor:
        """Return |mean KL - C|."""
        total = total_of(lambda latent: mean_over_samples(latent.kl), trace, self.latents)
        return (distributed.mean_rows(total) - self.capacity()).abs()
