"""The Student-t likelihood."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat
from torch import Tensor, nn

from vaekit.distributions.student import StudentTFamily
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.likelihoods.scale import LocationScale, Scale, ScaleKind
from vaekit.nets.own import adapted


@LIKELIHOODS.register(
    "student-t",
    reference="Takahashi et al. 2018, 'Student-t variational autoencoder for robust density estimation'",
    options={
        "scale": "σ: a number, or how it is learned",
        "df": "ν, degrees of freedom: a number, or how they are learned",
    },
    examples=({"scale": 0.5, "df": 3.0}, {"scale": "shared"}, {"scale": "pixel", "df": "dimension"}),
)
class StudentT(LocationScale):
    """p(x|z) = Π_j Student-t(x_j; μ_j(z), σ_j, ν_j), for real data with outliers.

    `scale` says where σ comes from: a number, or "shared", "channel", "dimension" (learned) or "pixel" (from the
    network); a learned σ lies within e^±7 times the data's deviation, where it starts. `df` is ν: a number above 1,
    so that there is a mean, or "shared", "channel" or "dimension": learned, above 2, so that there is a variance, and
    below 2 + exp 9.

    >>> import torch; from vaekit.nets.mlp import mlp
    >>> StudentT(mlp(20, 784), df=4.0)(torch.zeros(3, 20)).log_prob(torch.rand(3, 784)).shape
    torch.Size([3])
    """

    scale: Scale

    def __init__(
        self,
        net: nn.Module,
        *,
        scale: PositiveFloat | ScaleKind = "shared",
        df: PositiveFloat | Literal["shared", "channel", "dimension"] = "shared",
    ) -> None:
        if df == "pixel" or (not isinstance(df, str) and not df > 1):
            raise UserError(f"model.df is {df}; use a number above 1, shared, channel or dimension")
        net = adapted(net, self, 1 + (scale == "pixel"))
        super().__init__(net, Scale(scale, net.out_shape))
        self.freedom = Scale(df, net.out_shape, centre=2.0, name="df")

    def family(self, params: Tensor) -> StudentTFamily:
        """Take the location, and log σ and ν from where `scale` and `df` say."""
        loc, raw = self.split(params)
        df = self.freedom(None).exp()
        if isinstance(self.freedom.kind, str):
            df = 2 + df
        return StudentTFamily(loc, self.scale(raw), df, self.event_dims)
