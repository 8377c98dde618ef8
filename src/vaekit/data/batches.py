"""Batches: an order that depends only on (n, seed, epoch), and noise that depends only on (seed, epoch, step)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from vaekit.data.dataset import Split
from vaekit.data.disk_rows import DiskRows
from vaekit.data.prepare import Prepare, as_input
from vaekit.data.shuffling import epoch_order, mix
from vaekit.tokens import trim

AHEAD = 3
"""Batches read before they are asked for."""
VALUES = 2**23
"""Numbers in the examples that are computed at once where no gradients are kept."""

T = TypeVar("T")
R = TypeVar("R")


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
    draws, so noise differs between kinds of device, not between runs). Of a split on disk the next batches are read
    meanwhile.
    """
    place = split.x.device if device is None else torch.device(device)
    generator = torch.Generator(place) if prepare.random else None
    for step, batch in enumerate(_taken(split, batch_size, seed, epoch, skip), start=skip):
        x, y = batch.x, batch.y
        if x.device != place:
            x, y = x.to(place, non_blocking=True), None if y is None else y.to(place, non_blocking=True)
        if generator is not None:
            generator.manual_seed(mix(seed, epoch, 2, step))
        yield prepare(x, generator), y


def _taken(split: Split, batch_size: int, seed: int, epoch: int, skip: int) -> Iterator[Split]:
    """Yield the epoch's batches as stored."""
    steps = range(skip, -(-len(split) // batch_size))
    if isinstance(split.x, DiskRows):
        order = split.x.order(seed, epoch)
        yield from ahead(split.take, (order[step * batch_size : (step + 1) * batch_size] for step in steps))
        return
    order = epoch_order(len(split), seed, epoch).to(split.x.device)
    for step in steps:
        yield split.take(order[step * batch_size : (step + 1) * batch_size])


def ahead(make: Callable[[T], R], items: Iterable[T], depth: int = AHEAD) -> Generator[R, None, None]:
    """Yield make(item) for each item, in order, computed `depth` items ahead in a thread of its own.

    >>> list(ahead(lambda i: i * i, range(5)))
    [0, 1, 4, 9, 16]
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="vaekit-read") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def at_once(x: Any, most: int = 500) -> int:
    """Return how many examples are computed at once where no gradients are kept: `most`, or fewer large ones.

    >>> at_once(torch.zeros(1000, 1, 28, 28)), at_once(torch.zeros(1, 3, 256, 256))
    (500, 42)
    """
    return max(1, min(most, VALUES // max(1, math.prod(x.shape[1:])))) if isinstance(x, Tensor) else most


def eval_batches(
    split: Split, batch_size: int, device: torch.device | str | None = None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield (x float32, y) in order, of a split already prepared by `Prepare.fixed`; tokens lose common padding.

    Batches of large examples are smaller than asked for: see `at_once`.
    """
    batch_size = at_once(split.x, batch_size)
    for start in range(0, len(split), batch_size):
        x, y = split.x[start : start + batch_size], None if split.y is None else split.y[start : start + batch_size]
        if device is not None:
            x, y = x.to(device), None if y is None else y.to(device)
        yield trim(x) if isinstance(x, Tensor) and x.dtype == torch.int64 else as_input(x), y
