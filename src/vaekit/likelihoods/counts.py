"""Likelihoods of counts: Poisson and negative binomial."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from vaekit.distributions.counts import NegativeBinomialFamily, PoissonFamily
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.likelihoods.scale import Scale, ScaleKind, split
from vaekit.nets.own import adapted

LOG_MEAN_BOUND = 15.0


def bounded_log_mean(raw: Tensor) -> Tensor:
    """Squash a network's output to (-15, 15), the identity near 0: means from 3e-7 to 3e6.

    >>> bounded_log_mean(torch.tensor([0.0, 1e9, -1e9]))
    tensor([  0.,  15., -15.])
    """
    return LOG_MEAN_BOUND * torch.tanh(raw / LOG_MEAN_BOUND)


def raw_log_mean(mean: Tensor) -> Tensor:
    """Return the network output that stands for `mean`, clipped to [1e-3, 1e6]."""
    log_mean = torch.log(mean.clamp(1e-3, 1e6))
    return LOG_MEAN_BOUND * torch.atanh(log_mean / LOG_MEAN_BOUND)


@LIKELIHOODS.register("poisson", reference="Poisson 1837; for counts of genes: Lopez et al. 2018, arXiv:1709.02082")
class Poisson(Likelihood):
    """p(x|z) = Π_j Poisson(x_j; exp η_j(z)), for counts; η is bounded to (-15, 15).

    >>> from vaekit.nets.mlp import mlp
    >>> Poisson(mlp(20, 784))(torch.zeros(3, 20)).log_prob(torch.ones(3, 784)).shape
    torch.Size([3])
    """

    wants = "counts"
    measure = "mass"

    def __init__(self, net: nn.Module) -> None:
        net = adapted(net, self, 1)
        super().__init__(net, params=1)
        self.event_dims = len(net.out_shape)

    def family(self, params: Tensor) -> PoissonFamily:
        """Take the log rates."""
        raw = params.select(params.dim() - 1 - self.event_dims, 0)
        return PoissonFamily(bounded_log_mean(raw), self.event_dims)

    def start_from(self, mean: Tensor) -> None:
        """Start from the training mean."""
        assert self.net is not None
        self.net.set_bias(0, raw_log_mean(mean))


@LIKELIHOODS.register(
    "negative-binomial",
    reference="Lopez et al. 2018, doi:10.1038/s41592-018-0229-2",
    options={"dispersion": "α of the variance m + α m²: a number, or how it is learned"},
    examples=tuple({"dispersion": s} for s in (0.5, "shared", "dimension", "pixel")),
)
class NegativeBinomial(Likelihood):
    """p(x|z) = Π_j NB(x_j) with mean m_j = exp η_j(z) and variance m_j + α_j m_j², for counts that scatter widely.

    `dispersion` says where α comes from: a number, or "shared", "channel", "dimension" (learned) or "pixel" (from the
    network); log α is bounded to (-7, 7), η to (-15, 15).

    >>> from vaekit.nets.mlp import mlp
    >>> NegativeBinomial(mlp(20, 784))(torch.zeros(3, 20)).log_prob(torch.ones(3, 784)).shape
    torch.Size([3])
    """

    wants = "counts"
    measure = "mass"

    def __init__(self, net: nn.Module, *, dispersion: PositiveFloat | ScaleKind = "dimension") -> None:
        net = adapted(net, self, 1 + (dispersion == "pixel"))
        source = Scale(dispersion, net.out_shape, name="dispersion")
        super().__init__(net, params=1 + source.params)
        self.event_dims = len(net.out_shape)
        self.dispersion = source

    def family(self, params: Tensor) -> NegativeBinomialFamily:
        """Take the log mean, and log α from where `dispersion` says."""
        log_mean, raw = split(params, self.event_dims)
        return NegativeBinomialFamily(bounded_log_mean(log_mean), self.dispersion(raw), self.event_dims)

    def start_from(self, mean: Tensor) -> None:
        """Start from the training mean."""
        assert self.net is not None
        self.net.set_bias(0, raw_log_mean(mean))
