"""Networks of table rows: each cell as the encoder should see it, missing ones as nothing at all, and straight paths.

A straight path is a linear map beside the layers, from cells to codes and from codes to what the decoder says of cells.
It starts with a place of its own for each column: a number is its code, a category a point among a few.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vaekit.nets.base import size
from vaekit.nets.mlp import MLP, Shape, as_shape

MOST_PLACES = 4
"""Codes that a category starts with, at most."""
APART = 2.0
CODE_SD = 0.1
"""Standard deviation of q that a straight path starts with."""


def widths_of(columns: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return how many numbers the encoder sees each column as: rare levels are one."""
    return [len(c["levels"]) - max((c.get("rare") or 0) - 1, 0) if "levels" in c else 1 for c in columns]


def shares_of(column: Mapping[str, Any], least: float = 1e-3) -> Tensor:
    """Return the training shares of a column's levels, none below `least` of the whole."""
    levels = len(column["levels"])
    shares = torch.tensor([float(p) for p in column.get("probs") or [1 / levels] * levels]).clamp(min=least)
    return shares / shares.sum()


def middles(column: Mapping[str, Any]) -> Tensor:
    """Return the normal score in the middle of each ordered level, (L,)."""
    shares = shares_of(column)
    return torch.special.ndtri(shares.cumsum(0) - shares / 2)


