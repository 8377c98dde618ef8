"""A data set as training takes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from vaekit.data.batches import eval_batches, train_batches
from vaekit.data.dataset import DataSet, Split
from vaekit.training.source import Batch

VALID_SEED = 776


@dataclass(frozen=True)
class DataSource:
    """Batches of a data set: shuffled and prepared on the fly for training, prepared once for held-out scores."""

    data: DataSet
    device: torch.device | None = None

    def steps(self, batch_size: int) -> int:
        """Return the number of steps in an epoch; the last batch may be short."""
        return -(-len(self.data.train) // batch_size)

    def train(self, batch_size: int, *, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the epoch's batches from number `skip` on."""
        return train_batches(
            self.data.train, self.data.prepare, batch_size, seed=seed, epoch=epoch, skip=skip, device=self.device
        )

    @cached_property
    def _valid(self) -> Split:
        return self.data.prepare.fixed(self.data.valid, VALID_SEED)

    def valid(self, batch_size: int) -> Iterator[Batch]:
        """Yield the held-out batches, with noise that never changes."""
        return eval_batches(self._valid, batch_size, device=self.device)

    def to(self, device: Any) -> DataSource:
        """Return the source with batches on `device`; on CUDA the stored data too, where they fit into half of what is
        free there, so that no step waits for a copy.
        """
        place = torch.device(device)
        data = self.data
        if place.type == "cuda" and fits(data.train, torch.cuda.mem_get_info(place)[0]):
            data = replace(data, train=moved(data.train, place))
        return replace(self, data=data, device=place)


def fits(split: Split, free: int) -> bool:
    """Whether a split's stored tensors take at most half of `free` bytes; no if they are no tensors."""
    parts = [part for part in (split.x, split.y) if part is not None]
    return all(isinstance(part, Tensor) for part in parts) and 2 * sum(part.nbytes for part in parts) <= free


def moved(split: Split, device: torch.device) -> Split:
    """Return a split with its tensors on `device`."""
    return Split(*(None if part is None else part.to(device) for part in (split.x, split.y, split.factors)))  # type: ignore[arg-type]
