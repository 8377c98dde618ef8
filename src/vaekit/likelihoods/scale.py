"""Where a likelihood's scale comes from: a number, learned parameters, or the network; and the unit it is in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from vaekit.distributions.normal import bounded_log_scale
from vaekit.errors import UserError
from vaekit.likelihoods.base import Likelihood
from vaekit.nets.base import Net

ScaleKind = Literal["shared", "channel", "dimension", "pixel"]


class Scale(nn.Module):
    """A positive quantity on the log scale, broadcasting against an event of shape `shape`.

    `kind` is a positive number (fixed), "shared" (one learned scalar), "channel" (one for each entry of the first
    event axis), "dimension" (one for each event element) or "pixel" (from the network, for each example and element).
    What is learned is bounded: log = centre + 7 tanh(raw / 7), raw starting at 0; training moves it at
    `train.lr_sigma_factor` times the rate of its part (`is_scale`). `params` is the number of values an
    element it asks of the network: 1 for "pixel", else 0. `name` is the setting, for the error.

    `in_units` moves the centre to the deviation of data that are not standardised, so that neither where σ starts nor
    its bounds depend on their unit. A fixed number is in the data's own unit, whether they are standardised or not.

    >>> Scale(0.5, (3,))(None).exp().item()
    0.5
    >>> Scale("channel", (3, 8, 8))(None).shape
    torch.Size([3, 1, 1])
    """

    is_scale = True
    log_value: Tensor
    raw: nn.Parameter
    centre: Tensor | None

    def __init__(
        self, kind: float | ScaleKind, shape: tuple[int, ...], *, centre: float = 0.0, name: str = "scale"
    ) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("centre", torch.tensor(centre) if centre else None, persistent=False)
        self.params = int(kind == "pixel")
        shapes = {"shared": (), "channel": (*shape[:1], *[1] * (len(shape) - 1)), "dimension": shape}
        if isinstance(kind, str):
            if kind not in (*shapes, "pixel"):
                raise UserError(f"model.{name} is '{kind}'; use a positive number, shared, channel, dimension or pixel")
            if kind != "pixel":
                self.raw = nn.Parameter(torch.zeros(shapes[kind]))
        else:
            if not (math.isfinite(kind) and kind > 0):
                raise UserError(f"model.{name} is {kind}; a fixed one must be a positive number")
            self.register_buffer("log_value", torch.tensor(math.log(kind)), persistent=False)

    def forward(self, raw: Tensor | None) -> Tensor:
        """Return the log of the quantity; `raw` is the network's values where `params` is 1, and ignored else."""
        if not isinstance(self.kind, str):
            return self.log_value
        value = raw if self.kind == "pixel" else self.raw
        assert value is not None
        return bounded_log_scale(value) if self.centre is None else bounded_log_scale(value) + self.centre

    def in_units(self, log_deviation: Tensor, standardised: bool) -> None:
        """Take note of the data's deviation, (C, 1, …): of the columns or channels that are first among the axes."""
        if not isinstance(self.kind, str):
            if standardised:
                self.log_value = math.log(self.kind) - log_deviation
        elif not standardised:
            self.centre = log_deviation.mean() if self.kind == "shared" else log_deviation


class LocationScale(Likelihood):
    """p(x|z) of real data by a location μ(z) from the network and a scale from `Scale` (None: the family's own).

    In units of the deviation d of data that are not standardised, the network gives μ/d: what it has to learn does not
    depend on their unit.
    """

    wants = "real"
    deviation: Tensor | None

    def __init__(self, net: Net, scale: Scale | None) -> None:
        super().__init__(net, params=1 + (0 if scale is None else scale.params))
        self.event_dims = len(net.out_shape)
        self.scale = scale
        self.register_buffer("deviation", None, persistent=False)

    def split(self, params: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the location, and the network's values for the scale where it asks for some."""
        loc, raw = split(params, self.event_dims)
        return loc if self.deviation is None else loc * self.deviation, raw

    def in_units(self, deviation: Sequence[float], shape: Sequence[int], standardised: bool) -> None:
        """Take note of the data's deviation."""
        super().in_units(deviation, shape, standardised)
        each = torch.tensor(deviation, dtype=torch.float64).view(-1, *[1] * (len(shape) - 1))
        if self.scale is not None:
            self.scale.in_units(each.log().float(), standardised)
        self.deviation = None if standardised else each.float()

    def start_from(self, mean: Tensor) -> None:
        """Start from the training mean."""
        assert self.net is not None
        self.net.set_bias(0, mean if self.deviation is None else mean / self.deviation)


def split(params: Tensor, event_dims: int) -> tuple[Tensor, Tensor | None]:
    """Return the first value of each element, and the second where the network gives two.

    >>> loc, raw = split(torch.zeros(5, 2, 1, 8, 8), 3)
    >>> loc.shape, raw.shape
    (torch.Size([5, 1, 8, 8]), torch.Size([5, 1, 8, 8]))
    """
    parts = params.unbind(params.dim() - 1 - event_dims)
    return parts[0], parts[1] if len(parts) > 1 else None
