"""A batch dealt out to the processes, and the sums, means and gathers that need all of it.

Process r of W takes rows r, r + W, r + 2W, …: batches of any length and mixed kinds come out even. Within `sharing`

- a term's (B,) values are those of the process's own rows, and `share_of_mean` is their part of the batch's mean;
- a scalar is one of the whole batch, the same on every process, computed by the functions here; each process takes
  1/W of it into its loss;
- random numbers are the process's own, from a seed of the run, the step and its rank; within `alike` they are the same
  on every process.

The losses so add up to one process's loss for the same noise, and, since the functions here pass gradients between
processes (a sum's backward is a sum over processes), the processes' gradients to its gradient. Outside `sharing`, or
with one process, every function is its plain counterpart on the rows it is given.

A process may compute its rows in parts, one after another, where memory does not hold all: part p of P of process r is
dealt the rows of process r + W p of W P. What needs other rows than the part's own cannot be had then, since they are
computed at another time: it is a `NeedsWholeBatch`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vaekit.distributed import group
from vaekit.errors import NeedsWholeBatch

WHOLE = (0, 1)
"""The part that is all of a process's rows: number 0 of 1."""


@dataclass(frozen=True)
class Batch:
    """The batch that the processes share: how many of its rows each has, and the seeds of what all draw alike.

    `part` is the part that this process computes now, and of how many; each of them counts as a process.
    """

    sizes: tuple[int, ...]
    seeds: random.Random
    copied: bool = False
    """Whether every process has all the rows, there being fewer of them than processes."""
    part: tuple[int, int] = WHOLE

    @property
    def total(self) -> int:
        """The number of rows of all processes."""
        return sum(self.sizes)

    @property
    def number(self) -> int:
        """The number of this process, of its part, in `sizes`."""
        return group.rank() + group.world() * self.part[0]

    @property
    def mine(self) -> slice:
        """This process's rows in what `gather` returns."""
        start = sum(self.sizes[: self.number])
        return slice(start, start + self.sizes[self.number])


_batch: Batch | None = None


def dealt_out() -> Batch | None:
    """Return the batch of which each process has a part; None outside `sharing` and with one process."""
    return None if _batch is None or _batch.copied else _batch


def whole() -> Batch | None:
    """Return what `dealt_out` does, for what needs the rows of all; NeedsWholeBatch where a part is computed alone."""
    now = dealt_out()
    if now is not None and now.part != WHOLE:
        raise NeedsWholeBatch("the model")
    return now


def part() -> int:
    """Return the number of the part of its rows that this process computes now; 0 where it computes all at once."""
    return 0 if _batch is None else _batch.part[0]


def deal(x: Any) -> Any:
    """Return this process's rows r, r + W, … of a whole batch; None stays None. `x.share(rows)`, if any, gives them."""
    now = dealt_out()
    if x is None or now is None:
        return x
    rows = slice(now.number, None, len(now.sizes))
    share = getattr(x, "share", None)
    return x[rows] if share is None else share(rows)


def sharing(total: int, *position: int, part: tuple[int, int] = WHOLE) -> AbstractContextManager[None]:
    """Within the block, what is computed is this process's share of a batch of `total` examples.

    `position`, such as the run's seed and the step, decides with the rank what this process draws in the block; the
    random state outside is left as it was. A batch with fewer examples than there are processes is not dealt out: all
    compute it with the same noise, and each share is 1/W of it. With `part` (number, of how many) what is computed is
    that part of the share; the process has at least as many rows as there are parts.
    """
    return nullcontext() if group.world() == 1 and part == WHOLE else _sharing(total, position, part)


@contextmanager
def _sharing(total: int, position: tuple[int, ...], part: tuple[int, int]) -> Iterator[None]:
    global _batch
    size = group.world() * part[1]
    seeds = random.Random(repr(position))
    noise = seeds.getrandbits(62)
    if total < size:
        new = Batch((total,) * size, seeds, copied=True)
    else:
        new = Batch(tuple(len(range(rank, total, size)) for rank in range(size)), seeds, part=part)
        noise += 1 + new.number
    before, _batch = _batch, new
    try:
        with _seeded(noise):
            yield
    finally:
        _batch = before


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if torch.cuda.is_available() else []):
        torch.manual_seed(seed)
        yield


def alike() -> AbstractContextManager[None]:
    """Within the block, all processes that share the batch draw the same random numbers."""
    return nullcontext() if _batch is None else _seeded(_batch.seeds.getrandbits(62))


