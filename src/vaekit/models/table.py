"""Models of tables that learn from rows with fewer cells than they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vaekit.models.conditioned import ConditionedVAE
from vaekit.models.vae import VAE
from vaekit.trace import Trace


class Hiding(nn.Module):
    """Rows (B, C) with cells made missing (NaN) at random while training: a share `rows` of them, each at its own rate.

    The bound is then that of the cells that stay: log p(x_some) of the same model, which q(z|x_some) learns to be near.
    Cells of the columns `kept` stay.

    >>> torch.isnan(Hiding(1.0)(torch.zeros(4000, 10))).float().mean().round(decimals=1)
    tensor(0.5000)
    """

    def __init__(self, rows: float, kept: Sequence[int] = ()) -> None:
        super().__init__()
        self.rows, self.kept = rows, list(kept)

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows, as they are outside training."""
        if not (self.training and self.rows):
            return x
        chosen, rate = torch.rand(2, len(x), 1, device=x.device)
        hidden = torch.rand(x.shape, device=x.device) < torch.where(chosen < self.rows, rate, 0.0)
        hidden[:, self.kept] = False
        return torch.where(hidden, torch.nan, x)


class TableVAE(VAE):
    """A VAE of rows (B, C) with NaN where cells are missing, trained on some of them with fewer; see `Hiding`."""

    hiding: Hiding | None = None

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass, in training with some cells hidden."""
        return super().trace(x if self.hiding is None else self.hiding(x), y, k, hard)


class ConditionedTableVAE(ConditionedVAE):
    """The same given a condition."""

    hiding: Hiding | None = None

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass, in training with some cells and conditions hidden."""
        return super().trace(x if self.hiding is None else self.hiding(x), y, k, hard)
