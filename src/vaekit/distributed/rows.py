"""A batch dealt out to the processes, and the sums, means and gathers that need all of it.

Process r of W takes rows r, r + W, r + 2W, …: batches of any length and mixed kinds come out even. Within `sharing`

- a term's (B,) values are those of the process's own rows, and `share_of_mean` is their part of the batch's mean;
- a scalar is one of the whole batch, the same on every process, put together by the functions here; each process
  takes 1/W of it into its loss.

The losses so add up to one process's loss, and, since the functions here pass gradients between processes (a sum's
backward is a sum over processes), the processes' gradients to its gradient. Outside `sharing`, or with one process,
every function is its plain counterpart on the rows at hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vaekit.distributed import group


@dataclass(frozen=True)
class Layout:
    """How the rows at hand lie in the batch of all processes: their number, all rows' number, and their places.

    `k` is the number of samples an example, which lead in what is drawn. `of_all` has every process's places where
    they are not every W-th.
    """

    local: int
    total: int
    places: slice | Tensor
    k: int = 1
    of_all: tuple[Tensor, ...] | None = None


_layout: Layout | None = None
_paused = False
_copies = 1


def layout() -> Layout | None:
    """Return the layout in force, None outside `sharing`."""
    return None if _paused else _layout


def my_rows() -> slice:
    """Return this process's rows of a batch.

    >>> list(range(5))[my_rows()]  # of one process: all of them
    [0, 1, 2, 3, 4]
    """
    return slice(group.rank(), None, group.world())


def take(x: Any) -> Any:
    """Return this process's rows of what the whole batch has; None stays None. `x.share(rows)`, if any, gives them."""
    now = layout()
    if x is None or now is None:
        return x
    share = getattr(x, "share", None)
    return x[now.places] if share is None else share(now.places)


def sharing(total: int, k: int = 1) -> AbstractContextManager[None]:
    """Within the block, what is computed is this process's share of a batch of `total` examples, `k` samples each.

    A batch with fewer examples than there are processes is not dealt out: all compute it, and each share is 1/W of it.
    """
    if group.world() == 1:
        return nullcontext()
    return _sharing(total, k) if total >= group.world() else _copying()


@contextmanager
def _sharing(total: int, k: int) -> Iterator[None]:
    from vaekit.distributed.draws import SharedDraws

    global _layout
    before = _layout
    _layout = Layout(len(range(total)[my_rows()]), total, my_rows(), k)
    try:
        with SharedDraws():
            yield
    finally:
        _layout = before


@contextmanager
def _copying() -> Iterator[None]:
    global _copies
    _copies = group.world()
    try:
        yield
    finally:
        _copies = 1


def counts() -> bool:
    """Return whether what this process finds of its rows is to be counted: of a batch that all compute, one's is."""
    return _copies == 1 or group.is_main()


@contextmanager
def whole() -> Iterator[None]:
    """Within the block, every process computes on the whole batch and draws the same numbers."""
    global _paused
    before, _paused = _paused, True
    try:
        yield
    finally:
        _paused = before


@contextmanager
def _laid_out(new: Layout) -> Iterator[None]:
    global _layout
    before, _layout = _layout, new
    try:
        yield
    finally:
        _layout = before


def pairs_of(local: int, examples: Callable[[], Tensor]) -> AbstractContextManager[None]:
    """Within the block, what is drawn is drawn for `local` rows that are pairs of an example and something else.

    `examples` gives the example (P,) of every pair of the whole batch, in the order one process would have them.
    """
    now = layout()
    if now is None:
        return nullcontext()
    every = examples()
    mine = (every % group.world() == group.rank()).nonzero().squeeze(1)
    return _laid_out(Layout(local, len(every), mine, now.k))


