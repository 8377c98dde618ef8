"""Series as they are read, and as rows of one width: gaps are NaN, and what follows a series' end is +inf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.limits import check_size
from vaekit.data.origin import Origin
from vaekit.errors import UserError

Values = NDArray[np.float64]
Layout = Literal["T", "TC", "CT"]
LARGEST = float(np.finfo(np.float32).max)
END = float("inf")
"""What stands in every channel after a series' last step."""


@dataclass(frozen=True)
class Collection:
    """Series as read: each (C, T) with a T of its own, NaN where a value is missing.

    `names` are those the source has for them (ids, files), else []; `labels` their classes, else []. `channels` are the
    channels' names. `layout` says how the source lays out one series: T, (T, C) or (C, T). `rate` is in steps a second,
    where it is known; `test` is the source's own test split. `padded`: they were rows of one width, in which missing
    steps at the end may be padding.
    """

    name: str
    source: str
    series: Sequence[Values]
    labels: Sequence[str] = ()
    names: Sequence[str] = ()
    channels: tuple[str, ...] = ()
    layout: Layout = "T"
    rate: float | None = None
    test: Collection | None = None
    padded: bool = False

    def __len__(self) -> int:
        return len(self.series)

    def place(self, i: int) -> str:
        """Name a series as a person would find it."""
        return f"{self.source}: series {self.names[i] if self.names else i}"

    @property
    def width(self) -> int:
        """The number of channels."""
        return self.series[0].shape[0]

    def checked(self) -> Collection:
        """Return the series if they can be data.

        Raises:
            UserError: there is none, one is empty, has an infinite value or other channels than the first.
        """
        if not len(self.series):
            raise UserError(f"{self.source} holds no series; give at least one")
        for i, one in enumerate(self.series):
            if one.shape[0] != self.width:
                raise UserError(
                    f"{self.place(i)} has {one.shape[0]} channels, the first {self.width}; give all the same"
                )
            if not one.size:
                raise UserError(f"{self.place(i)} has no steps; leave it out")
            large = np.abs(one) > LARGEST  # not so where missing
            if large.any():
                channel, step = np.argwhere(large)[0]
                value = one[channel, step]
                what = "infinite" if np.isinf(value) else f"{value:g}, too large for 32 bits"
                raise UserError(
                    f"{self.place(i)}, channel {channel}, step {step} is {what}; leave it missing or replace it"
                )
        return self

    def cut(self, length: int) -> Collection:
        """Return the series' first `length` steps."""
        return replace(self, series=[one[:, :length] for one in self.series])

    def unpadded(self) -> Collection:
        """Return the series without the steps at their ends that no channel has a value for, if they were padded."""
        return replace(self, series=[ended(one) for one in self.series], padded=False) if self.padded else self

    @property
    def origin(self) -> Origin | None:
        """Where each series comes from, by its name, where the source has names."""
        return Origin({"series": np.array(list(self.names), dtype=str)}) if self.names else None

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Each series' number of steps."""
        return np.array([one.shape[1] for one in self.series], np.int64)


def rows(series: Sequence[Values], steps: int) -> Tensor:
    """Return series (C, T) as rows (N, C, steps) float32.

    >>> rows([np.array([[1.0, np.nan]]), np.array([[3.0]])], 2)
    tensor([[[1., nan]],
    <BLANKLINE>
            [[3., inf]]])
    """
    width = series[0].shape[0] if len(series) else 1
    held = sum(one.nbytes for one in series)
    check_size(4 * len(series) * width * steps, "series of lengths that differ so much", packed=held)
    out = np.full((len(series), width, steps), END, np.float32)
    with np.errstate(invalid="ignore"):  # a NaN that signals
        for row, one in zip(out, series):
            row[:, : one.shape[1]] = one
    return torch.from_numpy(out)


def lengths_of(x: Tensor) -> Tensor:
    """Return the number of steps of each row (..., C, T) before its end.

    >>> lengths_of(torch.tensor([[[1.0, torch.nan, torch.inf]]])).tolist()
    [2]
    """
    return (~torch.isinf(x).all(-2)).sum(-1)


def stopped(x: Tensor, lengths: Tensor) -> Tensor:
    """Return rows (..., C, T) with +inf after `lengths` (...,) steps.

    >>> stopped(torch.zeros(2, 1, 3), torch.tensor([1, 3])).tolist()
    [[[0.0, inf, inf]], [[0.0, 0.0, 0.0]]]
    """
    inside = torch.arange(x.shape[-1], device=x.device) < lengths.to(x.device)[..., None, None]
    return torch.where(inside, x, END)


def unpadded(x: Tensor) -> list[Values]:
    """Return rows (N, C, T) as series (C, T) of their own lengths."""
    return [one[:, :n].double().numpy() for one, n in zip(x, lengths_of(x).tolist())]


def ended(values: Values) -> Values:
    """Return a series (C, T) without the steps at its end that no channel has a value for (one step stays).

    >>> ended(np.array([[1.0, np.nan, 2.0, np.nan, np.nan]]))
    array([[ 1., nan,  2.]])
    """
    seen = np.flatnonzero(~np.isnan(values).all(0))
    return values[:, : int(seen[-1]) + 1 if len(seen) else 1]
