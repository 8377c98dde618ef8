"""Where a likelihood's scale comes from: a number, learned parameters, or the network."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from vaekit.distributions.normal import bounded_log_scale
from vaekit.errors import UserError

ScaleKind = Literal["shared", "channel", "dimension", "pixel"]


class Scale(nn.Module):
    """A positive quantity on the log scale, broadcasting against an event of shape `shape`.

    `kind` is a positive number (fixed), "shared" (one learned scalar), "channel" (one for each entry of the first
    event axis), "dimension" (one for each event element) or "pixel" (from the network, for each example and element).
    What is learned is bounded: log = centre + 7 tanh(raw / 7), raw starting at 0. `params` is the number of values an
    element it asks of the network: 1 for "pixel", else 0. `name` is the setting, for the error.

    >>> Scale(0.5, (3,))(None).exp().item()
    0.5
    >>> Scale("channel", (3, 8, 8))(None).shape
    torch.Size([3, 1, 1])
    """

    log_value: Tensor
    raw: nn.Parameter

    def __init__(
        self, kind: float | ScaleKind, shape: tuple[int, ...], *, centre: float = 0.0, name: str = "scale"
    ) -> None:
        super().__init__()
        self.kind = kind
        self.centre = centre
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
        return bounded_log_scale(value) + self.centre if self.centre else bounded_log_scale(value)


def split(params: Tensor, event_dims: int) -> tuple[Tensor, Tensor | None]:
    """Return the first value of each element, and the second where the network gives two.

    >>> loc, raw = split(torch.zeros(5, 2, 1, 8, 8), 3)
    >>> loc.shape, raw.shape
    (torch.Size([5, 1, 8, 8]), torch.Size([5, 1, 8, 8]))
    """
    parts = params.unbind(params.dim() - 1 - event_dims)
    return parts[0], parts[1] if len(parts) > 1 else None
