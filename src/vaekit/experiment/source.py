"""A data set as training takes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

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
        """Return the source with batches on `device`."""
        return replace(self, device=torch.device(device))
