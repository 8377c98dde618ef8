"""Data sets: three disjoint splits, what they are, and how a stored batch becomes the model's input."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vaekit.data.disk_rows import DiskRows
from vaekit.data.info import DataInfo
from vaekit.data.prepare import Prepare, as_input
from vaekit.data.shuffling import some_rows


@dataclass(frozen=True)
class Split:
    """Examples `x` (N, *shape), uint8 where quantised or binary, else float32; labels `y` or None.

    `y` (N,) int64 are class numbers, -1 where missing; (N, W) float32 conditions (`vaekit.data.conditions`).
    Tokens are int64; graphs are objects of their own with a length, slices, `index_select(0, index)` and `to(device)`.
    `factors` (N, F) int64, or None, number the values of what made each example (`DataInfo.factor_names`).
    """

    x: Tensor
    y: Tensor | None = None
    factors: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> Split:
        """Return the examples at `index` (M,)."""
        return Split(*(None if part is None else part.index_select(0, index) for part in self._parts))  # type: ignore[arg-type]

    def some(self, n: int) -> Split:
        """Return n of the examples (all, if there are fewer): always the same, and not the first of sorted classes."""
        return self if n >= len(self) else self.take(some_rows(len(self), n))

    def first(self, n: int) -> Split:
        """Return the first n examples (all, if there are fewer)."""
        return Split(*(None if part is None else part[:n] for part in self._parts))  # type: ignore[arg-type]

    @property
    def labels(self) -> Tensor | None:
        """The class of every example (N,), or None where there are no classes, or some are missing."""
        y = self.y
        return None if y is None or y.dim() != 1 or y.dtype.is_floating_point or bool((y < 0).any()) else y

    @property
    def in_memory(self) -> Split:
        """The split itself; of one that stays on disk, its first examples, as many as its sample has."""
        return self.first(len(self.x.sample)) if isinstance(self.x, DiskRows) else self

    @property
    def inputs(self) -> Tensor:
        """The examples of a prepared split as the model takes them."""
        return as_input(self.x)

    @property
    def _parts(self) -> tuple[Tensor | None, ...]:
        return self.x, self.y, self.factors


@dataclass(frozen=True)
class DataSet:
    """Training, validation and test splits as stored, `info`, and `prepare`: stored → what the model sees."""

    info: DataInfo
    train: Split
    valid: Split
    test: Split
    prepare: Prepare

    def train_mean(self) -> Tensor:
        """Return the mean (shape) of the prepared training data, over their noise too; float32.

        Of data that stay on disk it is that of a sample.
        """
        x = self.train.x.sample if isinstance(self.train.x, DiskRows) else self.train.x
        return self.prepare.average(x).float()
