"""Where each modality of an example stands in its row: what data, networks, families and figures agree on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vaekit.tokens import END, PAD

CELLS, TEXT = "cells", "text"
"""Kinds of view: the cells of a table, in which any may be missing, and token numbers; the others are plain numbers."""


@dataclass(frozen=True)
class View:
    """A modality's place in a row: the numbers from `start` on, in the shape of its own.

    A number is missing where it is NaN, and the view where all of them are.

    >>> views = views_of([{"name": "a", "kind": "numbers", "shape": [2]}, {"name": "b", "kind": "picture",
    ...     "shape": [1, 2, 2]}])
    >>> row = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, torch.nan], [torch.nan, torch.nan, 0.0, 0.0, 0.0, 0.0]])
    >>> views[1].of(row).shape, views[0].seen(row).tolist(), views[1].seen(row).tolist()
    (torch.Size([2, 1, 2, 2]), [True, False], [True, True])
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    start: int

    @property
    def stop(self) -> int:
        """Where the next view starts."""
        return self.start + math.prod(self.shape)

    def of(self, x: Tensor) -> Tensor:
        """Return the view of rows (..., W), in its shape."""
        return x[..., self.start : self.stop].unflatten(-1, self.shape)

    def seen(self, x: Tensor) -> Tensor:
        """Return which rows have the view, (...) bool."""
        return ~torch.isnan(x[..., self.start : self.stop]).all(-1)

    def whole(self, x: Tensor) -> Tensor:
        """Return the view with what is missing filled: an empty text, else zeros; cells keep their gaps."""
        own = self.of(x)
        if self.kind == CELLS:
            return own
        if self.kind == TEXT:
            blank = torch.full(self.shape, float(PAD), dtype=own.dtype, device=own.device)
            blank[..., 0] = END
            return torch.where(self.seen(x).unsqueeze(-1), own, blank)
        return torch.where(torch.isnan(own), 0.0, own)


def views_of(facts: Sequence[Mapping[str, Any]]) -> tuple[View, ...]:
    """Return the views of a row as its data's facts list them, each after the one before."""
    out: list[View] = []
    for one in facts:
        out.append(View(one["name"], one["kind"], tuple(one["shape"]), out[-1].stop if out else 0))
    return tuple(out)
