"""Experts of several modalities are held close to what they make together."""

from __future__ import annotations

from torch import Tensor

from vaekit.distributions.experts import ProductOfExperts
from vaekit.distributions.kl import kl
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.schedules import Annealed, Schedule
from vaekit.trace import Trace


@OBJECTIVES.register("agreement", reference="Hwang et al. 2021, NeurIPS 34")
class Agreement(Term):
    """γ/M Σ_m KL(q(z|x_1 … x_M) ‖ e_m(z)) over the modalities that are there, (B,) nats.

    It asks of each modality's expert to say of z what all say together, so that one alone serves for the others.
    """

    name = "agreement"

    def __init__(self, weight: Annealed | Schedule | float | str = 1.0, latent: str = "z") -> None:
        super().__init__(weight)
        self.latent = latent

    def forward(self, trace: Trace) -> Tensor:
        """Return the mean divergence."""
        q = trace.latents[self.latent].q
        assert isinstance(q, ProductOfExperts)
        whole = DiagonalNormalFamily(q.loc.unsqueeze(-2), q.log_scale.unsqueeze(-2))
        each = kl(whole, q.experts)
        return (q.taken * each).sum(-1) / q.taken.sum(-1).clamp(min=1)
