"""The discretised logistic likelihood, for grey levels."""

from __future__ import annotations

from pydantic import PositiveFloat
from torch import Tensor, nn

from vaekit.distributions.discretised_logistic import DiscretisedLogisticFamily
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.likelihoods.categorical import check_levels
from vaekit.likelihoods.scale import Scale, ScaleKind, split
from vaekit.nets.own import adapted


@LIKELIHOODS.register(
    "discretised-logistic",
    reference="Salimans et al. 2017, arXiv:1701.05517",
    options={"scale": "s of the logistic: a number, or how it is learned"},
    needs_levels=True,
    examples=({"levels": 2}, {"levels": 7, "scale": "pixel"}, {"levels": 256, "scale": "channel"}),
)
class DiscretisedLogistic(Likelihood):
    """p(x|z): a logistic variable with mean μ_j(z) rounded to one of `levels` grey levels, the ends taking the tails.

    `scale` says where the logistic's scale s comes from: a number, in units of the range [0, 1], or "shared",
    "channel", "dimension" (learned) or "pixel" (from the network); log s is bounded to (-10, 4) and starts at -3.

    >>> import torch; from vaekit.nets.mlp import mlp
    >>> DiscretisedLogistic(mlp(20, 784), levels=256)(torch.zeros(3, 20)).log_prob(torch.zeros(3, 784)).shape
    torch.Size([3])
    """

    wants = "levels"
    measure = "mass"

    def __init__(self, net: nn.Module, *, levels: int, scale: PositiveFloat | ScaleKind = "channel") -> None:
        net = adapted(net, self, 1 + (scale == "pixel"))
        source = Scale(scale, net.out_shape, centre=-3.0)
        super().__init__(net, params=1 + source.params)
        self.event_dims = len(net.out_shape)
        self.levels = check_levels(levels)
        self.scale = source

    def family(self, params: Tensor) -> DiscretisedLogisticFamily:
        """Take the mean, and log s from where `scale` says."""
        loc, raw = split(params, self.event_dims)
        return DiscretisedLogisticFamily(loc, self.scale(raw), self.levels, self.event_dims)

    def start_from(self, mean: Tensor) -> None:
        """Start from the training mean."""
        assert self.net is not None
        self.net.set_bias(0, mean)
