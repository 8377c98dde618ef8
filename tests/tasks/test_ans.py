"""The bit stack against entropies by hand, and its inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit.tasks.ans import WHOLE, BitStack, Ints

START = np.random.default_rng(0).integers(0, 1 << 32, 3000, dtype=np.uint32)


def table(weights: np.ndarray, bits: int):
    """Cumulative counts of one distribution for every element; levels beyond the weights have no mass."""
    ends = np.concatenate([[0.0], np.cumsum(weights / weights.sum())])
    ends = np.floor(ends * (WHOLE - len(weights))).astype(np.int64) + np.arange(len(ends))
    ends[-1] = WHOLE
    ends = np.concatenate([ends, np.full((1 << bits) + 1 - len(ends), WHOLE)])

    def cumulative(index: Ints) -> Ints:
        return ends[index]

    return cumulative, np.diff(ends) / WHOLE


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
def test_a_value_costs_the_log_of_its_mass(levels: int) -> None:
    rng = np.random.default_rng(levels)
    bits = (levels - 1).bit_length()
    cumulative, mass = table(rng.random(levels) ** 6 + 1e-9, bits)
    values = rng.integers(0, levels, 2000)
    stack = BitStack(START)
    before = stack.bits
    stack.push(values, bits, cumulative)
    assert stack.bits - before == pytest.approx(-np.log2(mass[values]).sum(), rel=1e-3, abs=64)
    assert np.array_equal(stack.pop(len(values), bits, cumulative), values)
    assert np.array_equal(stack.words(), START)


def test_popping_samples_the_distribution_and_pushing_gives_the_bits_back() -> None:
    weights = np.array([1.0, 4.0, 0.5, 2.5])
    cumulative, mass = table(weights, 2)
    stack = BitStack(START)
    drawn = stack.pop(20_000, 2, cumulative)
    seen = np.bincount(drawn, minlength=4) / len(drawn)
    assert np.abs(seen - mass).max() < 5 * np.sqrt(0.25 / len(drawn))
    stack.push(drawn, 2, cumulative)
    assert np.array_equal(stack.words(), START)


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 1)), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_any_mixture_of_pushes_comes_back_in_reverse(items: list[tuple[int, int]]) -> None:
    stack = BitStack(START[:8])
    for value, bit in items:
        stack.push_uniform(np.array([value]), 16)
        stack.push_bits(np.array([bit]), np.array([0.9]))
    stack = BitStack(stack.finish(), closed=True)
    for value, bit in reversed(items):
        assert stack.pop_bits(np.array([0.9])).tolist() == [bit]
        assert stack.pop_uniform(1, 16).tolist() == [value]
    assert np.array_equal(stack.words(), START[:8])


def test_the_wrong_distribution_does_not_restore_the_words() -> None:
    one, _ = table(np.array([1.0, 2.0, 3.0, 4.0]), 2)
    other, _ = table(np.array([4.0, 3.0, 2.0, 1.0]), 2)
    stack = BitStack(START[:20])
    stack.push(np.arange(200) % 4, 2, one)
    stack.pop(200, 2, other)
    try:
        left = stack.words()
    except ValueError:  # not a whole number of words
        return
    assert not np.array_equal(left, START[:20])