def narrow(keep: Tensor) -> None:
    """From here to the end of `sharing`, let the batch be the rows that `keep` (B,) is true of, on all processes."""
    global _layout
    now = layout()
    if now is None:
        return
    every = gather(keep)
    number, size = every.cumsum(0) - 1, group.world()
    places = tuple(number[rank::size][every[rank::size]] for rank in range(size))
    mine = places[group.rank()]
    _layout = Layout(len(mine), int(every.sum()), mine, now.k, places)


def total_rows(local: int) -> int:
    """Return the number of examples in the batch of all processes; `local` outside `sharing`."""
    now = layout()
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


def _all_sum(x: Tensor) -> Tensor:
    out = _AllSum.apply(x)
    assert isinstance(out, Tensor)
    return out


def _stack(x: Tensor) -> Tensor:
    out = _Stack.apply(x)
    assert isinstance(out, Tensor)
    return out


def all_sum(x: Tensor) -> Tensor:
    """Return the sum of `x` over the processes that share the batch, with its gradient."""
    return x if layout() is None else _all_sum(x)


def gather(x: Tensor) -> Tensor:
    """Return the rows (B, ...) of the whole batch in its order, from each process's own, with their gradient."""
    now = layout()
    if now is None:
        return x
    most = -(-now.total // group.world()) if now.of_all is None else max(len(own) for own in now.of_all)
    if len(x) < most:
        x = torch.cat([x, x.new_zeros(most - len(x), *x.shape[1:])])
    flags = x.dtype == torch.bool
    parts = _stack(x.to(torch.uint8) if flags else x)
    if now.of_all is None:
        out = parts.transpose(0, 1).flatten(0, 1)[: now.total]
    else:
        order = torch.cat(now.of_all).argsort()
        out = torch.cat([part[: len(own)] for part, own in zip(parts, now.of_all)])[order]
    return out.bool() if flags else out


def mean_rows(x: Tensor) -> Tensor:
    """Return the mean over the rows of the whole batch, (...) from (B, ...).

    >>> mean_rows(torch.tensor([1.0, 3.0]))
    tensor(2.)
    """
    now = layout()
    return x.mean(0) if now is None else _all_sum(x.sum(0)) / now.total


def mean(x: Tensor) -> Tensor:
    """Return the mean over all elements of all processes, however many each has, with its gradient."""
    if layout() is None:
        return x.mean()
    sums = _all_sum(torch.stack([x.sum(), x.new_full((), x.numel())]))
    return sums[0] / sums[1]


def logsumexp(x: Tensor) -> Tensor:
    """Return log Σ exp over the processes of a tensor that has one shape on all, with its gradient."""
    return x if layout() is None else torch.logsumexp(_stack(x), 0)


def share_of_mean(value: Tensor) -> Tensor:
    """Return this process's share of a term's mean over the batch: of (B,) values, or of a scalar of the whole batch.

    The shares add up to the mean.

    >>> share_of_mean(torch.tensor([1.0, 3.0])), share_of_mean(torch.tensor(5.0))
    (tensor(2.), tensor(5.))
    """
    now = layout()
    if now is None:
        value = value.mean() if value.dim() else value
        return value if _copies == 1 else value / _copies
    if not value.dim():
        return value / group.world()
    return value.sum() / (now.total * math.prod(value.shape[:-1]))


def some(rows: Tensor, n: int, each: int = 1) -> Tensor:
    """Return `n` of the whole batch's rows (N, D), drawn with replacement, the same for all; `each` rows an example."""
    now = layout()
    if now is None:
        return rows[torch.randint(len(rows), (n,), device=rows.device)]
    with whole():
        index = torch.randint(now.total * each, (n,), device=rows.device)
    example = index // each
    mine = example % group.world() == group.rank()
    at = (example // group.world() * each + index % each)[mine]
    out = rows.new_zeros(n, *rows.shape[1:])
    out[mine] = rows[at]
    return _all_sum(out)


def any_of(flag: bool | Tensor) -> bool:
    """Return whether the flag holds on any process that shares the batch."""
    if layout() is None:
        return bool(flag)
    return bool(group.sum_in_place(torch.tensor([float(bool(flag))])))
