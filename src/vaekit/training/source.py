"""Where training takes its batches from: anything that can count them and hand them out in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor

Batch = tuple[Any, Tensor | None]


class Source(Protocol):
    """Training and held-out batches. A batch's x is whatever the model takes: a tensor, masked sequences, a graph;
    `len` of it is its number of examples.

    The order and the noise of an epoch depend on (seed, epoch) alone, so that training can resume in the middle.
    """

    def steps(self, batch_size: int) -> int:
        """Return the number of steps in an epoch."""
        ...

    def train(self, batch_size: int, *, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the epoch's batches from number `skip` on."""
        ...

    def valid(self, batch_size: int) -> Iterator[Batch]:
        """Yield held-out batches, always the same."""
        ...

    def to(self, device: Any) -> Source:
        """Return the source with its tensors on a device."""
        ...
