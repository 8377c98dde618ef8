"""Random numbers of a shared batch: what one process would have drawn, of which each process keeps its rows.

All processes hold the same generator state. A draw whose shape has the rows at hand as an axis is made for all rows of
the batch and cut; every process so uses as many random numbers as one would, and the states stay equal. The price is
that noise is drawn once a process, not once in all. Draws with a generator of their own, and those whose shape has no
axis of rows, are left alone.

The axis of rows is found by its length: the one after an axis of K samples, else the first that fits. Where another
axis happens to be as long, the numbers are independent ones but not those of one process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vaekit.distributed import group
from vaekit.distributed.rows import Layout, layout, whole
from vaekit.distributed.statistics import batch_norm

Call = Callable[..., Any]


def _plan(shape: Sequence[int], at: Layout) -> tuple[int, tuple[int, ...]] | None:
    """Return (axis of rows, the shape it is an axis of), None where there is none; K · B rows are seen as (K, B)."""
    sizes = tuple(shape)
    for axis in range(1, len(sizes)):
        if sizes[axis] == at.local and sizes[axis - 1] == at.k:
            return axis, sizes
    if at.local in sizes:
        return sizes.index(at.local), sizes
    if sizes and at.k > 1 and sizes[0] == at.k * at.local:
        return 1, (at.k, at.local, *sizes[1:])
    return None


def _cut(drawn: Tensor, axis: int, at: Layout, shape: Sequence[int]) -> Tensor:
    if isinstance(at.places, slice):
        mine = drawn[(slice(None),) * axis + (at.places,)]
    else:
        mine = drawn.index_select(axis, at.places.to(drawn.device))
    return mine.reshape(tuple(shape))


def _widened(shape: Sequence[int], at: Layout) -> tuple[int, list[int]] | None:
    found = _plan(shape, at)
    if found is None:
        return None
    axis, sizes = found
    return axis, [*sizes[:axis], at.total, *sizes[axis + 1 :]]


def _made(func: Call, at: Layout, first: Sequence[Any], shape: Sequence[int], kwargs: dict[str, Any]) -> Any:
    """A function of a shape: randn, rand, randint."""
    found = _widened(shape, at)
    if found is None:
        return func(*first, tuple(shape), **kwargs)
    axis, wide = found
    return _cut(func(*first, tuple(wide), **kwargs), axis, at, shape)


def _by_size(func: Call, at: Layout, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    rest = dict(kwargs)
    size = rest.pop("size", None)
    if size is None:
        size = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
    return _made(func, at, (), tuple(size), rest)


def _integers(func: Call, at: Layout, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    rest = dict(kwargs)
    size = rest.pop("size", None)
    limits = args if size is not None else args[:-1]
    return _made(func, at, limits, tuple(args[-1] if size is None else size), rest)


_PLAIN = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}


def _like(func: Call, at: Layout, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    like, rest = args[0], {name: value for name, value in kwargs.items() if name != "memory_format"}
    facts: dict[str, Any] = {"dtype": like.dtype, "device": like.device} | rest
    return _made(_PLAIN[func], at, (), tuple(like.shape), facts)


def _in_place(func: Call, at: Layout, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    out, rest = args[0], args[1:]
    found = _widened(out.shape, at)
    if found is None:
        return func(*args, **kwargs)
    if any(isinstance(value, Tensor) and value.dim() for value in (*rest, *kwargs.values())):
        return _in_law(func, at, args, kwargs)
    axis, wide = found
    # Numbers are drawn in the order of memory, which is not that of the axes in a transposed tensor.
    order = sorted(range(out.dim()), key=lambda d: -out.stride(d)) if len(wide) == out.dim() else range(len(wide))
    every = out.new_empty([wide[d] for d in order]).permute([list(order).index(d) for d in range(len(wide))])
    return out.copy_(_cut(func(every, *rest, **kwargs), axis, at, out.shape))


@torch.no_grad()
def _everyone(x: Tensor, axis: int, wide: list[int], at: Layout) -> Tensor:
    """Return a parameter of all rows, from each process's own."""
    sizes = [*wide[:axis], at.local, *wide[axis + 1 :]]
    out = x.new_zeros(wide)
    places = at.places if isinstance(at.places, Tensor) else torch.arange(at.total)[at.places]
    out.index_copy_(axis, places.to(x.device), x.detach().reshape(sizes))
    return group.sum_in_place(out)


