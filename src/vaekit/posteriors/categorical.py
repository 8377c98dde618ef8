"""Several categorical latents, relaxed while training."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import one_hot

from vaekit.distributions.categorical import OneHot
from vaekit.distributions.relaxed import RelaxedOneHot, coupled_one_hot
from vaekit.errors import UserError
from vaekit.nets.own import adapted
from vaekit.posteriors.base import POSTERIORS, Draw, Posterior
from vaekit.schedules import Annealed, Schedule, ScheduleSetting


def above_zero(temperature: float | str) -> Schedule:
    """Return the schedule of a temperature; one that reaches 0 is a UserError."""
    schedule = Schedule.parse(temperature)
    if min(schedule.first, schedule.last) <= 0:
        raise UserError(f"model.temperature={schedule} must stay above 0; use e.g. 'linear 1 0.3 80%'")
    return schedule


@POSTERIORS.register(
    "categorical",
    reference="Jang et al. 2017, arXiv:1611.01144; Maddison et al. 2017, arXiv:1611.00712",
    options={
        "classes": "values of each categorical latent",
        "temperature": "temperature of the relaxation",
        "straight_through": "decode one-hot codes while training too",
    },
    examples=({}, {"straight_through": True}),
)
class CategoricalPosterior(Posterior):
    """q(z|x) = Π_j Cat(z_j; softmax l_j(x)): D latents of `classes` values each, one-hot, (D, classes).

    Training samples are Gumbel-softmax relaxations at a temperature that follows its schedule; with `straight_through`
    the decoder sees the one-hot vector and the gradient is the relaxation's. `hard` samples, as all evaluation takes
    them, are one-hot draws from q itself.

    >>> import torch; from vaekit.nets.mlp import mlp
    >>> posterior = CategoricalPosterior(mlp(784, 20), classes=10)
    >>> q = posterior(torch.zeros(3, 784))
    >>> posterior.draw(q, 5, hard=True).z.shape
    torch.Size([5, 3, 20, 10])
    """

    space = "one-hot codes"

    def __init__(
        self,
        net: nn.Module,
        classes: PositiveInt = 10,
        temperature: ScheduleSetting = "linear 1 0.3 80%",
        straight_through: bool = False,
    ) -> None:
        net = adapted(net, self, classes)
        super().__init__(net, params=classes)
        self.latent_shape = (*net.out_shape, classes)
        self.temperature = Annealed(above_zero(temperature))
        self.straight_through = straight_through

    def family(self, params: Tensor) -> OneHot:
        """Put the classes last."""
        dims = len(self.latent_shape)
        return OneHot(params.movedim(params.dim() - dims, -1), dims)

    def draw(self, q: Distribution, k: int, hard: bool = False) -> Draw:
        """Draw (K, B, D, classes): relaxed, or one-hot."""
        assert isinstance(q, OneHot)
        if hard:
            code = q.sample((k,))
            return Draw(code, code)
        relaxed = RelaxedOneHot(q.logits, self.temperature().to(q.logits.dtype), len(q.event_shape))
        z = relaxed.rsample((k,))
        if not self.straight_through:
            return Draw(z, z, q=relaxed)
        z = one_hot(z.argmax(-1), z.shape[-1]).to(z.dtype) + (z - z.detach())
        return Draw(z, z)

    def coupled(self, q: Distribution, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one-hot codes, the relaxed ones whose largest entry they name, and relaxed ones given the codes."""
        assert isinstance(q, OneHot)
        return coupled_one_hot(q, self.temperature().to(q.logits.dtype), k)
