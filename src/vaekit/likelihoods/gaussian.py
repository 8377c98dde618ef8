"""Gaussian likelihoods with their constant, and σ from five places."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from vaekit.conditional import log_scale as own_log_scale
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.distributions.optimal import FittedNormal, log_scale_of
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.likelihoods.scale import Scale, ScaleKind, split
from vaekit.nets.own import Own, adapted

_LONGEST = 100


@LIKELIHOODS.register(
    "gaussian",
    reference="Kingma & Welling 2014, arXiv:1312.6114; optimal σ: Rybkin et al. 2021, arXiv:2006.13202",
    options={"scale": "σ: a number, or how it is learned"},
    examples=tuple({"scale": s} for s in (0.5, "shared", "channel", "dimension", "pixel", "optimal")),
)
class Gaussian(Likelihood):
    """p(x|z) = N(x; μ(z), diag σ²), for real data.

    `scale` says where σ comes from: a number; "shared", "channel" or "dimension": learned, one for all, one for each
    channel, or one for each element; "pixel": from the network, for each example and element; "optimal": the
    maximum-likelihood σ, one for all. All but a number and "optimal" have log σ bounded to (-7, 7).

    "optimal" is fitted, not learned: a training step scores its batch with the σ² that is the batch's mean squared
    error over examples, samples and elements (those of all processes that share it). `mean_square` keeps the
    running mean of those, over the last 100 steps or so, and in eval mode σ² is that constant: a fixed model with a
    normalised density, one example's log-probability not depending on the others'. It is saved with the model.

    >>> from vaekit.nets.mlp import mlp
    >>> Gaussian(mlp(20, 784), scale=0.1)(torch.zeros(3, 20)).log_prob(torch.rand(3, 784)).shape
    torch.Size([3])
    """

    wants = "real"
    pair = "a pair (mean, log variance)"
    mean_square: Tensor
    steps: Tensor

    def __init__(self, net: nn.Module, *, scale: PositiveFloat | ScaleKind | Literal["optimal"] = "shared") -> None:
        net = adapted(net, self, 1 + (scale == "pixel"))
        event_dims = len(net.out_shape)
        source = None if scale == "optimal" else Scale(scale, net.out_shape)
        super().__init__(net, params=1 + (source.params if source is not None else 0))
        self.event_dims = event_dims
        self.scale = source
        if source is None:
            self.register_buffer("mean_square", torch.ones(()))
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def family(self, params: Tensor) -> DiagonalNormalFamily:
        """Take the mean, and log σ from where `scale` says."""
        loc, raw = split(params, self.event_dims)
        if raw is not None and isinstance(self.net, Own):
            return DiagonalNormalFamily(loc, own_log_scale(self.net, raw), self.event_dims)
        if self.scale is not None:
            return DiagonalNormalFamily(loc, self.scale(raw), self.event_dims)
        log_scale = log_scale_of(self.mean_square)
        if not self.training:
            return DiagonalNormalFamily(loc, log_scale, self.event_dims)
        return FittedNormal(loc, log_scale, self.event_dims, self._observe)

    def _observe(self, mean_square: Tensor) -> Tensor:
        """Add to the running mean: plain over the first 100 steps, exponential from there."""
        self.steps += 1
        rate = 1 / self.steps.clamp(max=_LONGEST)
        # A step that went wrong is skipped by the trainer; it must not spoil the running mean either.
        fresh = torch.where(torch.isfinite(mean_square), mean_square, self.mean_square)
        self.mean_square += rate.to(fresh.dtype) * (fresh - self.mean_square)
        return mean_square

    def start_from(self, mean: Tensor) -> None:
        """Start from the training mean."""
        assert self.net is not None
        self.net.set_bias(0, mean)
