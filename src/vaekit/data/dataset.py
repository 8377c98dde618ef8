"""Data sets: three disjoint splits, what they are, and how a stored batch becomes the model's input."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from vaekit.data.contents import Contents
from vaekit.data.digest import Keys
from vaekit.data.disk_rows import DiskRows
from vaekit.data.info import DataInfo
from vaekit.data.origin import Origin
from vaekit.data.prepare import Prepare, as_input
from vaekit.data.shuffling import some_rows


@dataclass(frozen=True)
class Split:
    """Examples `x` (N, *shape) as stored, uint8 where quantised or binary, else float32; labels `y` or None.

    `y` (N,) int64 are class numbers, -1 where missing; (N, W) float32 conditions (`vaekit.data.conditions`).
    Tokens are int64; graphs are objects of their own with a length, slices, `index_select(0, index)` and `to(device)`.
    `factors` (N, F) int64, or None, number the values of what made each example (`DataInfo.factor_names`); as float64
    they are continuous. `origin` says where each example comes from, and `keys` (N,) are hashes of what each held as it
    was read (`data.digest`), where they are known.
    """

    x: Tensor
    y: Tensor | None = None
    factors: Tensor | None = None
    origin: Origin | None = None
    keys: Keys | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> Self:
        """Return the examples at `index` (M,)."""
        x, y, factors = (None if part is None else part.index_select(0, index) for part in self._parts)
        rows = index.cpu().numpy()
        origin = None if self.origin is None else self.origin.take(rows)
        keys = None if self.keys is None else self.keys[rows]
        return replace(self, x=x, y=y, factors=factors, origin=origin, keys=keys)

    def some(self, n: int) -> Self:
        """Return n of the examples (all, if there are fewer): always the same, and not the first of sorted classes."""
        return self if n >= len(self) else self.take(some_rows(len(self), n))

    def first(self, n: int) -> Self:
        """Return the first n examples (all, if there are fewer)."""
        if n >= len(self):
            n = len(self)
        x, y, factors = (None if part is None else part[:n] for part in self._parts)
        origin = self.origin if self.origin is None or n == len(self) else self.origin.take(slice(n))
        keys = None if self.keys is None else self.keys[:n]
        return replace(self, x=x, y=y, factors=factors, origin=origin, keys=keys)

    @property
    def labels(self) -> Tensor | None:
        """The class of every example (N,), or None where there are no classes, or some are missing."""
        y = self.y
        return None if y is None or y.dim() != 1 or y.dtype.is_floating_point or bool((y < 0).any()) else y

    @property
    def in_memory(self) -> Self:
        """The split itself; of one that stays on disk, its first examples, as many as its sample has."""
        return self.first(len(self.x.sample)) if isinstance(self.x, DiskRows) else self

    @property
    def inputs(self) -> Tensor:
        """The examples of a prepared split as the model takes them."""
        return as_input(self.x)

    @property
    def places(self) -> Origin | None:
        """Where each example comes from; None where that is unknown, or the origin names parts of an example."""
        return None if self.origin is None or self.origin.inside else self.origin

    def prepared(self, x: Tensor) -> Prepared:
        """Return these examples with `x` (N, *shape) as the model sees them."""
        return Prepared(x, self.y, self.factors, self.origin, self.keys)

    @property
    def _parts(self) -> tuple[Tensor | None, ...]:
        return self.x, self.y, self.factors


class Prepared(Split):
    """Examples as the model sees them, which nothing prepares again; a run's `test` and `prepared(…)` are.

    An array or a tensor is never taken for prepared. What was made in the model's own space is told so by this type.

    >>> import torch, vaekit
    >>> run = vaekit.train("vae", "digits", steps=2)
    >>> run.encode(Prepared(torch.rand(3, 1, 8, 8))).shape
    torch.Size([3, 20])
    """

    def and_then(self, other: Prepared, x: Tensor) -> Prepared:
        """Return these examples followed by others, `x` being both."""
        y = None if self.y is None or other.y is None else torch.cat([self.y, other.y])
        origin = None if self.origin is None or other.origin is None else self.origin.and_then(other.origin)
        return Prepared(x, y, None, origin)


@dataclass(frozen=True)
class DataSet:
    """Training, validation and test splits as stored, `info`, and `prepare`: stored → what the model sees.

    `contents` says what the source held, by which it is known again.
    """

    info: DataInfo
    train: Split
    valid: Split
    test: Split
    prepare: Prepare
    contents: Contents | None = None

    def train_mean(self) -> Tensor:
        """Return the mean (shape) of the prepared training data, over their noise too; float32.

        Of data that stay on disk it is that of a sample.
        """
        x = self.train.x.sample if isinstance(self.train.x, DiskRows) else self.train.x
        return self.prepare.average(x).float()
