"""Bernoulli likelihoods."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaekit.distributions.bernoulli import BernoulliFamily, SoftBernoulliFamily
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.nets.own import adapted


@LIKELIHOODS.register("bernoulli", reference="Kingma & Welling 2014, arXiv:1312.6114, App. C.1")
class Bernoulli(Likelihood):
    """p(x|z) = Π_j Bernoulli(x_j; sigmoid(l_j(z))), for binary data.

    >>> from vaekit.nets.mlp import mlp
    >>> Bernoulli(mlp(20, 784))(torch.zeros(3, 20)).log_prob(torch.ones(3, 784)).shape
    torch.Size([3])
    """

    bf16_measured = ("mlp", "conv")
    wants = "binary"
    measure = "mass"

    def __init__(self, net: nn.Module) -> None:
        net = adapted(net, self, 1)
        super().__init__(net, params=1)
        self.event_dims = len(net.out_shape)

    def family(self, params: Tensor) -> BernoulliFamily:
        """Take the logits."""
        return BernoulliFamily(params.squeeze(params.dim() - 1 - self.event_dims), self.event_dims)

    def start_from(self, mean: Tensor) -> None:
        """Start from the logit of the training mean, clipped to [0.001, 0.999]."""
        assert self.net is not None
        self.net.set_bias(0, torch.logit(mean.clamp(1e-3, 1 - 1e-3)))


@LIKELIHOODS.register("bernoulli-soft", reference="tutorial practice; see Loaiza-Ganem & Cunningham 2019")
class SoftBernoulli(Bernoulli):
    """Bernoulli cross-entropy on grey values in [0, 1]: trains, but is not a likelihood and bounds nothing."""

    wants = "unit"
    measure = "none"

    def family(self, params: Tensor) -> SoftBernoulliFamily:
        """Take the logits."""
        return SoftBernoulliFamily(params.squeeze(params.dim() - 1 - self.event_dims), self.event_dims)
