"""A stack of bits (asymmetric numeral systems, from constriction) that codes whole arrays of bounded integers.

An integer below 2^n is n yes/no questions, the most significant bit first: whether a value known to lie in [lo, hi)
lies in the upper half, with probability (F(hi) - F(mid)) / (F(hi) - F(lo)), where F is the value's cumulative
distribution in whole numbers. So a value costs -log2 of its mass, no table over all values is ever built, and every
question is asked of the whole array at once. All probabilities are ratios of integers: what F rounds to is all that
has to be the same on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import optional

Ints = NDArray[np.int64]
Cumulative = Callable[[Ints], Ints]
"""Index array (N,) of values 0 … 2^bits → F(index), how much of the whole 2^MASS_BITS lies below, elementwise."""

MASS_BITS = 22
"""Mass is counted in units of 2^-22: the coder itself resolves 2^-24, so that no unit is lost."""
WHOLE = 1 << MASS_BITS


class BitStack:
    """Last in, first out: `push` adds values under a distribution, `pop` takes them off under the same one.

    Popping what was never pushed draws a sample, at the cost of the bits on the stack; pushing it again restores them
    (Duda 2013, arXiv:1311.2540; Townsend et al. 2019, arXiv:1901.04866).

    >>> import numpy as np
    >>> stack = BitStack(np.arange(1, 9, dtype=np.uint32))
    >>> fair = lambda i: i * (WHOLE // 4)
    >>> drawn = stack.pop(5, 2, fair)
    >>> stack.push(drawn, 2, fair)
    >>> stack.words().tolist()
    [1, 2, 3, 4, 5, 6, 7, 8]
    """

    def __init__(self, words: NDArray[np.uint32], *, closed: bool = False) -> None:
        """Begin with `words`: any numbers, or with `closed` what `finish` gave."""
        needed = "compression needs the library constriction; run: pip install 'vaekit[coding]'"
        library = optional("constriction", needed)
        self._coder = library.stream.stack.AnsCoder(words, seal=not closed)
        self._bernoulli = library.stream.model.Bernoulli(perfect=False)
        self._uniform = library.stream.model.Uniform

    @property
    def bits(self) -> int:
        """How many bits can be popped before the stack runs out."""
        return int(self._coder.num_valid_bits())

    def finish(self) -> NDArray[np.uint32]:
        """Return the stack as words to store."""
        return self._coder.get_compressed()

    def words(self) -> NDArray[np.uint32]:
        """Return the words the stack began with, when all that was pushed is popped; ValueError if it is not."""
        try:
            return self._coder.get_compressed(unseal=True)
        except AssertionError:
            raise ValueError("what is left is not a whole number of words") from None

    def push(self, values: Ints, bits: int, cumulative: Cumulative) -> None:
        """Push integers 0 … 2^bits - 1, (N,), the value i of mass F(i + 1) - F(i) in units of 2^-22."""
        low = np.zeros(len(values), np.int64)
        below, above = cumulative(low), cumulative(low + (1 << bits))
        questions = []
        for bit in range(bits - 1, -1, -1):
            middle = cumulative(low + (1 << bit))
            upper = (values >> bit) & 1
            questions.append((upper, below, middle, above))
            yes = upper == 1
            low = low + (upper << bit)
            below, above = np.where(yes, middle, below), np.where(yes, above, middle)
        for upper, below, middle, above in reversed(questions):
            open_, chance = _chances(below, middle, above)
            self.push_bits(upper[open_], chance)

    def pop(self, count: int, bits: int, cumulative: Cumulative) -> Ints:
        """Pop `count` integers: the inverse of `push`."""
        low = np.zeros(count, np.int64)
        below, above = cumulative(low), cumulative(low + (1 << bits))
        for bit in range(bits - 1, -1, -1):
            middle = cumulative(low + (1 << bit))
            open_, chance = _chances(below, middle, above)
            upper = (below == middle).astype(np.int64)  # where one half has no mass there is nothing to ask
            upper[open_] = self.pop_bits(chance)
            yes = upper == 1
            low = low + (upper << bit)
            below, above = np.where(yes, middle, below), np.where(yes, above, middle)
        return low

    def push_bits(self, values: NDArray[Any], chance: NDArray[np.float64]) -> None:
        """Push bits (N,), each one with probability `chance` (N,)."""
        if len(values):
            self._coder.encode_reverse(values.astype(np.int32), self._bernoulli, np.ascontiguousarray(chance))

    def pop_bits(self, chance: NDArray[np.float64]) -> NDArray[np.int32]:
        """Pop bits: the inverse of `push_bits`."""
        if not len(chance):
            return np.zeros(0, np.int32)
        return self._coder.decode(self._bernoulli, np.ascontiguousarray(chance))

    def push_uniform(self, values: Ints, bits: int) -> None:
        """Push integers 0 … 2^bits - 1, (N,), all equally likely: `bits` bits each."""
        self._coder.encode_reverse(values.astype(np.int32), self._uniform(1 << bits))

    def pop_uniform(self, count: int, bits: int) -> Ints:
        """Pop integers: the inverse of `push_uniform`."""
        return self._coder.decode(self._uniform(1 << bits), count).astype(np.int64)


def _chances(below: Ints, middle: Ints, above: Ints) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return where both halves have mass, and there the upper half's share."""
    open_ = (middle > below) & (above > middle)
    return open_, (above - middle)[open_] / (above - below)[open_]
