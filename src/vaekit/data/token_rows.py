"""Rows of token numbers, padded to one width."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from vaekit.tokens import END, PAD


def token_rows(examples: Iterable[Iterable[int]], width: int) -> Tensor:
    """Return (N, width) int64: each example's tokens, END if there is room, then PAD.

    >>> token_rows([[4, 5], [6], [4, 5, 6]], 3).tolist()
    [[4, 5, 2], [6, 2, 0], [4, 5, 6]]
    """
    rows = [list(numbers) for numbers in examples]
    out = np.full((len(rows), width), PAD, np.int64)
    for row, numbers in zip(out, rows):
        row[: len(numbers)] = numbers
        row[len(numbers) : len(numbers) + 1] = END
    return torch.from_numpy(out)
