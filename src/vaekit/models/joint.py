"""Several independent latents of different kinds behind one decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.conditional import Likelihood, Posterior, Prior, apply_net
from vaekit.distributions.base import tempered
from vaekit.errors import UserError
from vaekit.models.base import Model, point
from vaekit.nets.base import Net, size
from vaekit.trace import Latent, Trace


class Given(Net):
    """No network: it hands on values (B, n · size) that another computed, as (B, n, *out_shape)."""

    def __init__(self, out_shape: tuple[int, ...]) -> None:
        super().__init__(None, out_shape)

    def widen(self, values: int) -> Net:
        """Take `values` values for each output element."""
        self.values = values
        return self

    @property
    def width(self) -> int:
        """How many values it takes in all."""
        return self.values * size(self.out_shape)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Put the values in shape."""
        return x.reshape(x.shape[0], self.values, *self.out_shape)


class JointVAE(Model):
    """p(x, z¹, …, zⁿ) = Π p(zⁱ) p(x|z¹, …, zⁿ), and q(z|x) = Π q(zⁱ|x) from one encoder, e.g. normal and categorical.

    Each posterior has a `Given` network; `trunk` makes the encoder for the width they take in all. The decoder takes
    the latents side by side, flat, in the order of their names given.

    Source: Dupont 2018, arXiv:1804.00104.

    >>> from vaekit.likelihoods.bernoulli import Bernoulli
    >>> from vaekit.nets.mlp import mlp
    >>> from vaekit.posteriors.categorical import CategoricalPosterior
    >>> from vaekit.posteriors.normal import DiagonalNormal
    >>> from vaekit.priors.categorical import UniformCategorical
    >>> from vaekit.priors.normal import StandardNormal
    >>> model = JointVAE(
    ...     lambda width: mlp(784, width),
    ...     {"z": DiagonalNormal(Given((6,))), "c": CategoricalPosterior(Given((1,)), classes=10)},
    ...     {"z": StandardNormal(6), "c": UniformCategorical((1, 10))},
    ...     Bernoulli(mlp(16, 784)),
    ... )
    >>> {name: kl.shape for name, kl in model.trace(torch.zeros(8, 784), k=5, hard=True).kl.items()}
    {'z': torch.Size([8]), 'c': torch.Size([8])}
    """

    encoder_parts = ("trunk", "posteriors")

    def __init__(
        self, trunk: Any, posteriors: Mapping[str, Posterior], priors: Mapping[str, Prior], likelihood: Likelihood
    ) -> None:
        super().__init__()
        self.names = list(posteriors)
        nets = [posteriors[name].net for name in self.names]
        self.widths = [net.width for net in nets if isinstance(net, Given)]
        if len(self.widths) != len(self.names):
            raise UserError("each posterior of a joint model takes a Given network, since they share one encoder")
        self.trunk: Net = trunk(sum(self.widths))
        self.posteriors = nn.ModuleDict(dict(posteriors))
        self.priors = nn.ModuleDict(dict(priors))
        self.likelihood = likelihood
        for name in self.names:
            if self.posterior(name).space != self.prior(name).space:
                raise UserError(
                    f"the posterior of {name} has {self.posterior(name).space} and its prior {self.prior(name).space}; "
                    "choose a prior that shares its posterior's space"
                )

    def posterior(self, name: str) -> Posterior:
        """Return the posterior of one latent."""
        return cast(Posterior, self.posteriors[name])

    def prior(self, name: str) -> Prior:
        """Return the prior of one latent."""
        return cast(Prior, self.priors[name])

    def encode_all(self, x: Any) -> dict[str, Distribution]:
        """Return q(zⁱ|x) by name."""
        values = apply_net(self.trunk, x).squeeze(1)
        parts = values.split(self.widths, -1)
        return {name: self.posterior(name)(part) for name, part in zip(self.names, parts)}

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass with `k` posterior samples an example."""
        latents: dict[str, Latent] = {}
        for name, q in self.encode_all(x).items():
            draw = self.posterior(name).draw(q, k, hard)
            latents[name] = Latent(
                q if draw.q is None else draw.q, self.prior(name)(), draw.z, draw.code, draw.log_q, draw.start
            )
        z = torch.cat([latent.z.flatten(2) for latent in latents.values()], -1)
        return Trace(x, y, latents, self.decode(z))

    def encode(self, x: Any, y: Tensor | None = None) -> Distribution:
        """Return q of the first latent."""
        return self.encode_all(x)[self.names[0]]

    def posterior_mean(self, x: Any, y: Tensor | None = None) -> Tensor:
        """Return the means of all latents side by side, (B, F)."""
        return torch.cat([self.posterior(name).mean(q).flatten(1) for name, q in self.encode_all(x).items()], -1)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        """Return p(x|z) for all latents side by side, (..., F)."""
        return self.likelihood(z)

    def reconstruct(self, x: Any, y: Tensor | None = None, sample: bool = False) -> Tensor:
        """Return the mean of p(x|z) at the posterior means, or at posterior samples if `sample`."""
        if not sample:
            return point(self.decode(self.posterior_mean(x)))
        draws = [self.posterior(name).draw(q, 1, hard=True).z[0] for name, q in self.encode_all(x).items()]
        return point(self.decode(torch.cat([z.flatten(1) for z in draws], -1)))

    def sample_latent(self, n: int, y: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draw `n` latents from the priors, side by side: (n, F)."""
        rows = []
        for name in self.names:
            p = tempered(self.prior(name)(), temperature)
            rows.append(p.sample(torch.Size((n,))).flatten(1))
        return torch.cat(rows, -1)
