"""A normal posterior that cannot come nearer to the prior than a rate it is committed to."""

from __future__ import annotations

import math

import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor, nn

from vaekit.conditional import log_scale
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.nets.base import size
from vaekit.posteriors.base import POSTERIORS
from vaekit.posteriors.normal import DiagonalNormal


def widest(rate: float) -> float:
    """Return log σ < 0 of the widest N(μ, σ²) whose KL from N(0, 1) is at least `rate` nats, whatever μ.

    The least KL over μ is r = ½ (σ² - 1) - log σ; the root is found by halving.

    >>> sigma = math.exp(widest(0.5)); round(0.5 * (sigma**2 - 1) - math.log(sigma), 6)
    0.5
    """
    low, high = -(rate + 0.5), 0.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * math.expm1(2 * middle) - middle > rate else (low, middle)
    return low


@POSTERIORS.register(
    "committed-normal",
    reference="Razavi et al. 2019, arXiv:1901.03416",
    options={"committed": "nats of KL, over all latents, that the posterior has at least"},
    examples=({}, {"committed": 0.5}),
)
class CommittedNormal(DiagonalNormal):
    """q(z|x) = N(μ(x), diag σ²(x)) with every σ below σ_δ, so that KL(q ‖ N(0, I)) ≥ `committed` nats for every x.

    σ_δ solves ½ (σ² - 1) - log σ = δ, δ the share of one dimension: a decoder can ignore z, but the rate is paid, so
    that it pays to use it. The promise is of a standard normal prior; with another the posterior trains too.
    The paper's autoregressive prior of sequences of latents is not in it.

    >>> import torch
    >>> from vaekit.distributions.kl import kl; from vaekit.nets.mlp import mlp
    >>> from vaekit.priors.normal import StandardNormal
    >>> posterior = CommittedNormal(mlp(784, 20), committed=3.0)
    >>> bool((kl(posterior(torch.randn(5, 784)), StandardNormal(20)()) >= 3.0).all())
    True
    """

    def __init__(self, net: nn.Module, committed: PositiveFloat = 2.0) -> None:
        super().__init__(net)
        self.widest = widest(committed / size(self.latent_shape))

    def family(self, params: Tensor) -> DiagonalNormalFamily:
        """Split mean and log standard deviation, which is kept between log σ_δ - 7 and log σ_δ."""
        loc, raw = params.unbind(params.dim() - 1 - len(self.latent_shape))
        return DiagonalNormalFamily(loc, self.widest - F.softplus(-log_scale(self.net, raw)), len(self.latent_shape))
