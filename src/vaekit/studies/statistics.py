"""Means over seeds and differences between points, with 95% intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vaekit.report.content import Number, difference, differing

LEVEL = 0.95


def t_quantile(degrees: int, level: float = LEVEL) -> float:
    """Return the half width, in standard errors, of a two-sided t interval.

    >>> round(t_quantile(2), 3), round(t_quantile(10**6), 2)
    (4.303, 1.96)
    """
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + level / 2))


def half_width(values: Sequence[float]) -> float | None:
    """Return t_{S-1} s/√S, half the 95% interval of the mean of S values; None of fewer than two.

    >>> half_width([1.0, 2.0, 3.0]), half_width([1.0])
    (2.484..., None)
    """
    if len(values) < 2:
        return None
    return t_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


@dataclass(frozen=True)
class Mean:
    """A mean over seeds: each seed's value, and half the 95% interval, None of a single seed."""

    value: float
    half: float | None
    each: Mapping[int, float]


def mean_over(numbers: Mapping[int, Number]) -> Mean | None:
    """Return the mean of a point's numbers over the seeds that have one."""
    each = {seed: n.value for seed, n in numbers.items() if n.value is not None and math.isfinite(n.value)}
    if not each:
        return None
    return Mean(statistics.fmean(each.values()), half_width([*each.values()]), each)


@dataclass(frozen=True)
class Comparison:
    """By how much a number of one point is above another's, seed by seed, or `reason` why that is not to be had;
    `apart` where they are numbers of different things.

    `half` is half the 95% interval of the mean difference: t over the seeds, and beside it the error of the test
    examples where the number is a mean over them, √(t² s²/S + 1.96² e²) with e the standard error over examples of
    the difference averaged over seeds.
    """

    value: float | None = None
    half: float | None = None
    each: tuple[float, ...] = ()
    reason: str = ""
    apart: bool = False

    @property
    def supported(self) -> bool:
        """Whether the interval excludes 0."""
        return self.value is not None and self.half is not None and abs(self.value) > self.half

    @property
    def agreeing(self) -> int:
        """Seeds whose own difference has the sign of the mean's."""
        return sum(one * (self.value or 0.0) > 0 for one in self.each)


def compare(a: Mapping[int, Number], b: Mapping[int, Number]) -> Comparison:
    """Return b - a over the seeds that both have; numbers of different things are not compared.

    >>> of = {"examples": "3 of the test split"}
    >>> a = {s: Number("kl", 5.0 + s, of=of) for s in range(3)}
    >>> b = {s: Number("kl", 3.0 + s + 0.1 * (s - 1), of=of) for s in range(3)}
    >>> found = compare(a, b)
    >>> round(found.value, 3), round(found.half, 3), found.agreeing, found.supported
    (-2.0, 0.248, 3, True)
    """
    pairs = {seed: (b[seed], a[seed]) for seed in a.keys() & b.keys()}
    if not pairs:
        return Comparison(reason="no seed has both")
    each, lacking = [], "it has no value"
    for seed in sorted(pairs):
        found = difference(*pairs[seed])
        without = [number for number in pairs[seed] if number.value is None]
        if found is not None:
            each.append(found.value)
        elif without:
            lacking = without[0].note or lacking
        elif of := differing(pairs[seed]):
            ways = "; ".join(f"{aspect}: {new} against {old}" for aspect, (new, old) in of.items())
            return Comparison(reason=f"they are numbers of different things ({ways})", apart=True)
    if not each:
        return Comparison(reason=lacking)
    over_seeds = half_width(each)
    value = statistics.fmean(each)
    half = None if over_seeds is None else math.hypot(over_seeds, 1.96 * _error_over_examples([*pairs.values()]))
    return Comparison(value, half, tuple(each), "" if half is not None else "one seed only")


def _error_over_examples(pairs: Sequence[tuple[Number, Number]]) -> float:
    """Return the standard error over examples of the difference averaged over seeds; 0 where it is not known."""
    every = [number for pair in pairs for number in pair]
    if any(number.values is None for number in every) or differing(every):
        return 0.0
    rows = [[x - y for x, y in zip(new.values or (), old.values or (), strict=True)] for new, old in pairs]
    means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    return statistics.stdev(means) / math.sqrt(len(means)) if len(means) > 1 else 0.0