def places(columns: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the linear map from what the encoder sees of a row to codes, one place for each column: (F, D).

    >>> places([{"type": "numeric"}, {"type": "boolean", "levels": ["no", "yes"]}]).tolist()
    [[1.0, 0.0], [0.0, -1.0], [0.0, 1.0]]
    """
    noise = torch.Generator().manual_seed(0)
    blocks: list[Tensor] = []
    for column, width in zip(columns, widths_of(columns)):
        if width == 1:
            blocks.append(torch.ones(1, 1))
        elif column["type"] == "ordinal":
            blocks.append(middles(column).unsqueeze(1))
        elif width == 2:
            blocks.append(torch.tensor([[-1.0], [1.0]]))
        elif width - 1 <= MOST_PLACES:
            centred = torch.eye(width) - 1 / width
            blocks.append(APART * torch.linalg.svd(centred)[0][:, : width - 1])
        else:
            blocks.append(torch.randn(width, MOST_PLACES, generator=noise))
    return torch.block_diag(*blocks)


def through(wanted: Tensor, codes: int) -> Tensor:
    """Return a map to D places as one to `codes` codes: more are 0, of fewer each is a mixture of places."""
    if codes >= wanted.shape[1]:
        return torch.nn.functional.pad(wanted, (0, codes - wanted.shape[1]))
    noise = torch.Generator().manual_seed(1)
    return wanted @ torch.linalg.qr(torch.randn(wanted.shape[1], codes, generator=noise))[0]


class StraightMLP(MLP):
    """A perceptron with a straight path from its input beside the layers.

    >>> StraightMLP(3, 5, (8,))(torch.zeros(2, 3)).shape
    torch.Size([2, 1, 5])
    """

    def __init__(self, in_shape: Shape, outputs: int, hidden: Sequence[int], **how: Any) -> None:
        super().__init__(in_shape, outputs, hidden, **how)
        self.straight = nn.Linear(size(as_shape(in_shape)), outputs)
        _quieten(self.head)

    def forward(self, x: Tensor, context: Tensor | None = None, lead: tuple[int, ...] | None = None) -> Tensor:
        """Return (N, 1, outputs)."""
        out = super().forward(x, context, lead)
        return out + self.straight(x).reshape(*out.shape[:-2], 1, -1)


def _quieten(head: nn.Module) -> None:
    """Shrink a last layer, so that training starts near the straight path."""
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(0.1)


class TableMLP(MLP):
    """A perceptron over rows (N, C) with NaN for missing cells.

    Real cells go in standardised, as they are stored; counts as log(1 + x), standardised; choices one-hot; and, with
    `mask`, a 1 for every observed cell. A missing cell is zeros throughout, so what it would have held cannot matter,
    and a column that is always missing changes nothing. While training, a share `drop` of the observed cells is hidden
    at random: q(z|fewer cells) still bounds log p(x_observed), and the encoder learns to do without. With `straight`
    the outputs have a straight path from the cells beside the layers.

    >>> columns = [{"type": "numeric"}, {"type": "categorical", "levels": ["a", "b", "c"]}]
    >>> TableMLP(columns, 2)(torch.tensor([[0.3, torch.nan]])).shape
    torch.Size([1, 1, 2])
    """

    counts: Tensor
    shift: Tensor
    rate: Tensor

    def __init__(
        self,
        columns: Sequence[Mapping[str, Any]],
        latent: int,
        hidden: Sequence[int] = (128, 128),
        *,
        context: int = 0,
        act: str = "relu",
        mask: bool = True,
        drop: float = 0.0,
        straight: bool = False,
    ) -> None:
        self.widths = widths_of(columns)
        width = sum(self.widths) + (len(columns) if mask else 0)
        super().__init__((width,), (latent,), hidden, context=context, act=act)
        self.in_shape = (len(columns),)
        self.mask = mask
        self.drop = drop
        self.straight = nn.Linear(sum(self.widths), latent, bias=False) if straight else None
        if self.straight is not None:
            with torch.no_grad():
                self.straight.weight.copy_(through(places(columns), latent).T)
        counts = [c["type"] == "count" and not c.get("curve") for c in columns]
        self.register_buffer("counts", torch.tensor(counts), persistent=False)
        shift = [float(c.get("log_mean", 0.0)) if count else 0.0 for c, count in zip(columns, counts)]
        rate = [1 / max(float(c.get("log_sd", 1.0)), 1e-3) if count else 1.0 for c, count in zip(columns, counts)]
        self.register_buffer("shift", torch.tensor(shift), persistent=False)
        self.register_buffer("rate", torch.tensor(rate), persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None, lead: tuple[int, ...] | None = None) -> Tensor:
        """Return (N, values, latent)."""
        seen = self.seen_as(x)
        out = super().forward(seen, context, lead)
        if self.straight is None:
            return out
        along = self.straight(seen[:, : sum(self.widths)]).reshape(*out.shape[:-2], 1, -1)
        return torch.cat([out[..., :1, :] + along, out[..., 1:, :]], -2)

    def widen(self, values: int) -> TableMLP:
        """Give every code `values` values; beside a straight path they start near 0, and q's σ near `CODE_SD`."""
        super().widen(values)
        if self.straight is not None:
            _quieten(self.head)
            if values == 2:
                self.set_bias(1, torch.tensor(math.log(CODE_SD)))
        return self

    def seen_as(self, x: Tensor) -> Tensor:
        """Return the row as the first layer sees it."""
        seen = ~torch.isnan(x)
        if self.training and self.drop:
            seen = seen & (torch.rand(x.shape, device=x.device) >= self.drop)
        value = torch.where(seen, x, 0.0)
        if any(width > 1 for width in self.widths) or bool(self.counts.any()):
            value = self._cells(value, seen)
        return torch.cat([value, seen.to(value)], -1) if self.mask else value

    def _cells(self, value: Tensor, seen: Tensor) -> Tensor:
        logged = torch.log1p(value.clamp(min=0))
        plain = torch.where(seen, torch.where(self.counts, (logged - self.shift) * self.rate, value), 0.0)
        parts: list[Tensor] = []
        for j, width in enumerate(self.widths):
            if width == 1:
                parts.append(plain[:, j : j + 1])
            else:
                levels = torch.arange(width, device=value.device)
                level = value[:, j : j + 1].clamp(max=width - 1)  # rare levels are the last
                parts.append(((level == levels) & seen[:, j : j + 1]).to(value))
        return torch.cat(parts, -1)
