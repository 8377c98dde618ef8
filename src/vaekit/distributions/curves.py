"""Numbers of a table's columns as they are: a logistic score pushed through each column's quantile function."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family

FAR = 1e4
"""A score beyond which nothing is: the end of the first of whole numbers."""
POINTS = 32
"""Equally likely scores that a mean of values is taken over."""
MOST_SUMMED = 64
"""Widest range of whole numbers whose mean is the sum over all of them."""
WEEK, HOURS = 7.0, 168


class Cells(NamedTuple):
    """Where scores lie, (..., R): the ends of what stands for the same value, whether that has mass, log |dv/du|."""

    lower: Tensor
    upper: Tensor
    mass: Tensor
    log_slope: Tensor


@dataclass(frozen=True)
class Curves:
    """Quantile functions Q of R columns: knots `u` and `v` (R, K); see `vaekit.data.tables.quantiles`.

    >>> curve = {"u": [-1.0, 0.0, 1.0, 2.0], "v": [0.0, 2.0, 2.0, 3.0], "low": -1.0, "high": 2.0}
    >>> Curves.of([{"type": "numeric", "curve": curve}]).value(torch.tensor([[-0.5], [0.7]])).tolist()
    [[1.0], [2.0]]
    """

    u: Tensor
    v: Tensor
    logged: Tensor
    whole: Tensor
    floor: Tensor
    low: Tensor
    high: Tensor
    cycle: Cycle | None = None
    """The weekly cycles of dates; None where no column has one."""
    few: Tensor | None = None
    """Which columns (R,) have few whole numbers,"""
    first: Tensor | None = None
    """the least one (R,),"""
    numbers: Tensor | None = None
    """and all but the greatest (K, R), then NaN; None where no column has few."""

    @classmethod
    def of(cls, columns: Sequence[Mapping[str, Any]]) -> Curves:
        """Read them off columns as plain facts."""
        curves = [column["curve"] for column in columns]
        most = max(len(curve["u"]) for curve in curves)

        def padded(name: str) -> Tensor:
            rows = []
            for curve in curves:
                row = list(curve[name])
                step = row[-1] - row[-2]
                rows.append(row + [row[-1] + step * (i + 1) for i in range(most - len(row))])
            return torch.tensor(rows, dtype=torch.float64)

        def numbers(name: str, default: float) -> Tensor:
            return torch.tensor([float(curve.get(name, default)) for curve in curves], dtype=torch.float64)

        logged = torch.tensor([column["type"] == "positive" for column in columns])
        whole = torch.tensor([bool(curve.get("step")) for curve in curves])
        ends = numbers("floor", -torch.inf), numbers("low", -torch.inf), numbers("high", torch.inf)
        made = cls(padded("u"), padded("v"), logged, whole, *ends, Cycle.of(curves))
        return replace(made, **made.summed())

    def on(self, like: Tensor) -> Curves:
        """Return them where `like` is, in double precision where there is one."""
        wide = torch.float32 if like.device.type == "mps" else torch.float64
        every: Any = (getattr(self, field.name) for field in fields(self))
        return Curves(*[_moved(x, like.device, wide) for x in every])

    def value(self, score: Tensor) -> Tensor:
        """Return Q of scores (..., R), in double precision: of positive columns the logarithm of the value."""
        own = self.on(score)
        score = score.to(own.u)
        i = _piece(own.u, score)
        u, v = _at(own.u, i), _at(own.v, i)
        return unwarped(v + (score - u) * ((_at(own.v, i + 1) - v) / (_at(own.u, i + 1) - u)), own.cycle)

    def score(self, value: Tensor) -> Tensor:
        """Return Q⁻¹ of values (logarithms where positive), (..., R): the middle of the scores of one with mass."""
        own = self.on(value)
        value = warped(value.to(own.u), own.cycle)
        i = _piece(own.v, value)
        u, v, rise = _at(own.u, i), _at(own.v, i), _at(own.v, i + 1) - _at(own.v, i)
        plain = u + (value - v) * ((_at(own.u, i + 1) - u) / torch.where(rise > 0, rise, 1.0))
        before = (i - 1).clamp(min=0)
        level = (i > 0) & (_at(own.v, before) == value) & (v == value)
        return torch.where(level, 0.5 * (_at(own.u, before) + u), plain)

    def whole_number(self, score: Tensor) -> Tensor:
        """Return the whole numbers that scores stand for, in their own units, where columns have them."""
        own, value = self.on(score), self.value(score)
        plain = torch.where(own.logged, torch.where(own.logged, value, 0.0).clamp(max=700).exp(), value)
        return torch.maximum(plain.round(), own.floor)

    def summed(self) -> dict[str, Tensor]:
        """Return `few`, `first` and `numbers`, where a column has few whole numbers."""
        ends = [self.whole_number(end) for end in (self.low, self.high)]
        few = self.whole & (ends[1] - ends[0] <= MOST_SUMMED)
        if not bool(few.any()):
            return {}
        first, last = torch.where(few, ends[0], 0.0), torch.where(few, ends[1], -torch.inf)
        most = int((ends[1] - ends[0])[few].max())
        numbers = first + torch.arange(most, dtype=first.dtype).unsqueeze(1)
        return {"few": few, "first": first, "numbers": torch.where(numbers < last, numbers, torch.nan)}

    def cells(self, score: Tensor) -> Cells:
        """Return where scores (..., R) lie."""
        own = self.on(score)
        score = score.to(own.u)
        i = _piece(own.u, score)
        lower, upper = _at(own.u, i), _at(own.u, i + 1)
        slope = (_at(own.v, i + 1) - _at(own.v, i)) / (upper - lower)
        number = torch.where(own.whole, self.whole_number(score), 1.0)
        ends = [
            self.score(torch.where(own.logged, edge.clamp(min=0.5).log(), edge))
            for edge in (number - 0.5, number + 0.5)
        ]
        least = torch.where(number <= own.floor, -FAR, ends[0])
        mass = own.whole | (slope <= 0)
        log_slope = torch.where(mass, 1.0, slope).log() + torch.where(own.logged, self.value(score), 0.0)
        if own.cycle is not None:
            time = _at(own.v, i) + (score - lower) * slope
            log_slope = log_slope - torch.where(mass, 0.0, log_speed(time, own.cycle))
        return Cells(torch.where(own.whole, least, lower), torch.where(own.whole, ends[1], upper), mass, log_slope)

    def log_marginal(self, score: Tensor) -> Tensor:
        """Return log p of each value (..., R) where scores are standard normal, as those of training rows are.

        Nats in the columns' own units: log φ(u) - log dQ/du, or log [Φ(b) - Φ(a)] of a value with mass.
        """
        lower, upper, mass, log_slope = self.cells(score)
        density = -0.5 * score.to(lower).square() - 0.5 * math.log(2 * math.pi) - log_slope
        above = lower > 0  # from the tail's own side, where differences of Φ keep their digits
        a, b = torch.where(above, -upper, lower), torch.where(above, -lower, upper)
        log_b = torch.special.log_ndtr(b)
        within = log_b + torch.log(-torch.expm1(torch.special.log_ndtr(a) - log_b))
        return torch.where(mass, within, density)

    def settled(self, score: Tensor) -> Tensor:
        """Return scores as values of the columns are stored: within the training rows' range, one for each value."""
        own = self.on(score)
        wide = torch.minimum(torch.maximum(score.to(own.u), own.low), own.high)
        whole = self.whole_number(wide)
        value = torch.where(own.whole, torch.where(own.logged, whole.clamp(min=0.5).log(), whole), self.value(wide))
        cells = self.cells(wide)
        middle = torch.where(cells.mass, 0.5 * (cells.lower + cells.upper), wide)
        return torch.where(own.whole, self.score(value), middle).to(score.dtype)


