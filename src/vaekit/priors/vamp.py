"""The VampPrior: a mixture of the posterior's own answers to learned pseudo-inputs."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from vaekit.conditional import Posterior
from vaekit.distributions.mixture import Mixture
from vaekit.errors import UserError
from vaekit.nets.mlp import mlp
from vaekit.priors.base import PRIORS, Prior


class _Small(Posterior):
    """The posterior of the example: any will do."""

    def family(self, params: Tensor) -> Any:
        from vaekit.distributions.normal import DiagonalNormalFamily, bounded_log_scale

        loc, raw = params.unbind(params.dim() - 1 - len(self.latent_shape))
        return DiagonalNormalFamily(loc, bounded_log_scale(raw), len(self.latent_shape))


def _example(shape: tuple[int, ...]) -> tuple[VampPrior, tuple[()]]:
    """A prior that also owns its posterior, which a model would."""
    posterior = _Small(mlp(6, shape, (8,)), params=2)
    prior = VampPrior(posterior, (6,), components=7, limits=(0.0, 1.0))
    prior.add_module("owner", posterior)
    return prior, ()


@PRIORS.register(
    "vamp",
    reference="Tomczak & Welling 2018, arXiv:1705.07120",
    options={"components": "pseudo-inputs of the prior"},
    of_posterior=True,
    example=_example,
)
class VampPrior(Prior):
    """p(z) = (1/C) Σ_c q(z|u_c) with pseudo-inputs u_c in the data's space, learned, and kept within `limits`.

    The posterior is the model's: it is called and not owned, so that its parameters are named once and a copy of the
    model has a prior of the copied posterior. The pseudo-inputs start at training examples, where training gives any.

    >>> from vaekit.posteriors.base import POSTERIORS
    >>> q = POSTERIORS["diagonal-normal"].part(mlp(784, 20))
    >>> prior = VampPrior(q, (784,), components=50, limits=(0.0, 1.0))
    >>> prior().log_prob(torch.zeros(3, 20)).shape, list(prior.state_dict())
    (torch.Size([3]), ['inputs'])
    """

    shares_posterior = True

    def __init__(
        self,
        posterior: Posterior,
        data_shape: tuple[int, ...],
        components: PositiveInt = 200,
        limits: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        if posterior.net is None or posterior.net.in_shape != tuple(data_shape):
            raise UserError("the prior 'vamp' needs a posterior that encodes data by itself; choose another prior")
        self._posterior = posterior.forward  # a bound method: no module of ours, yet followed by copies
        self.space = posterior.space
        self.limits = limits
        self.examples_wanted = components
        start = torch.rand(components, *data_shape) if limits else torch.randn(components, *data_shape)
        self.inputs = nn.Parameter(start)

    def start_from_examples(self, x: Tensor) -> None:
        """Start at training examples (C, *data_shape), repeated where there are fewer, with a little noise."""
        with torch.no_grad():
            rows = torch.arange(len(self.inputs)) % len(x)
            noise = 0.01 * torch.randn(self.inputs.shape, generator=torch.Generator().manual_seed(0))
            start = x[rows].to(self.inputs) + noise.to(self.inputs)
            # Just inside the limits: at or beyond them a pseudo-input would have no gradient.
            self.inputs.copy_(start if self.limits is None else start.clamp(0.01, max(0.99, self.limits[1] - 0.01)))

    def forward(self) -> Mixture:
        """Return the mixture of the posterior's answers."""
        u = self.inputs if self.limits is None else self.inputs.clamp(*self.limits)
        q = self._posterior(u)
        if not hasattr(q, "log_prob") or getattr(q, "point_mass", False):
            raise UserError(
                "the prior 'vamp' is a mixture of posteriors, and a point mass has no density; choose another"
            )
        return Mixture(q, torch.zeros(len(u), dtype=u.dtype, device=u.device), shares_posterior=True)
