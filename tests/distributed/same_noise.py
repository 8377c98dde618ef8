"""What several processes draw, drawn by one: so that one can be compared with them.

Within `drawing_as(n)` this process has every row of a batch, in the order in which `gather` would have them, and draws
for the rows of rank r what rank r would draw: with r's random state, for r's rows alone. Nothing else of
`vaekit.distributed` is stood in for, so the comparison is with an ordinary computation on the whole batch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vaekit import distributed
from vaekit.distributed import rows as seam
from vaekit.distributions import von_mises_fisher
from vaekit.distributions.nodes import NodeNormal
from vaekit.models.semisupervised import SemiSupervised

SHAPES = {torch.rand, torch.randn, torch.randint}
DRAWS = {
    *SHAPES,
    *(torch.rand_like, torch.randn_like, torch.bernoulli, torch.multinomial, torch.poisson, torch.normal),
    *(torch._standard_gamma, torch._sample_dirichlet, Tensor.bernoulli, Tensor.multinomial),
    *(torch.dropout, torch.nn.functional.dropout, torch.nn.functional.gumbel_softmax),
}
IN_PLACE = {Tensor.normal_, Tensor.uniform_, Tensor.exponential_, Tensor.bernoulli_, Tensor.random_}


class Noise(TorchFunctionMode):
    """Every draw, made rank by rank. `owners` has the rank of each index of an axis, by the axis's length."""

    def __init__(self, owner: Tensor, ranks: int, seed: int, k: int) -> None:
        super().__init__()
        self.owners = {len(owner): owner}
        self.ranks, self.k = ranks, k
        self.states = []
        for rank in range(ranks):
            torch.manual_seed(seed + 1 + rank)
            self.states.append(torch.get_rng_state())

    def narrow(self, keep: Tensor) -> None:
        """Go on with fewer rows."""
        self.owners[int(keep.sum())] = self.owners[len(keep)][keep]

    def add(self, rows: Tensor, total: int) -> None:
        """Take note of an axis whose entries are of these rows of the batch."""
        self.owners.setdefault(len(rows), self.owners[total][rows])

    def axis(self, sizes: Any) -> int | None:
        """Return the axis of rows, which is never the first where K samples lead."""
        fits = [axis for axis, size in enumerate(sizes) if size in self.owners]
        return next((axis for axis in fits if axis and sizes[axis - 1] == self.k), fits[0] if fits else None)

    def rank_by_rank(self, func: Callable[..., Tensor], values: Any, kwargs: Any = None) -> Tensor:
        """Return what the processes would get of `func(*values)`, put together."""
        out: Tensor | None = None
        for rank in range(self.ranks):
            found: list[tuple[int, Tensor]] = []
            mine = [self.part(value, rank, found) for value in values]
            named = {name: self.part(value, rank, found) for name, value in (kwargs or {}).items()}
            assert found, f"a draw without an axis of rows: {func} of {[getattr(v, 'shape', v) for v in values]}"
            torch.set_rng_state(self.states[rank])
            drawn = func(*mine, **named)
            self.states[rank] = torch.get_rng_state()
            axis, index = found[0]
            if out is None:
                sizes = list(drawn.shape)
                sizes[axis] = len(self.owners[self.length])
                out = drawn.new_zeros(sizes)
            out = out.index_copy(axis, index, drawn)
        assert out is not None
        return out

    def part(self, value: Any, rank: int, found: list[tuple[int, Tensor]]) -> Any:
        """Return a rank's part of an argument: of a tensor its rows, of a shape its number of rows."""
        shape = value.shape if isinstance(value, Tensor) else value
        axis = self.axis(shape) if isinstance(shape, tuple) else None
        if axis is None:
            return value
        self.length = shape[axis]
        index = (self.owners[self.length] == rank).nonzero().squeeze(1)
        found.append((axis, index))
        if isinstance(value, Tensor):
            # Numbers are drawn in the order of memory: the part has the whole's.
            order = sorted(range(value.dim()), key=lambda d: -value.stride(d))
            part = value.permute(order).index_select(order.index(axis), index)
            return part.permute([order.index(d) for d in range(value.dim())])
        return (*shape[:axis], len(index), *shape[axis + 1 :])

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in DRAWS | IN_PLACE or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        if "dropout" in func.__name__:
            named = {"p": 0.5, "training": True} | dict(zip(("input", "p", "training"), args)) | kwargs
            if not named["training"] or not named["p"]:
                return func(*args, **kwargs)
        if func in IN_PLACE:
            return args[0].copy_(self.rank_by_rank(func, args, kwargs))  # in place in a copy of each part
        if func in SHAPES and "size" not in kwargs:
            limits = args[:-1] if func is torch.randint else ()
            size = args[len(limits) :]
            args = (*limits, tuple(size[0]) if isinstance(size[0], tuple | list) else size)
        return self.rank_by_rank(func, args, kwargs)


@contextmanager
def drawing_as(ranks: int, k: int = 1) -> Iterator[None]:
    """Train and validate in this process with the noise of `ranks` processes; `k` samples lead in what is drawn."""
    now: list[Noise] = []
    block: list[random.Random] = []
    pairs, angles, nodes = SemiSupervised._pairs, von_mises_fisher._angles, NodeNormal.rsample

    @contextmanager
    def sharing(total: int, *position: int, part: tuple[int, int] = (0, 1)) -> Iterator[None]:
        assert part == (0, 1)
        seeds = random.Random(repr(position))
        noise = seeds.getrandbits(62)
        block.append(seeds)
        with torch.random.fork_rng():
            try:
                if total < ranks:
                    torch.manual_seed(noise)
                    yield
                else:
                    owner = torch.cat([torch.full((len(range(r, total, ranks)),), r) for r in range(ranks)])
                    now.append(Noise(owner, ranks, noise, k))
                    with now[-1]:
                        yield
            finally:
                block.pop()
                now.clear()

    def deal(x: Any) -> Any:
        if x is None or not now:
            return x
        order = torch.cat([torch.arange(len(x))[rank::ranks] for rank in range(ranks)])
        return x.share(order) if hasattr(x, "share") else x[order]

    @contextmanager
    def alike() -> Iterator[None]:
        if not block:
            yield
            return
        with torch._C.DisableTorchFunction(), torch.random.fork_rng():
            torch.manual_seed(block[-1].getrandbits(62))
            yield

    def noted_pairs(self: SemiSupervised, hidden: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        rows, classes = pairs(self, hidden, y)
        if now:
            now[-1].add(rows, len(hidden))
        return rows, classes

    def rsample(self: NodeNormal, *sample_shape: Any) -> Tensor:
        if now:
            now[-1].add(self.mask.nonzero()[:, 0], len(self.mask))
        return nodes(self, *sample_shape)

    def noted_angles(kappa: Tensor, dimension: int) -> Tensor:
        if not now:
            return angles(kappa, dimension)
        return now[-1].rank_by_rank(lambda part: undisturbed(angles, part, dimension), (kappa,))

    with (
        mock.patch.multiple(distributed, sharing=sharing, deal=deal, alike=alike),
        mock.patch.object(distributed, "narrow", lambda keep: now[-1].narrow(keep) if now else None),
        mock.patch.object(seam, "alike", alike),
        mock.patch.object(SemiSupervised, "_pairs", noted_pairs),
        mock.patch.object(NodeNormal, "rsample", rsample),
        mock.patch.object(von_mises_fisher, "_angles", noted_angles),
    ):
        yield


def undisturbed(func: Callable[..., Tensor], *args: Any) -> Tensor:
    """Call a function whose draws are one rank's already."""
    with torch._C.DisableTorchFunction():
        return func(*args)
