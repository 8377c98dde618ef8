"""The terms of the negative ELBO: reconstruction and rate, with β and free bits."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.objectives.base import OBJECTIVES, Objective, Term, mean_over_samples, total_of
from vaekit.schedules import Annealed, Schedule
from vaekit.trace import Latent, Trace


@OBJECTIVES.register("reconstruction", reference="Kingma & Welling 2014, arXiv:1312.6114")
class Reconstruction(Term):
    """-E_q[log p(x|z)], (B,) nats: summed over the event's dimensions, averaged over the K samples."""

    name = "reconstruction"

    def __init__(self, weight: Annealed | Schedule | float | str = 1.0, k: int = 1) -> None:
        super().__init__(weight)
        self.k = k

    def forward(self, trace: Trace) -> Tensor:
        """Return -E_q[log p(x|z)]."""
        return -mean_over_samples(trace.log_px)


@OBJECTIVES.register(
    "rate", reference="Kingma & Welling 2014, arXiv:1312.6114; free bits: Kingma et al. 2016, arXiv:1606.04934"
)
class Rate(Term):
    """β Σ KL(q ‖ p), (B,) nats, over every latent or the named ones; with λ free bits, max(λ, KL) is charged.

    Free bits are nats a latent dimension ("dimension", on the batch's mean KL of each, as in Kingma et al. 2016,
    arXiv:1606.04934, App. C.8) or a latent ("latent"). They shape the loss only, never a reported bound.
    """

    name = "rate"

    def __init__(
        self,
        beta: Annealed | Schedule | float | str = 1.0,
        free_bits: Schedule | float | str = 0.0,
        per: Literal["dimension", "latent"] = "dimension",
        latents: Collection[str] | None = None,
    ) -> None:
        super().__init__(beta)
        self.free_bits = Annealed(free_bits)
        self.per = per
        self.latents = None if latents is None else frozenset(latents)

    @property
    def _free(self) -> bool:
        schedule = self.free_bits.schedule
        return schedule.first > 0 or schedule.last > 0

    def forward(self, trace: Trace) -> Tensor:
        """Return the KL charged."""
        return total_of(self._charge, trace, self.latents)

    def _charge(self, latent: Latent) -> Tensor:
        if not self._free:
            return mean_over_samples(latent.kl)
        elements = latent.kl_elements if self.per == "dimension" else None
        if elements is None:
            return torch.maximum(distributed.mean_rows(mean_over_samples(latent.kl)), self.free_bits())
        lead = elements.dim() - len(latent.q.event_shape)
        elements = elements.mean(0) if lead > 1 else elements
        return torch.maximum(distributed.mean_rows(elements), self.free_bits()).sum()


def negative_elbo(
    beta: Schedule | float | str = 1.0,
    free_bits: Schedule | float | str = 0.0,
    per: Literal["dimension", "latent"] = "dimension",
    k: int = 1,
) -> Objective:
    """Return -E_q[log p(x|z)] + β KL(q ‖ p) as an objective.

    >>> [term.name for term in negative_elbo(beta=4.0).each()]
    ['reconstruction', 'rate']
    """
    return Objective(Reconstruction(k=k), Rate(beta, free_bits, per))
