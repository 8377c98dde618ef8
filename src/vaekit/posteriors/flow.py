"""Flow posteriors: a diagonal normal bent by invertible steps."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.conditional import Draw
from vaekit.distributions.flow import Flow, Planar, autoregressive, coupling
from vaekit.distributions.normal import DiagonalNormalFamily, bounded_log_scale
from vaekit.nets.own import adapted
from vaekit.posteriors.base import POSTERIORS, Posterior

CONTEXT = 2
"""Numbers a latent dimension that the encoder hands to autoregressive and coupling steps."""


@POSTERIORS.register(
    "flow",
    reference="Rezende & Mohamed 2015, arXiv:1505.05770; Kingma et al. 2016, arXiv:1606.04934",
    options={"flow": "kind of the posterior's flow", "transforms": "steps of the posterior's flow"},
    examples=({"flow": "planar"}, {"flow": "iaf"}, {"flow": "nsf"}),
)
class FlowPosterior(Posterior):
    """q(z|x): N(μ(x), diag σ²(x)) pushed through `transforms` steps that see x too.

    `flow` is "planar" (bends along one direction a step), "iaf" (inverse autoregressive: every dimension's shift and
    scale depend on those before it; quick to sample, slow to score elsewhere) or "nsf" (spline couplings).

    >>> import torch; from vaekit.nets.mlp import mlp
    >>> q = FlowPosterior(mlp(784, 20), flow="planar")(torch.zeros(3, 784))
    >>> z, log_q = q.rsample_and_log_prob((5,))
    >>> z.shape, log_q.shape
    (torch.Size([5, 3, 20]), torch.Size([5, 3]))
    """

    def __init__(
        self, net: nn.Module, flow: Literal["planar", "iaf", "nsf"] = "iaf", transforms: PositiveInt = 4
    ) -> None:
        net = adapted(net, self)
        if len(net.out_shape) != 1:
            raise ValueError(f"a flow needs a flat latent, not one of shape {net.out_shape}")
        (size,) = net.out_shape
        super().__init__(net, params=2 + (3 * transforms if flow == "planar" else CONTEXT))
        self.steps: nn.Module
        if flow == "planar":
            self.steps = Planar()
        elif flow == "iaf":
            self.steps = autoregressive(size, CONTEXT * size, transforms)
        else:
            self.steps = coupling(size, CONTEXT * size, transforms, spline=True, reverse=False)

    def draw(self, q: Distribution, k: int, hard: bool = False) -> Draw:
        """Draw `k` samples of each example's latent, with their log-density and the base's samples."""
        assert isinstance(q, Flow)
        start = q.base.rsample(torch.Size((k,)))
        code, log_q = q.pushed(start)
        return Draw(code, code, log_q, start=start)

    def family(self, params: Tensor) -> Flow:
        """Split mean, log standard deviation, and what the steps see."""
        base = DiagonalNormalFamily(params[..., 0, :], bounded_log_scale(params[..., 1, :]))
        return Flow(base, self.steps, params[..., 2:, :])
