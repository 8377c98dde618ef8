"""Gaussian likelihoods with their constant, and σ from five places."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from vaekit.conditional import log_scale as own_log_scale
from vaekit.distributions.normal import LOG_SCALE_BOUND, DiagonalNormalFamily
from vaekit.distributions.optimal import FittedNormal, log_scale_of
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.likelihoods.scale import LocationScale, Scale, ScaleKind
from vaekit.nets.own import Own, adapted

_LONGEST = 100


@LIKELIHOODS.register(
    "gaussian",
    reference="Kingma & Welling 2014, arXiv:1312.6114; optimal σ: Rybkin et al. 2021, arXiv:2006.13202",
    options={"scale": "σ: a number, or how it is learned"},
    examples=tuple({"scale": s} for s in (0.5, "shared", "channel", "dimension", "pixel", "optimal")),
)
class Gaussian(LocationScale):
    """p(x|z) = N(x; μ(z), diag σ²), for real data.

    `scale` says where σ comes from: a number; "shared", "channel" or "dimension": learned, one for all, one for each
    channel, or one for each element; "pixel": from the network, for each example and element; "optimal": the
    maximum-likelihood σ, one for all. A learned σ lies within e^±7 times the data's deviation, where it starts.
    A number is in the data's own unit.

    "optimal" is fitted, not learned: a training step scores its batch with the σ² that is the batch's mean squared
    error over examples, samples and elements (those of all processes that share it). `mean_square` keeps the
    running mean of those, over the last 100 steps or so, and in eval mode σ² is that constant: a fixed model with a
    normalised density, one example's log-probability not depending on the others'. It is saved with the model.

    >>> from vaekit.nets.mlp import mlp
    >>> Gaussian(mlp(20, 784), scale=0.1)(torch.zeros(3, 20)).log_prob(torch.rand(3, 784)).shape
    torch.Size([3])
    """

    pair = "a pair (mean, log variance)"
    mean_square: Tensor
    steps: Tensor

    def __init__(self, net: nn.Module, *, scale: PositiveFloat | ScaleKind | Literal["optimal"] = "shared") -> None:
        net = adapted(net, self, 1 + (scale == "pixel"))
        super().__init__(net, None if scale == "optimal" else Scale(scale, net.out_shape))
        if self.scale is None:
            self.register_buffer("mean_square", torch.ones(()))
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def family(self, params: Tensor) -> DiagonalNormalFamily:
        """Take the mean, and log σ from where `scale` says."""
        loc, raw = self.split(params)
        if raw is not None and isinstance(self.net, Own):
            return DiagonalNormalFamily(loc, own_log_scale(self.net, raw), self.event_dims)
        if self.scale is not None:
            return DiagonalNormalFamily(loc, self.scale(raw), self.event_dims)
        least = None if self.deviation is None else self.deviation.log().mean() - LOG_SCALE_BOUND
        log_scale = log_scale_of(self.mean_square, least)
        if not self.training:
            return DiagonalNormalFamily(loc, log_scale, self.event_dims)
        return FittedNormal(loc, log_scale, self.event_dims, self._observe, least)

    def _observe(self, mean_square: Tensor) -> Tensor:
        """Add to the running mean: plain over the first 100 steps, exponential from there."""
        self.steps += 1
        rate = 1 / self.steps.clamp(max=_LONGEST)
        # A step that went wrong is skipped by the trainer; it must not spoil the running mean either.
        fresh = torch.where(torch.isfinite(mean_square), mean_square, self.mean_square)
        self.mean_square += rate.to(fresh.dtype) * (fresh - self.mean_square)
        return mean_square
