"""What rows are asked for: values, ranges and choices of columns by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.number_forms import number_of
from vaekit.data.tables import columns as cols
from vaekit.data.tables.dates import write_date
from vaekit.errors import UserError

ITEM = re.compile(r",(?=[^,=]+=)")


def parse_where(text: str) -> dict[str, str]:
    """Read `status=fraud,amount=100..500`; a comma within a value stays.

    >>> parse_where("status=fraud, amount=100..500, place=Paris, France")
    {'status': 'fraud', 'amount': '100..500', 'place': 'Paris, France'}
    """
    pairs = [item.partition("=") for item in ITEM.split(text)]
    if not all(equals and name.strip() for name, equals, _ in pairs):
        raise UserError(f"--where {text}: write column=value with commas between, e.g. status=fraud,amount=100..500")
    return {name.strip(): value.strip() for name, _, value in pairs}


@dataclass(frozen=True)
class Want:
    """What a column is to hold, as it is stored: one of `levels`, a number from `low` to `high`, or nothing.

    `words` say it in the source's own terms.
    """

    words: str
    low: float = -np.inf
    high: float = np.inf
    levels: tuple[int, ...] | None = None
    missing: bool = False

    @property
    def value(self) -> float | None:
        """The one value that will do, NaN for a missing one; None where several do."""
        if self.missing:
            return float("nan")
        if self.levels is not None:
            return float(self.levels[0]) if len(self.levels) == 1 else None
        return self.low if self.low == self.high else None

    @property
    def typical(self) -> float:
        """A value that will do: the middle of a range, or its end where it has one only."""
        if self.value is not None or self.levels is not None:
            return float(self.levels[0]) if self.levels is not None else self.low
        ends = [end for end in (self.low, self.high) if np.isfinite(end)]
        return sum(ends) / len(ends)

    def met(self, stored: Tensor) -> Tensor:
        """Whether stored values of the column will do."""
        if self.missing:
            return torch.isnan(stored)
        if self.levels is not None:
            return torch.isin(stored, torch.tensor(self.levels, dtype=stored.dtype, device=stored.device))
        return (stored >= self.low) & (stored <= self.high)


def want(facts: Mapping[str, Any], value: Any) -> Want:
    """Return what is asked of a column: a value; a range (low, high), either None; a list of choices; None: missing.

    Text is read as the column's cells are, else as a range `100..500`, `100..`, `..500`, or as choices `a|b`.

    Raises:
        UserError: the column has no such value, or none between the two.

    >>> want({"name": "age", "type": "numeric", "mean": 40.0, "sd": 10.0}, "30..50")
    Want(words='age=30..50', low=-1.0, high=1.0, levels=None, missing=False)
    """
    name = facts["name"]
    if isinstance(value, str) and _plain(facts, value) is None:
        if ".." in value:
            low, _, high = (part.strip() for part in value.partition(".."))
            value = (low or None, high or None)
        elif "|" in value:
            value = [part.strip() for part in value.split("|")]
    if value is None or value == "":
        return Want(f"{name}=", missing=True)
    if isinstance(value, tuple | range) and len(value) == 2 and not isinstance(value, range):
        return _range(facts, *value)
    several = list(value) if isinstance(value, list | set | frozenset | range) else [value]
    words = f"{name}={'|'.join(_text(one) for one in several)}"
    found = [_stored(facts, one) for one in several]
    if facts["type"] in cols.CHOICE:
        return Want(words, levels=tuple(sorted({int(one) for one in found})))
    if len(found) != 1:
        raise UserError(f"{words}: several values are for choices, and {name} is a number; give one value or a range")
    return Want(words, found[0], found[0])


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _plain(facts: Mapping[str, Any], value: Any) -> float | None:
    """Return a value in the column's own units, None where it is none of the column's."""
    text = _text(value)
    found = cols.value_of(text, facts)
    if found is None and isinstance(value, bool | np.bool_):
        found = cols.value_of(text.lower(), facts)
    return found if found is not None and np.isfinite(found) else None


def _stored(facts: Mapping[str, Any], value: Any) -> float:
    found = _plain(facts, value)
    if found is None:
        known = (
            f"one of {', '.join(facts['levels'][:8])}{', …' if len(facts['levels']) > 8 else ''}"
            if facts["type"] in cols.CHOICE
            else {
                "date": f"a date like {write_date(cols.EXAMPLE, facts.get('format', '%Y-%m-%d'))}",
                "count": "a whole number from 0",
                "positive": "a number above 0",
            }.get(facts["type"], "a number")
        )
        raise UserError(f"{facts['name']}={_text(value)}: {facts['name']} is {known}, not '{_text(value)}'")
    return float(cols.store(np.array([found]), facts)[0])


def _range(facts: Mapping[str, Any], low: Any, high: Any) -> Want:
    words = f"{facts['name']}={'' if low is None else _text(low)}..{'' if high is None else _text(high)}"
    if facts["type"] in cols.CHOICE:
        return _levels_between(facts, low, high, words)
    least = None if low is None else number_of(_text(low))
    if facts["type"] in ("positive", "count") and least is not None and least <= 0 and high is not None:
        low = None  # below all that there are
    ends = [None if end is None else _stored(facts, end) for end in (low, high)]
    found = Want(words, -np.inf if ends[0] is None else ends[0], np.inf if ends[1] is None else ends[1])
    if found.low > found.high:
        raise UserError(f"{words} is empty: the first is above the second; exchange them")
    if ends == [None, None]:
        raise UserError(f"{words}: give the range an end, e.g. {facts['name']}=100.. or {facts['name']}=..500")
    return found


def _levels_between(facts: Mapping[str, Any], low: Any, high: Any, words: str) -> Want:
    """Return a range of choices: by number where they are numbers, by order where they have one."""
    levels = facts["levels"]
    numbers = [v for v in map(number_of, levels) if v is not None]
    if len(numbers) == len(levels):
        least, most = (end if end is None else number_of(_text(end)) for end in (low, high))
        ok = [i for i, v in enumerate(numbers) if (least is None or v >= least) and (most is None or v <= most)]
    elif facts["type"] == "ordinal":
        least, most = (None if end is None else _stored(facts, end) for end in (low, high))
        ok = [i for i in range(len(levels)) if (least is None or i >= least) and (most is None or i <= most)]
    else:
        raise UserError(f"{words}: {facts['name']} has no order ({', '.join(levels[:8])}); name choices, a|b")
    if not ok:
        raise UserError(f"{words} is empty: {facts['name']} is one of {', '.join(levels[:8])}")
    return Want(words, levels=tuple(ok))