def _of_parameters(func: Call, at: Layout, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A draw for each row of a tensor of parameters; how many random numbers it takes may depend on them."""
    p = args[0]
    found = _widened(p.shape, at)
    if found is None:
        return func(*args, **kwargs)
    axis, wide = found
    drawn = func(_everyone(p, axis, wide, at), *args[1:], **kwargs)
    out = _cut(drawn, axis, at, p.shape)
    if func is torch._standard_gamma and p.requires_grad:  # the draw's own path derivative
        out = out + (p - p.detach()) * torch._standard_gamma_grad(p.detach(), out)
    return out


def _chosen(func: Call, at: Layout, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """torch.multinomial: one distribution and a draw for each row, or a distribution a row."""
    named = dict(zip(("input", "num_samples", "replacement"), args)) | kwargs
    p, n, again = named["input"], named["num_samples"], named.get("replacement", False)
    if p.dim() == 1:
        found = _widened((n,), at)
        if found is None:
            return func(p, n, again)
        axis, wide = found
        drawn = func(p, torch.Size(wide).numel(), again).view(wide)
        return _cut(drawn, axis, at, (n,))
    found = _widened(p.shape[:1], at)
    if found is None:
        return func(p, n, again)
    axis, wide = found
    every = _everyone(p, axis, [*wide, p.shape[1]], at)
    drawn = func(every.flatten(0, -2), n, again).view(*wide, n)
    return _cut(drawn, axis, at, (len(p), n))


def _dropped(func: Call, at: Layout, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    named = {"p": 0.5, "training": True} | dict(zip(("input", "p", "training", "inplace"), args)) | kwargs
    x = named["input"]
    found = _widened(x.shape, at)
    if not named["training"] or named["p"] == 0:
        return func(*args, **kwargs)
    if found is None:  # of as many rows as the data happen to have: places in use, say
        return _in_law(func, at, args, kwargs)
    axis, wide = found
    return x * _cut(func(x.new_ones(wide), named["p"], True), axis, at, x.shape)


def _attended(func: Call, at: Layout, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    drops = kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0)
    return _in_law(func, at, args, kwargs) if drops else func(*args, **kwargs)


def _in_law(func: Call, at: Layout, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A draw that cannot be cut: each process draws for its own rows from a seed of its own, drawn together."""
    with whole():
        seed = int(torch.randint(2**62, ()))
    with torch.random.fork_rng():
        torch.manual_seed(seed + group.rank())
        return func(*args, **kwargs)


_HANDLERS: dict[Any, Call] = {
    torch.randn: _by_size,
    torch.rand: _by_size,
    torch.randint: _integers,
    torch.rand_like: _like,
    torch.randn_like: _like,
    torch.randint_like: _in_law,
    torch.bernoulli: _of_parameters,
    Tensor.bernoulli: _of_parameters,
    torch._standard_gamma: _of_parameters,
    torch._sample_dirichlet: _of_parameters,
    torch.poisson: _of_parameters,
    torch.multinomial: _chosen,
    Tensor.multinomial: _chosen,
    torch.normal: _in_law,
    torch.binomial: _in_law,
    **dict.fromkeys(
        (
            torch.nn.functional.gumbel_softmax,
            torch.nn.functional.alpha_dropout,
            torch.nn.functional.feature_alpha_dropout,
            torch.nn.functional.dropout1d,
            torch.nn.functional.dropout2d,
            torch.nn.functional.dropout3d,
            torch.nn.functional.rrelu,
        ),
        _in_law,
    ),
    torch.nn.functional.batch_norm: batch_norm,
    torch.nn.functional.dropout: _dropped,
    torch.dropout: _dropped,
    torch.nn.functional.scaled_dot_product_attention: _attended,
    **dict.fromkeys(
        (
            Tensor.normal_,
            Tensor.uniform_,
            Tensor.exponential_,
            Tensor.bernoulli_,
            Tensor.random_,
            Tensor.cauchy_,
            Tensor.geometric_,
            Tensor.log_normal_,
        ),
        _in_place,
    ),
}


class SharedDraws(TorchFunctionMode):
    """Within the block, the process draws its rows of what one process would draw for the batch in `sharing`.

    Batch normalisation, the one other function that looks at all rows, is done over all of them too.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Hand on every function but those that draw."""
        kwargs = kwargs or {}
        handler = _HANDLERS.get(func)
        now = None if handler is None else layout()
        if handler is None or now is None or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        return handler(func, now, args, kwargs)
