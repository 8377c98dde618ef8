"""Grids of grey levels: values i / (levels - 1), i = 0 … levels - 1."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit.distributions.base import sum_event

TOLERANCE = 1e-4


def level_index(x: Tensor, levels: int) -> Tensor:
    """Return the number of each value's nearest level, as int64.

    >>> level_index(torch.tensor([0.0, 0.4999, 1.0]), 256)
    tensor([  0, 127, 255])
    """
    return (x * (levels - 1)).round().long()


def on_grid(x: Tensor, levels: int, dims: int) -> Tensor:
    """Return, for each example, whether every element is i / (levels - 1), within 1e-4 of a step.

    >>> on_grid(torch.tensor([[0.0, 0.5], [0.0, 0.4]]), 3, 1)
    tensor([ True, False])
    """
    steps = x * (levels - 1)
    nearest = steps.round().clamp(0, levels - 1)
    # Beyond some hundred levels the rounding of x itself is more than that.
    tolerance = max(TOLERANCE, 2 * torch.finfo(x.dtype).eps * (levels - 1))
    return sum_event((~((steps - nearest).abs() <= tolerance)).to(torch.float32), dims) == 0