def narrow(keep: Tensor) -> None:
    """From here to the end of `sharing`, let the batch be the rows that `keep` (B,) is true of, on all processes."""
    global _batch
    now = whole()
    if now is not None:
        _batch = replace(now, sizes=tuple(group.join_rows(keep.sum().reshape(1)).tolist()))


def counts() -> bool:
    """Return whether what this process finds of its rows is to be counted: of a batch that all compute, one's is."""
    return _batch is None or not _batch.copied or group.is_main()


def shared() -> bool:
    """Return whether what is computed is a share of a batch, of several processes or parts."""
    return _batch is not None


def total_rows(local: int) -> int:
    """Return the number of examples in the batch of all processes; `local` outside `sharing`."""
    now = dealt_out()
    return local if now is None else now.total


# -- with gradients ---------------------------------------------------------------------------------------------------


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return group.sum_in_place(x.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return group.sum_in_place(grads[0].clone(memory_format=torch.contiguous_format))


class _Stack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        out = x.new_empty(group.world() * x.numel())
        group.call(group.ALL_GATHER, out, x.reshape(-1).contiguous())
        return out.view(group.world(), *x.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return group.sum_in_place(grads[0].clone(memory_format=torch.contiguous_format))[group.rank()]


_all_sum: Callable[[Tensor], Tensor] = _AllSum.apply
_stack: Callable[[Tensor], Tensor] = _Stack.apply


def all_sum(x: Tensor) -> Tensor:
    """Return the sum of `x` over the processes that share the batch, with its gradient."""
    return x if whole() is None else _all_sum(x)


def gather(x: Tensor) -> Tensor:
    """Return the rows (B, ...) of the whole batch, the first process's first, from each one's own, with gradient."""
    now = whole()
    if now is None:
        return x
    parts = _stack(torch.cat([x, x.new_zeros(max(now.sizes) - len(x), *x.shape[1:])]))
    return torch.cat([part[:size] for part, size in zip(parts, now.sizes)])


def take(x: Tensor) -> Tensor:
    """Return this process's rows of what has the rows that `gather` returns."""
    now = whole()
    return x if now is None else x[now.mine]


def mean_rows(x: Tensor) -> Tensor:
    """Return the mean over the rows of the whole batch, (...) from (B, ...).

    >>> mean_rows(torch.tensor([1.0, 3.0]))
    tensor(2.)
    """
    now = whole()
    return x.mean(0) if now is None else _all_sum(x.sum(0)) / now.total


def mean(x: Tensor) -> Tensor:
    """Return the mean over all elements of all processes, however many each has, with its gradient."""
    if whole() is None:
        return x.mean()
    sums = _all_sum(torch.stack([x.sum(), x.new_full((), x.numel())]))
    return sums[0] / sums[1]


def logsumexp(x: Tensor) -> Tensor:
    """Return log Σ exp over the processes of a tensor that has one shape on all, with its gradient."""
    return x if whole() is None else torch.logsumexp(_stack(x), 0)


def share_of_mean(value: Tensor) -> Tensor:
    """Return this process's share of a term's mean over the batch: of (B,) values, or of a scalar of the whole batch.

    The shares add up to the mean.

    >>> share_of_mean(torch.tensor([1.0, 3.0])), share_of_mean(torch.tensor(5.0))
    (tensor(2.), tensor(5.))
    """
    now = dealt_out()
    if now is not None and value.dim():
        return value.sum() / (now.total * math.prod(value.shape[:-1]))
    whole()  # of a part a scalar may be anything: a mean of its rows is not its share of the batch's mean
    value = value.mean() if value.dim() else value
    return value if _batch is None else value / group.world()


def some(rows: Tensor, n: int, each: int = 1) -> Tensor:
    """Return `n` of the whole batch's rows (N, D), drawn with replacement, the same for all; `each` rows an example."""
    now = whole()
    with alike():
        index = torch.randint(len(rows) if now is None else now.total * each, (n,), device=rows.device)
    if now is None:
        return rows[index]
    index = index - now.mine.start * each
    mine = (index >= 0) & (index < len(rows))
    out = rows.new_zeros(n, *rows.shape[1:])
    out[mine] = rows[index[mine]]
    return _all_sum(out)


def any_of(flag: bool | Tensor) -> bool:
    """Return whether the flag holds on any process that shares the batch."""
    if whole() is None:
        return bool(flag)
    return bool(group.sum_in_place(torch.tensor([float(bool(flag))])))
