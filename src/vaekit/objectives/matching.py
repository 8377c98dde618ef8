"""Flow matching: a velocity is fitted to straight paths from noise to examples."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit.distributions.flow import Flow
from vaekit.distributions.velocity import Velocity
from vaekit.errors import UserError
from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.trace import Trace


@OBJECTIVES.register("flow-matching", reference="Lipman et al. 2023, arXiv:2210.02747, eq. 23; Liu et al. 2023")
class FlowMatching(Term):
    """E ‖v((1 - t) ε + t z, t) - (z - ε)‖², ε ~ N(0, I), t uniform: the mean over a batch of codes z.

    Its minimum over v is E[z - ε | (1 - t) ε + t z], the velocity that carries N(0, I) to the law of z. The trace's x
    are the codes and its p(x) the flow (`VAE.trace_codes`). A batch's t are spread evenly over [0, 1].
    """

    name = "matching"

    def forward(self, trace: Trace) -> Tensor:
        """Return the squared error, (B,)."""
        field = trace.px.steps if isinstance(trace.px, Flow) else None
        if not isinstance(field, Velocity):
            raise UserError("the term 'matching' fits the velocity of a latent-flow prior, and this trace has none")
        z = trace.x
        noise = torch.randn_like(z)
        even = torch.arange(len(z), device=z.device, dtype=z.dtype).unsqueeze(-1) / len(z)
        t = (even + torch.rand(1, device=z.device, dtype=z.dtype)) % 1
        return (field.velocity(torch.lerp(noise, z, t), t) - (z - noise)).square().sum(-1)
