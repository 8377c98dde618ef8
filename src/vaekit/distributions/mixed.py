"""Rows of a table: columns of several types side by side, any cell of which may be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import softplus
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, Measure
from vaekit.distributions.curves import CurvedColumns, Curves

REAL = ("numeric", "positive", "date")
CHOICE = ("categorical", "ordinal", "boolean")
NEVER = -1e30
"""The logit of a level that a column does not have."""


@dataclass(frozen=True)
class Layout:
    """Which columns of a row are real, counts, curved, or choices among levels; positions in the row, in its order.

    A column of numbers that has a `curve`, its quantile function, is curved, whatever its type. A column `gap_of`
    another says where that one is missing: `gaps` are pairs of their positions.

    `log_unit` are log standard deviations of the real columns: a stored value is (value - mean) / exp(log_unit), of the
    value's logarithm where the column is positive. `log_mean` is that mean for positive columns and `positive` is 1.

    >>> Layout.of([{"type": "numeric", "sd": 2.0}, {"type": "categorical", "levels": ["a", "b"]}]).levels
    (2,)
    """

    real: tuple[int, ...]
    count: tuple[int, ...]
    choice: tuple[int, ...]
    levels: tuple[int, ...]
    ordered: tuple[bool, ...]
    log_unit: Tensor
    positive: Tensor
    log_mean: Tensor
    curved: tuple[int, ...] = ()
    curves: Curves | None = None
    gaps: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, columns: Sequence[Mapping[str, Any]]) -> Layout:
        """Read it off columns as plain facts: `type`, and `sd` of real columns, `levels` of choices."""
        kinds = [str(column["type"]) for column in columns]
        unknown = set(kinds) - {*REAL, *CHOICE, "count"}
        if unknown:
            raise ValueError(f"no such column types: {sorted(unknown)}")
        curved = tuple(i for i, column in enumerate(columns) if column.get("curve"))
        real = tuple(i for i, kind in enumerate(kinds) if kind in REAL and i not in curved)
        names = [column.get("name") for column in columns]
        choice = tuple(i for i, kind in enumerate(kinds) if kind in CHOICE)
        sd = torch.tensor([float(columns[i].get("sd", 1.0)) for i in real], dtype=torch.float64)
        positive = [float(kinds[i] == "positive") for i in real]
        centre = [float(columns[i].get("mean", 0.0)) * flag for i, flag in zip(real, positive)]
        return cls(
            real,
            tuple(i for i, kind in enumerate(kinds) if kind == "count" and i not in curved),
            choice,
            tuple(len(columns[i]["levels"]) for i in choice),
            tuple(kinds[i] == "ordinal" for i in choice),
            sd.log(),
            torch.tensor(positive, dtype=torch.float64),
            torch.tensor(centre, dtype=torch.float64),
            curved,
            Curves.of([columns[i] for i in curved]) if curved else None,
            tuple((i, names.index(column["gap_of"])) for i, column in enumerate(columns) if column.get("gap_of")),
        )

    def log_slope(self, stored: Tensor) -> Tensor:
        """Return log |d value / d stored| of real cells (..., R): log sd, and log of the value where it is positive."""
        unit = self.log_unit.to(stored)
        return unit + self.positive.to(stored) * (stored * unit.exp() + self.log_mean.to(stored))

    def __len__(self) -> int:
        return len(self.real) + len(self.count) + len(self.curved) + len(self.choice)

    @property
    def order(self) -> list[int]:
        """Where each column of the row stands among real, count, curved, choice columns laid end to end."""
        ends = [*self.real, *self.count, *self.curved, *self.choice]
        return sorted(range(len(ends)), key=ends.__getitem__)


def pick(x: Tensor, columns: Sequence[int]) -> Tensor:
    """Return x[..., columns], x itself where that is all of it in order."""
    if list(columns) == list(range(x.shape[-1])):
        return x
    return x.index_select(-1, torch.tensor(columns, dtype=torch.long, device=x.device))


class MixedColumns(Family):
    """A row of C columns, independent given the parameters: real, counts, curved, and choices. NaN is missing.

    log p(x) = Σ over observed j of log p_j(x_j), nats/example. Real columns are stored standardised, and scored in
    their own units: log p_j(x_j) = log f_j((x_j - mean_j) / sd_j) - log sd_j, with log x_j for x_j and a further
    -log x_j where the column is positive (log-normal, log-Student-t). A choice is stored as its level's number.
    Curved columns are scored in their own units too, with mass at values that have it (`CurvedColumns`).
    The marginal of a product is the product of the marginals, so leaving the missing cells out is p(x_observed) itself.

    `real` and `count` are families over the last axis, (..., R) and (..., N), or None; `logits` (..., G, L) those of
    the choices, `NEVER` beyond a column's own levels. An ordered column is a choice whose answer is its median.
    In a draw a cell is missing where the column that tells of its gaps says so.

    >>> layout = Layout.of([{"type": "boolean", "levels": ["no", "yes"]}] * 2)
    >>> d = MixedColumns(layout, None, None, torch.zeros(1, 2, 2))
    >>> d.log_prob(torch.tensor([[1.0, torch.nan]])).item()
    -0.693147...
    """

    has_rsample = False
    draws_only = True  # samples are rows as they could be, not averages of rows
    domain = constraints.dependent  # pyright: ignore[reportAssignmentType]

    def __init__(
        self,
        layout: Layout,
        real: Family | None,
        count: Family | None,
        logits: Tensor | None,
        curved: CurvedColumns | None = None,
    ) -> None:
        self.layout = layout
        self.real = real
        self.count = count
        self.curved = curved
        self.logits = logits
        lead = next(
            part.batch_shape if isinstance(part, Family) else part.shape[:-2]
            for part in (real, count, curved, logits)
            if part is not None
        )
        super().__init__(torch.Size(lead), torch.Size((len(layout),)))

    def complete(self) -> MixedColumns:
        """Return the same columns, of which no cell is missing in a draw."""
        whole = replace(self.layout, gaps=())
        return MixedColumns(whole, self.real, self.count, self.logits, self.curved)

    @property
    def measure(self) -> Measure:  # pyright: ignore[reportIncompatibleVariableOverride]
        """A density where a column is real, or curved and no whole number, else a mass."""
        curves = self.layout.curves
        return "mass" if self.real is None and (curves is None or bool(curves.whole.all())) else "density"

    # -- densities ------------------------------------------------------------------------------------------------

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of the observed cells in the columns' own units, nats/example."""
        return self.log_prob_elements(value).sum(-1)

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-density of each cell, (..., C); 0 where it is missing."""
        seen = ~torch.isnan(value)
        known = torch.where(seen, value, 0.0)
        parts: list[Tensor] = []
        if self.real is not None:
            each: Any = self.real
            cells = pick(known, self.layout.real)
            parts.append(each.log_prob_elements(cells) - self.layout.log_slope(cells))
        if self.count is not None:
            each = self.count
            parts.append(each.log_prob_elements(pick(known, self.layout.count)))
        if self.curved is not None:
            parts.append(self.curved.log_prob_elements(pick(known, self.layout.curved)))
        if self.logits is not None:
            parts.append(self._log_mass(pick(known, self.layout.choice)))
        return torch.where(seen, self._assembled(parts), 0.0)

    def _log_mass(self, level: Tensor) -> Tensor:
        assert self.logits is not None
        log_p = self.logits.log_softmax(-1)
        index = level.long().clamp(0, log_p.shape[-1] - 1)
        shape = torch.broadcast_shapes(index.shape, log_p.shape[:-1])
        chosen = log_p.expand(*shape, log_p.shape[-1]).gather(-1, index.expand(shape).unsqueeze(-1))
        return chosen.squeeze(-1)

    def _assembled(self, parts: Sequence[Tensor]) -> Tensor:
        """Lay real, count, curved and choice columns into the row's order."""
        return pick(torch.cat(tuple(parts), -1) if len(parts) > 1 else parts[0], self.layout.order)

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every observed cell is finite, a count whole and not negative, a choice one of its levels."""
        ok = ~torch.isinf(x)
        for places, most in ((self.layout.count, None), (self.layout.choice, self.layout.levels)):
            if places:
                cells = pick(x, places)
                good = torch.isnan(cells) | ((cells >= 0) & (cells == cells.round()))
                if most is not None:
                    good &= torch.isnan(cells) | (cells < torch.tensor(most, device=x.device))
                ok = ok.clone()
                ok[..., list(places)] &= good
        return ok.all(-1)

    # -- answers --------------------------------------------------------------------------------------------------

    @property
    def probs(self) -> Tensor:
        """The choices' probabilities, (..., G, L)."""
        assert self.logits is not None
        return self.logits.softmax(-1)

    @property
    def expectation(self) -> Tensor:
        """E of each real column as stored, each count, each curved value, then each choice's probabilities: (..., E).

        Averages of it over samples of z are the predictive distribution's own; `decide` turns them into a row.
        """
        parts = [part.mean for part in (self.real, self.count) if part is not None]
        if self.curved is not None:
            parts.append(self.curved.expectation)
        if self.logits is not None:
            parts.append(self.probs.flatten(-2))
        return torch.cat(parts, -1) if len(parts) > 1 else parts[0]

    def decide(self, expectation: Tensor) -> Tensor:
        """Return a row (..., C) from `expectation`: means; the likeliest level; the median of ordered levels."""
        plain = len(self.layout.real) + len(self.layout.count)
        parts = [expectation[..., :plain]] if plain else []
        if self.curved is not None:
            parts.append(self.curved.decide(expectation[..., plain : plain + len(self.layout.curved)]))
            plain += len(self.layout.curved)
        if self.logits is not None:
            probs = expectation[..., plain:].unflatten(-1, self.logits.shape[-2:])
            likeliest = probs.argmax(-1)
            median = (probs.cumsum(-1) >= 0.5 * probs.sum(-1, keepdim=True)).to(torch.uint8).argmax(-1)
            ordered = torch.tensor(self.layout.ordered, device=probs.device)
            parts.append(torch.where(ordered, median, likeliest).to(expectation))
        return self._assembled(parts)

    @property
    def mean(self) -> Tensor:
        """The best row: means (of the logarithm where positive), the likeliest level, the median of ordered ones."""
        return self.decide(self.expectation)

    @property
    def mode(self) -> Tensor:
        """The likeliest value of each cell."""
        parts = [part.mode for part in (self.real, self.count, self.curved) if part is not None]
        if self.logits is not None:
            parts.append(self.logits.argmax(-1).to(self.logits))
        return self._assembled(parts)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw whole rows, (*sample_shape, ..., C)."""
        with torch.no_grad():
            numbers = (self.real, self.count, self.curved)
            parts = [part.sample(torch.Size(sample_shape)) for part in numbers if part is not None]
            if self.logits is not None:
                race = self.logits.expand(*sample_shape, *self.logits.shape)
                parts.append((race - torch.empty_like(race).exponential_().log()).argmax(-1).to(race))
            row = self._assembled(parts)
            for told, cell in self.layout.gaps:
                row[..., cell] = torch.where(row[..., told] == 1, torch.nan, row[..., cell])
            return row


def ordered_logits(score: Tensor, first: Tensor, log_gaps: Tensor, levels: Sequence[int]) -> Tensor:
    """Return log-probabilities of ordered levels, (..., O, L), from one score η a column: cumulative logits.

    P(x ≤ l) = σ(c_l - η) with cuts c_0 = first, c_{l+1} = c_l + exp(log_gaps_l): score (..., O), first (O,), log_gaps
    (O, L - 2). Exact at both ends: log P(l) = log σ(u) + log σ(-v) + log(1 - e^{v-u}), u and v the cuts beside l.
    Source: McCullagh 1980, 'Regression models for ordinal data'.

    >>> ordered_logits(torch.zeros(1, 1), torch.zeros(1), torch.zeros(1, 0), [2]).exp()
    tensor([[[0.5000, 0.5000]]])
    """
    gaps = log_gaps.exp()
    cuts = torch.cat([first.unsqueeze(-1), first.unsqueeze(-1) + gaps.cumsum(-1)], -1)
    inner = torch.log(-torch.expm1(-gaps))
    off = cuts - score.unsqueeze(-1)
    below = -softplus(-off)  # log P(x <= l), l = 0 … L - 2
    above = -softplus(off)  # log P(x > l)
    none = torch.zeros_like(below[..., :1])
    index = torch.arange(cuts.shape[-1] + 1, device=cuts.device)
    last = torch.tensor(levels, device=cuts.device).unsqueeze(-1) - 1
    upper = torch.where(index < last, torch.cat([below, none], -1), 0.0)
    edge = torch.zeros_like(cuts[..., :1])
    between = torch.where((index > 0) & (index < last), torch.cat([edge, inner, edge], -1), 0.0)
    return torch.where(index <= last, upper + torch.cat([none, above], -1) + between, NEVER)
