"""The encoder of table rows: each cell as the network should see it, missing ones as nothing at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vaekit.nets.mlp import MLP


class TableMLP(MLP):
    """A perceptron over rows (N, C) with NaN for missing cells.

    Real cells go in standardised, as they are stored; counts as log(1 + x), standardised; choices one-hot; and, with
    `mask`, a 1 for every observed cell. A missing cell is zeros throughout, so what it would have held cannot matter,
    and a column that is always missing changes nothing. While training, a share `drop` of the observed cells is hidden
    at random: q(z|fewer cells) still bounds log p(x_observed), and the encoder learns to do without.

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
    ) -> None:
        self.widths = [len(c["levels"]) if "levels" in c else 1 for c in columns]
        width = sum(self.widths) + (len(columns) if mask else 0)
        super().__init__((width,), (latent,), hidden, context=context, act=act)
        self.in_shape = (len(columns),)
        self.mask = mask
        self.drop = drop
        counts = [c["type"] == "count" for c in columns]
        self.register_buffer("counts", torch.tensor(counts), persistent=False)
        shift = [float(c.get("log_mean", 0.0)) if count else 0.0 for c, count in zip(columns, counts)]
        rate = [1 / max(float(c.get("log_sd", 1.0)), 1e-3) if count else 1.0 for c, count in zip(columns, counts)]
        self.register_buffer("shift", torch.tensor(shift), persistent=False)
        self.register_buffer("rate", torch.tensor(rate), persistent=False)

    def features(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the last hidden layer."""
        return super().features(self.seen_as(x), context)

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
                parts.append(((value[:, j : j + 1] == levels) & seen[:, j : j + 1]).to(value))
        return torch.cat(parts, -1)
