"""Normal priors: standard, and conditional on a label."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaekit.conditional import label_vectors
from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily, bounded_log_scale
from vaekit.nets.mlp import Shape, as_shape
from vaekit.nets.own import adapted
from vaekit.priors.base import PRIORS, Prior


@PRIORS.register("standard-normal", reference="Kingma & Welling 2014, arXiv:1312.6114")
class StandardNormal(Prior):
    """p(z) = N(0, I).

    >>> StandardNormal(20)().event_shape
    torch.Size([20])
    """

    like: Tensor
    bf16_measured = ("mlp", "conv")

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("like", torch.zeros(as_shape(shape)), persistent=False)
        self._made: StandardNormalFamily | None = None

    def forward(self) -> StandardNormalFamily:
        """Return N(0, I), the same one until the module moves."""
        like = self.like
        if self._made is None or self._made.loc is not like:
            self._made = StandardNormalFamily(like)
        return self._made


@PRIORS.register("conditional-normal", reference="Sohn et al. 2015, 'Learning structured output representation'")
class ConditionalNormal(Prior):
    """p(z|c) = N(μ(c), diag σ²(c)); also p(z1|z2) in a hierarchy.

    >>> from vaekit.nets.mlp import mlp
    >>> ConditionalNormal(mlp(10, 20, (32,)))(torch.zeros(3, 10)).batch_shape
    torch.Size([3])
    """

    def __init__(self, net: nn.Module) -> None:
        net = adapted(net, self, 2)
        super().__init__(net, params=2)
        self.event_dims = len(net.out_shape)

    @property
    def takes_label(self) -> bool:
        """Always: the context is the label."""
        return True

    def forward(self, context: Tensor) -> DiagonalNormalFamily:
        """Return N(μ(c), diag σ²(c)); class numbers are made one-hot, missing ones (-1) zeros."""
        net = self.net
        assert net is not None and net.in_shape is not None
        if not context.dtype.is_floating_point:
            context = label_vectors(context, net.in_shape[-1])
        distribution = super().forward(context)
        assert isinstance(distribution, DiagonalNormalFamily)
        return distribution

    def family(self, params: Tensor) -> DiagonalNormalFamily:
        """Split mean and log standard deviation."""
        loc, raw = params.unbind(params.dim() - 1 - self.event_dims)
        return DiagonalNormalFamily(loc, bounded_log_scale(raw), self.event_dims)
