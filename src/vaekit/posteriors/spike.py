"""Latents that are exactly zero for most examples."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.conditional import log_scale
from vaekit.distributions.spike import SpikeSlabFamily
from vaekit.nets.own import adapted
from vaekit.posteriors.base import POSTERIORS, Draw, Posterior
from vaekit.posteriors.categorical import above_zero
from vaekit.schedules import Annealed, ScheduleSetting


@POSTERIORS.register(
    "spike-slab",
    reference="Tonolini et al. 2019, arXiv:1801.10129",
    options={"temperature": "temperature of the gates' relaxation, by which they have a gradient"},
)
class SpikeSlabPosterior(Posterior):
    """q(z|x) = Π_j γ_j(x) N(z_j; μ_j(x), σ_j²(x)) + (1 - γ_j(x)) δ_0(z_j): sparse codes.

    Samples are draws from q itself, zeros among them, in training too; the gradient of a gate is its relaxation's at a
    temperature that follows its schedule, and biased. KL(q ‖ p) and its gradient are exact.

    >>> import torch; from vaekit.nets.mlp import mlp
    >>> posterior = SpikeSlabPosterior(mlp(784, 20))
    >>> z = posterior.draw(posterior(torch.zeros(100, 784)), 5).z
    >>> z.shape, 0.4 < (z == 0).float().mean().item() < 0.6
    (torch.Size([5, 100, 20]), True)
    """

    space = "numbers or zeros"

    def __init__(self, net: nn.Module, temperature: ScheduleSetting = "linear 1 0.3 80%") -> None:
        net = adapted(net, self, 3)
        super().__init__(net, params=3)
        self.temperature = Annealed(above_zero(temperature))

    def family(self, params: Tensor) -> SpikeSlabFamily:
        """Split the gates' logits, the mean and the log standard deviation."""
        logits, loc, raw = params.unbind(params.dim() - 1 - len(self.latent_shape))
        return SpikeSlabFamily(logits, loc, log_scale(self.net, raw), len(self.latent_shape))

    def draw(self, q: Distribution, k: int, hard: bool = False) -> Draw:
        """Draw (K, B, D)."""
        assert isinstance(q, SpikeSlabFamily)
        shape = torch.Size((k,))
        z = q.sample(shape) if hard else q.through(shape, self.temperature().to(q.loc.dtype))
        return Draw(z, z)