@dataclass(frozen=True)
class Cycle:
    """Weekly cycles of the columns at `places` (D,).

    `shares` (D, 169) are those of the rows before each hour of a week, which begins with the day `start` (D,).
    """

    places: Tensor
    shares: Tensor
    start: Tensor

    @classmethod
    def of(cls, curves: Sequence[Mapping[str, Any]]) -> Cycle | None:
        """Read them off curves as plain facts; None where there is none."""
        places = [j for j, curve in enumerate(curves) if curve.get("cycle")]
        if not places:
            return None
        cycles = [curves[j]["cycle"] for j in places]
        shares = [torch.tensor(cycle["shares"], dtype=torch.float64) for cycle in cycles]
        each = torch.stack([own.repeat_interleave(HOURS // len(own)) / (HOURS // len(own)) for own in shares])
        start = torch.tensor([float(cycle["start"]) for cycle in cycles], dtype=torch.float64)
        return cls(torch.tensor(places), torch.nn.functional.pad(each.cumsum(1), (1, 0)), start)

    def to(self, device: torch.device, dtype: torch.dtype) -> Cycle:
        """Return them on a device, in a precision."""
        return Cycle(self.places.to(device), self.shares.to(device, dtype), self.start.to(device, dtype))


def warped(day: Tensor, cycle: Cycle | None) -> Tensor:
    """Return days (..., R) as a time that runs as fast as rows come; columns without a cycle as they are."""
    if cycle is None:
        return day
    weeks = (day.index_select(-1, cycle.places) - cycle.start) / WEEK
    week = weeks.floor()
    part = (weeks - week) * HOURS
    i = part.nan_to_num().long().clamp(0, HOURS - 1)
    below = _at(cycle.shares, i)
    time = cycle.start + WEEK * (week + (below + (part - i) * (_at(cycle.shares, i + 1) - below)))
    return day.index_copy(-1, cycle.places, time)


def unwarped(time: Tensor, cycle: Cycle | None) -> Tensor:
    """Return the days of times as `warped` gives them."""
    if cycle is None:
        return time
    weeks = (time.index_select(-1, cycle.places) - cycle.start) / WEEK
    week = weeks.floor()
    i = _piece(cycle.shares, weeks - week)
    below = _at(cycle.shares, i)
    part = i + (weeks - week - below) / (_at(cycle.shares, i + 1) - below)
    return time.index_copy(-1, cycle.places, cycle.start + WEEK * (week + part / HOURS))


def log_speed(time: Tensor, cycle: Cycle) -> Tensor:
    """Return log d time / d day at times as `warped` gives them, (..., R); 0 where a column has no cycle."""
    weeks = (time.index_select(-1, cycle.places) - cycle.start) / WEEK
    i = _piece(cycle.shares, weeks - weeks.floor())
    speed = (_at(cycle.shares, i + 1) - _at(cycle.shares, i)) * HOURS
    return torch.zeros_like(time).index_copy(-1, cycle.places, speed.log())


def _moved(x: Tensor | Cycle | None, device: torch.device, dtype: torch.dtype) -> Any:
    if x is None:
        return None
    return x.to(device, dtype) if isinstance(x, Cycle) or x.is_floating_point() else x.to(device)


def _piece(knots: Tensor, x: Tensor) -> Tensor:
    """Return the piece (..., R) that each of x (..., R) is in, between knots (R, K)."""
    below = (knots <= x.unsqueeze(-1)).sum(-1)  # as searchsorted, which ONNX does not have
    return (below - 1).clamp(0, knots.shape[1] - 2)


def _at(knots: Tensor, i: Tensor) -> Tensor:
    rows = i.reshape(-1, i.shape[-1]).T
    return knots.gather(1, rows).T.reshape(i.shape)


class CurvedColumns(Family):
    """v_j = Q_j(u_j) with u_j logistic of location μ_j and scale s_j; a value is stored as its score u.

    With σ the logistic function, f its density and Q_j the column's quantile function (`Curves`):
    log p(v) = log f((u - μ)/s) - log s - log dQ/du where Q rises, and log [σ((b - μ)/s) - σ((a - μ)/s)], a mass, of a
    value that all scores in (a, b) stand for. So each column's probabilities sum to 1, in its own units.

    Draws beyond the least or greatest training value, about one in the training rows, are put at that value.

    >>> curve = {"u": [-9.0, 9.0], "v": [-9.0, 9.0], "step": True, "low": -9.0, "high": 9.0}
    >>> curves = Curves.of([{"type": "numeric", "curve": curve}])
    >>> d = CurvedColumns(curves, torch.zeros(1), torch.zeros(1))
    >>> float(sum(d.log_prob(torch.tensor([float(n)])).exp() for n in range(-30, 31))) - 1 < 1e-6
    True
    """

    has_rsample = False

    def __init__(self, curves: Curves, loc: Tensor, log_scale: Tensor) -> None:
        self.curves = curves
        self.loc = loc
        self.log_scale = log_scale
        super().__init__(loc.shape[:-1], loc.shape[-1:])

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of scores in the columns' own units, nats/example."""
        return self.log_prob_elements(value).sum(-1)

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-density or log-mass of each column, (..., R)."""
        lower, upper, mass, log_slope = self.curves.cells(value)
        rate = (-self.log_scale).exp()
        t = (value - self.loc) * rate
        density = logsigmoid(t) + logsigmoid(-t) - self.log_scale - log_slope.to(t)
        width = torch.where(mass, upper - lower, 1.0).to(t) * rate
        below, above = (lower.to(t) - self.loc) * rate, (upper.to(t) - self.loc) * rate
        within = logsigmoid(above) + logsigmoid(-below) + torch.log(-torch.expm1(-width))
        return torch.where(mass, within, density)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw scores, (*sample_shape, ..., R)."""
        with torch.no_grad():
            p = torch.rand((*sample_shape, *self.loc.shape), device=self.loc.device).clamp(1e-7, 1 - 1e-7)
            return self.curves.settled(self.loc + self.log_scale.exp() * torch.logit(p).to(self.loc))

    @property
    def expectation(self) -> Tensor:
        """E of each value (of the logarithm where positive).

        Of few whole numbers it is the sum over them, else the mean at `POINTS` equally likely scores (of many whole
        numbers before rounding).
        """
        p = (torch.arange(POINTS, device=self.loc.device, dtype=self.loc.dtype) + 0.5) / POINTS
        shift = torch.logit(p).view(-1, *[1] * self.loc.dim())
        scores = self.loc + self.log_scale.exp() * shift
        within = torch.minimum(torch.maximum(scores, self.curves.low.to(scores)), self.curves.high.to(scores))
        mean = self.curves.value(within).mean(0).to(self.loc.dtype)
        own = self.curves.on(self.loc)
        if own.few is None or own.first is None or own.numbers is None:
            return mean
        return torch.where(own.few, self._summed(own.first, own.numbers), mean)

    def _summed(self, first: Tensor, numbers: Tensor) -> Tensor:
        """Return v_0 + Σ_n (v_{n+1} - v_n) P(N > n) of columns that begin at `first` (R,) with `numbers` (K, R)."""
        logged = self.curves.logged.to(numbers.device)
        value, after = (torch.where(logged, n.clamp(min=0.5).log(), n) for n in (numbers, numbers + 1))
        edge = numbers + 0.5
        edges = self.curves.score(torch.where(logged, edge.clamp(min=0.5).log(), edge))
        rises = torch.where(torch.isnan(numbers), 0.0, after - value).to(self.loc)
        off = self.loc.unsqueeze(-2) - edges.nan_to_num().to(self.loc)
        above = torch.sigmoid(off * (-self.log_scale).exp().unsqueeze(-2))
        start = torch.where(logged, first.clamp(min=0.5).log(), first)
        return start.to(self.loc) + (rises * above).sum(-2)

    def decide(self, expectation: Tensor) -> Tensor:
        """Return the scores of values as `expectation` gives them."""
        return self.curves.score(expectation).to(expectation.dtype)

    @property
    def mean(self) -> Tensor:
        """The scores of the expected values."""
        return self.decide(self.expectation)

    @property
    def mode(self) -> Tensor:
        """The scores of the values at the median, in which the density of a score is greatest."""
        return self.curves.settled(self.loc)
