"""The Laplace likelihood."""

from __future__ import annotations

from pydantic import PositiveFloat
from torch import Tensor, nn

from vaekit.distributions.laplace import LaplaceFamily
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.likelihoods.scale import LocationScale, Scale, ScaleKind
from vaekit.nets.own import adapted


@LIKELIHOODS.register(
    "laplace",
    reference="Laplace 1774; absolute error as a likelihood, Bishop 2006, §1.5.5",
    options={"scale": "b: a number, or how it is learned"},
    examples=tuple({"scale": s} for s in (0.5, "shared", "pixel")),
)
class Laplace(LocationScale):
    """p(x|z) = Π_j exp(-|x_j - μ_j(z)| / b_j) / 2 b_j, for real data: absolute error, with its constant.

    `scale` says where b comes from: a number, or "shared", "channel", "dimension" (learned) or "pixel" (from the
    network); a learned b lies within e^±7 times the data's deviation, where it starts.

    >>> import torch; from vaekit.nets.mlp import mlp
    >>> Laplace(mlp(20, 784))(torch.zeros(3, 20)).log_prob(torch.rand(3, 784)).shape
    torch.Size([3])
    """

    scale: Scale

    def __init__(self, net: nn.Module, *, scale: PositiveFloat | ScaleKind = "shared") -> None:
        net = adapted(net, self, 1 + (scale == "pixel"))
        super().__init__(net, Scale(scale, net.out_shape))

    def family(self, params: Tensor) -> LaplaceFamily:
        """Take the mean, and log b from where `scale` says."""
        loc, raw = self.split(params)
        return LaplaceFamily(loc, self.scale(raw), self.event_dims)
