"""Batches: an order that depends only on (n, seed, epoch), and noise that depends only on (seed, epoch, step)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vaekit.data.dataset import Split
from vaekit.data.prepare import Prepare, as_input
from vaekit.tokens import trim

_MASK = 2**64 - 1


def mix(*values: int) -> int:
    """Return a 63-bit hash of integers (splitmix64's finaliser, chained), so that near inputs give unrelated seeds.

    >>> mix(0, 1) != mix(1, 0)
    True
    """
    state = 0
    for value in values:
        state = (state + value + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


def epoch_order(n: int, seed: int, epoch: int) -> Tensor:
    """Return a permutation of 0 … n − 1 that depends on its arguments alone, so that resuming needs no state.

    >>> bool((epoch_order(5, 0, 1) == epoch_order(5, 0, 1)).all())
    True
    """
    return torch.randperm(n, generator=torch.Generator().manual_seed(mix(seed, epoch, 1)))


def train_batches(
    split: Split,
    prepare: Prepare,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    skip: int = 0,
    device: torch.device | str | None = None,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield (x (B, *shape) float32, y (B,) or None) of one epoch, from step `skip` on.

    Step k is the same whether or not an epoch is taken up at k. The last batch is kept however short it is: every
    example is seen once an epoch. With a `device`, stored values are moved there and prepared there (its own generator
    draws, so noise differs between kinds of device, not between runs).
    """
    order = epoch_order(len(split), seed, epoch)
    place = split.x.device if device is None else torch.device(device)
    order = order.to(split.x.device)
    generator = torch.Generator(place) if prepare.random else None
    for step in range(skip, -(-len(split) // batch_size)):
        batch = split.take(order[step * batch_size : (step + 1) * batch_size])
        x, y = batch.x, batch.y
        if x.device != place:
            x, y = x.to(place, non_blocking=True), None if y is None else y.to(place, non_blocking=True)
        if generator is not None:
            generator.manual_seed(mix(seed, epoch, 2, step))
        yield prepare(x, generator), y


def eval_batches(
    split: Split, batch_size: int, device: torch.device | str | None = None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield (x float32, y) in order, of a split already prepared by `Prepare.fixed`."""
    for start in range(0, len(split), batch_size):
        x, y = split.x[start : start + batch_size], None if split.y is None else split.y[start : start + batch_size]
        if device is not None:
            x, y = x.to(device), None if y is None else y.to(device)
        yield _padding_cut(x), y


def _padding_cut(x: Any) -> Any:
    """Return the model's input; rows of tokens lose the padding that all of them have."""
    return trim(x) if isinstance(x, Tensor) and x.dtype == torch.int64 else as_input(x)
