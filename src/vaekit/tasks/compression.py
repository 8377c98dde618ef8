"""Lossless compression by bits back with asymmetric numeral systems (BB-ANS).

To push an example x: pop z from the stack under q(z|x), push x under p(x|z), push z under p(z). Popping z gives back
-log2 q(z|x) bits, so that on average an example costs -ELBO(x) / ln 2 bits. Decoding runs the same steps backwards.
Sources: Hinton & van Camp 1993; Townsend et al. 2019, arXiv:1901.04866.

Examples go in blocks: the networks run once a block, on the same inputs in the same shapes when coding and decoding.
The first example needs some bits to pop, which stay at the bottom of the stack; after it a block is as long as the bits
on the stack allow, so that these initial bits are paid for once. The blocks' lengths are kept with the bits.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit import bounds
from vaekit.distributions.base import measure_of
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.inference import Progress, inference
from vaekit.models.base import Model
from vaekit.tasks.ans import BitStack
from vaekit.tasks.quantised import LatentGrid, PixelCoder

BLOCK = 128
MARGIN_WORDS = 3


class Damaged(UserError):
    """The bits do not decode: another model, another machine's arithmetic, or damage."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread and without gradients: sums are then always taken in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Codec:
    """A model ready to code: a float64 copy on the processor, its prior, and the grid of its latents."""

    model: Model
    prior: DiagonalNormalFamily
    grid: LatentGrid
    levels: int
    shape: tuple[int, ...]

    @staticmethod
    def of(model: Model, shape: tuple[int, ...], levels: int) -> Codec:
        """Return the codec of a model of examples of `shape` with `levels` grey levels.

        Raises UserError, with the reason, for a model that bits back does not apply to.
        """
        own = copy.deepcopy(model).cpu().double().eval()
        if own.takes_label:
            raise UserError("compress needs a model of x alone, and this one is conditioned on labels")
        with one_thread(), inference(own):
            trace = own.trace(torch.zeros(1, *shape, dtype=torch.float64), hard=True)
        bounds.require(trace)
        if measure_of(trace.px) != "mass":
            raise UserError(
                f"compress needs a likelihood of discrete values, and {type(trace.px).__name__} is a density; train "
                "with --set model.likelihood=discretised-logistic, or bernoulli on binary data"
            )
        latent = next(iter(trace.latents.values()))
        fits = isinstance(latent.q, DiagonalNormalFamily) and isinstance(latent.p, DiagonalNormalFamily)
        if len(trace.latents) > 1 or not fits or latent.p.batch_shape:
            pairs = ", ".join(f"q: {type(v.q).__name__}, p: {type(v.p).__name__}" for v in trace.latents.values())
            raise UserError(
                f"compress needs one latent with diagonal normal posterior and prior; this model has {pairs}"
            )
        assert isinstance(latent.p, DiagonalNormalFamily)
        return Codec(own, latent.p, LatentGrid(), levels, shape)

    def posterior(self, x: Tensor) -> DiagonalNormalFamily:
        """Return q(z|x) of a block of levels (B, *shape)."""
        q = self.model.encode(x.double() / (self.levels - 1))
        assert isinstance(q, DiagonalNormalFamily)
        return q

    def push(self, stack: BitStack, x: Tensor) -> None:
        """Push a block of levels (B, *shape) uint8."""
        q = self.posterior(x)
        code = stack.pop(q.loc.numel(), self.grid.bits, self.grid.cumulative(q, self.prior))
        z = self.grid.values(code, self.prior, q.loc.shape)
        PixelCoder(self.model.decode(z), self.levels).push(stack, x)
        stack.push_uniform(code, self.grid.bits)

    def pop(self, stack: BitStack, count: int) -> Tensor:
        """Pop a block of `count` examples: the steps of `push`, backwards."""
        shape = torch.Size([count, *self.prior.loc.shape])
        code = stack.pop_uniform(shape.numel(), self.grid.bits)
        z = self.grid.values(code, self.prior, shape)
        x = PixelCoder(self.model.decode(z), self.levels).pop(stack)
        stack.push(code, self.grid.bits, self.grid.cumulative(self.posterior(x), self.prior))
        return x

    @property
    def needs(self) -> int:
        """How many bits an example may pop before it pushes any: no posterior has more entropy than its grid."""
        return self.prior.loc.numel() * (self.grid.bits + 1)


def compress(codec: Codec, x: Tensor, *, block: int = BLOCK, seed: int = 0, progress: Progress | None = None) -> Packed:
    """Code levels x (N, *shape) uint8; the size is about -Σ ELBO(x) / ln 2 bits.

    Raises UserError for another shape or for values that are no levels of the model's.
    """
    if tuple(x.shape[1:]) != tuple(codec.shape):
        raise UserError(f"the examples have shape {tuple(x.shape[1:])}; this model takes {tuple(codec.shape)}")
    if x.dtype != torch.uint8 or int(x.max()) >= codec.levels:
        raise UserError(
            f"the values must be whole numbers from 0 to {codec.levels - 1}, which this model has masses for"
        )
    words = MARGIN_WORDS + -(-codec.needs // 32)
    stack, sizes, done = BitStack(seed_words(words, seed)), list[int](), 0
    with one_thread():
        while done < len(x):
            size = min((stack.bits - 32 * MARGIN_WORDS) // codec.needs, block, len(x) - done)
            if size < 1:  # bits ran short: begin again with more
                words *= 2
                stack, sizes, done = BitStack(seed_words(words, seed)), [], 0
                continue
            codec.push(stack, x[done : done + size])
            sizes.append(size)
            done += size
            if progress is not None:
                progress(done, len(x))
    runs = tuple((size, len(list(same))) for size, same in groupby(sizes))
    return Packed(stack.finish(), runs, words, seed)


def seed_words(count: int, seed: int) -> NDArray[np.uint32]:
    """Return the words that the stack begins with."""
    return np.random.Generator(np.random.PCG64(seed)).integers(0, 1 << 32, count, dtype=np.uint32)


@dataclass(frozen=True)
class Packed:
    """Coded examples: the stack's words, and what is needed to unpack them.

    `blocks` are the blocks' lengths in order, each with how many of that length follow one another.
    """

    words: NDArray[np.uint32]
    blocks: Sequence[tuple[int, int]]
    initial: int
    seed: int = 0

    @property
    def count(self) -> int:
        """How many examples there are."""
        return sum(size * times for size, times in self.blocks)


def decompress(codec: Codec, packed: Packed, *, progress: Progress | None = None) -> Tensor:
    """Return the levels (N, *shape) uint8 that were coded, bit by bit.

    Raises `Damaged` if what is left at the end is not what the coder began with.
    """
    end = packed.count
    try:
        out = torch.empty((packed.count, *codec.shape), dtype=torch.uint8)
        stack = BitStack(packed.words, closed=True)
        with one_thread():
            for size in (size for size, times in reversed(packed.blocks) for _ in range(times)):
                out[end - size : end] = codec.pop(stack, size)
                end -= size
                if stack.bits < size * codec.needs + 32 * MARGIN_WORDS:  # as many as the coder had before this block
                    raise ValueError("they end before the examples do")
                if progress is not None:
                    progress(packed.count - end, packed.count)
        left = stack.words()
    except (ValueError, RuntimeError, MemoryError) as error:
        raise Damaged(f"the bits do not decode with this model ({error})") from None
    if not np.array_equal(left, seed_words(packed.initial, packed.seed)):
        raise Damaged("the bits do not decode with this model on this machine")
    return out
