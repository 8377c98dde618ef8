"""Rows of token numbers: the special ones, and what is read off a row (its length, its mask), the same everywhere.

A row is tokens, END, then PAD to the row's width; there is no START in it, decoders put that before. How long a row is
stands in the row itself and is carried nowhere else, so padding a batch more says nothing new.
"""

from __future__ import annotations

import torch
from torch import Tensor

PAD, START, END, UNKNOWN = 0, 1, 2, 3
"""The first token numbers of every vocabulary."""
SPECIAL = 4
"""The number of a vocabulary's first word."""


def lengths(ids: Tensor) -> Tensor:
    """Return the places each row (..., T) uses, END included: (...) int64, at least 1.

    A row without END (one that was cut) uses the places before its first PAD.

    >>> lengths(torch.tensor([[4, 2, 0, 0], [4, 5, 6, 0], [4, 5, 6, 7], [2, 0, 0, 0]]))
    tensor([2, 3, 4, 1])
    """
    width = ids.shape[-1]
    place = torch.arange(1, width + 1, device=ids.device)
    ended = torch.where(ids == END, place, width + 1).amin(-1)
    padded = torch.where(ids == PAD, place - 1, width).amin(-1)
    return torch.minimum(ended, padded).clamp(min=1)


def used(ids: Tensor) -> Tensor:
    """Return which places of each row count, (..., T) bool: those up to and including END.

    >>> used(torch.tensor([[4, 2, 0], [2, 0, 0]])).tolist()
    [[True, True, False], [True, False, False]]
    """
    return torch.arange(ids.shape[-1], device=ids.device) < lengths(ids).unsqueeze(-1)


def trim(ids: Tensor) -> Tensor:
    """Return the rows (..., T) cut to the longest of them: columns that are PAD in every row go.

    >>> trim(torch.tensor([[4, 2, 0, 0], [5, 6, 2, 0]]))
    tensor([[4, 2, 0],
            [5, 6, 2]])
    """
    if torch.compiler.is_exporting():
        return ids  # a program's rows have one width; padding says nothing new
    if not ids.numel():
        return ids[..., :1]
    filled = (ids != PAD).flatten(0, -2).any(0).nonzero()
    return ids[..., : int(filled[-1]) + 1 if len(filled) else 1]
