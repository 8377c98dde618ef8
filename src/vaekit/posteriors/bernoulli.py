"""Bits as latents."""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.distributions.bernoulli import BernoulliFamily
from vaekit.distributions.relaxed import RelaxedBernoulli, coupled_bits
from vaekit.nets.own import adapted
from vaekit.posteriors.base import POSTERIORS, Draw, Posterior
from vaekit.posteriors.categorical import above_zero
from vaekit.schedules import Annealed, ScheduleSetting


@POSTERIORS.register(
    "bernoulli",
    reference="Maddison et al. 2017, arXiv:1611.00712; Mnih & Gregor 2014, arXiv:1402.0030",
    options={
        "temperature": "temperature of the relaxation",
        "straight_through": "decode hard codes while training too",
    },
    examples=({}, {"straight_through": True}),
)
class BernoulliPosterior(Posterior):
    """q(z|x) = Π_j Bernoulli(z_j; sigmoid l_j(x)): D bits, 0 or 1.

    Training samples are binary concrete relaxations at a temperature that follows its schedule; with
    `straight_through` the decoder sees the bits and the gradient is the relaxation's. `hard` samples, as all
    evaluation and the score-function objectives (`reinforce`, `vimco`, ...) take them, are draws from q itself.

    >>> import torch; from vaekit.nets.mlp import mlp
    >>> posterior = BernoulliPosterior(mlp(784, 20))
    >>> posterior.draw(posterior(torch.zeros(3, 784)), 5, hard=True).z.unique().tolist()
    [0.0, 1.0]
    """

    space = "bits"

    def __init__(
        self, net: nn.Module, temperature: ScheduleSetting = "linear 1 0.3 80%", straight_through: bool = False
    ) -> None:
        net = adapted(net, self, 1)
        super().__init__(net, params=1)
        self.temperature = Annealed(above_zero(temperature))
        self.straight_through = straight_through

    def family(self, params: Tensor) -> BernoulliFamily:
        """Take the logits."""
        dims = len(self.latent_shape)
        return BernoulliFamily(params.squeeze(params.dim() - 1 - dims), dims)

    def draw(self, q: Distribution, k: int, hard: bool = False) -> Draw:
        """Draw (K, B, D): relaxed, or bits."""
        assert isinstance(q, BernoulliFamily)
        if hard:
            code = q.sample((k,))
            return Draw(code, code)
        relaxed = RelaxedBernoulli(q.logits, self.temperature().to(q.logits.dtype), len(q.event_shape))
        z = relaxed.rsample((k,))
        if not self.straight_through:
            return Draw(z, z, q=relaxed)
        z = (z > 0.5).to(z.dtype) + (z - z.detach())
        return Draw(z, z)

    def coupled(self, q: Distribution, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw bits, the relaxed values that they round, and relaxed values given the bits."""
        assert isinstance(q, BernoulliFamily)
        return coupled_bits(q, self.temperature().to(q.logits.dtype), k)
