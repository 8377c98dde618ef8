"""Rules that rows of a table are to meet: comparisons of columns, unique keys, combinations seen in training.

A rule is text with a grammar of its own, which is parsed and never run as Python:

    rule        comparison | unique(column, …) | seen(column, …)
    comparison  sum < sum, with <=, <, >=, >, == (or =), !=; a chain like 0 <= a <= b too
    sum         numbers, columns, + - * / and brackets; "text" beside a category or a date

A column whose name is no plain word is written in backquotes. A rule about a missing cell is met.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.tables import columns as cols
from vaekit.data.tables.dates import has_time
from vaekit.errors import UserError, few

TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[^\W\d][\w.]*)|`(?P<quoted>[^`]+)`"
    r"|\"(?P<text>[^\"]*)\"|'(?P<text2>[^']*)'|(?P<sign><=|>=|==|!=|[<>=+\-*/(),]))"
)
COMPARISONS = ("<=", "<", ">=", ">", "==", "!=")
CLOSE = 1e-9
"""Numbers that differ by less, as a share of them, are equal: a sum of decimals is seldom exact."""
DEEPEST = 50
Range = tuple[float, float]


@dataclass(frozen=True)
class Expression:
    """A column (by its place), a number, a text, or `op` of other expressions."""

    op: str
    parts: tuple[Expression, ...] = ()
    column: int = -1
    value: float = 0.0
    text: str = ""

    @property
    def columns(self) -> set[int]:
        """The places of the columns in it."""
        own = {self.column} if self.op == "column" else set[int]()
        return own.union(*(part.columns for part in self.parts))

    def of(self, values: Mapping[int, np.ndarray]) -> Any:
        """Return its value in rows, NaN where a cell is missing."""
        if self.op == "column":
            return values[self.column]
        if self.op == "number":
            return self.value
        with np.errstate(all="ignore"):
            return VALUES[self.op](*(part.of(values) for part in self.parts))

    def range(self, ranges: Mapping[int, Range]) -> Range:
        """Return the least and greatest value that it can have where each column is in its range."""
        if self.op == "column":
            return ranges[self.column]
        if self.op == "number":
            return self.value, self.value
        ends = [part.range(ranges) for part in self.parts]
        if self.op == "/" and ends[1][0] <= 0 <= ends[1][1]:
            return -math.inf, math.inf
        corners = [VALUES[self.op](a, *b) for a in ends[0] for b in ([(c,) for c in ends[1]] if ends[1:] else [()])]
        return (-math.inf, math.inf) if any(map(math.isnan, corners)) else (min(corners), max(corners))


VALUES: Mapping[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "neg": lambda a: -a,
}


@dataclass(frozen=True)
class Comparison:
    """Whether `left` and `right` of a row compare as `sign` says; of words, by the numbers of their levels."""

    left: Expression
    sign: str
    right: Expression

    def met(self, values: Mapping[int, np.ndarray]) -> np.ndarray:
        """Whether rows meet it, (N,); those with a missing cell do."""
        a, b = self.left.of(values), self.right.of(values)
        return np.isnan(a) | np.isnan(b) | compared(a, self.sign, b)

    def possible(self, ranges: Mapping[int, Range]) -> bool:
        """Whether any row can meet it where each column is in its range."""
        (a, b), (c, d) = self.left.range(ranges), self.right.range(ranges)
        if self.sign in ("==", "!="):
            return (a <= d and c <= b) if self.sign == "==" else not a == b == c == d
        if self.sign in (">", ">="):
            (a, b), (c, d) = (c, d), (a, b)
        return a < d if self.sign in ("<", ">") else a <= d

    @property
    def computed(self) -> int | None:
        """The place of a column that the rule gives, being alone on one side of ==; None where there is none."""
        if self.sign != "==":
            return None
        for own, other in ((self.right, self.left), (self.left, self.right)):
            if own.op == "column" and own.column not in other.columns:
                return own.column
        return None

    def value(self, values: Mapping[int, np.ndarray]) -> Any:
        """Return what the column `computed` is to have."""
        other = self.left if self.right.op == "column" and self.right.column == self.computed else self.right
        return other.of(values)


def compared(a: Any, sign: str, b: Any) -> Any:
    """Compare numbers, taken as equal where they differ by rounding alone.

    >>> bool(compared(0.1 + 0.2, "==", 0.3)), bool(compared(0.1 + 0.2, "<=", 0.3)), bool(compared(1.0, "<", 1.0))
    (True, True, False)
    """
    same = np.isclose(a, b, rtol=CLOSE, atol=CLOSE)
    if sign in ("==", "!="):
        return same if sign == "==" else ~same
    apart = (np.asarray(a) < b) if sign[0] == "<" else (np.asarray(a) > b)
    return apart | same if sign.endswith("=") else apart & ~same


@dataclass(frozen=True)
class Constraints:
    """Rules for rows (N, C) of a table as it is stored, `words` as they were written.

    `seen` holds the places of columns with the combinations of values that training rows have.
    """

    words: str
    columns: Sequence[Mapping[str, Any]]
    comparisons: tuple[Comparison, ...] = ()
    unique: tuple[tuple[int, ...], ...] = ()
    seen: tuple[tuple[tuple[int, ...], frozenset[tuple[float, ...]]], ...] = ()

    def made(self, x: Tensor) -> Tensor:
        """Return rows with the columns that an equation gives computed from the others, in double precision."""
        for rule in self.comparisons:
            j = self._computed(rule)
            if j is None:
                continue
            x, facts = x.double(), self.columns[j]
            found = rule.value(self._values(x))
            here = ~np.isnan(found) & ~torch.isnan(x[:, j]).numpy()
            here &= found > 0 if facts["type"] == "positive" else True
            stored = torch.from_numpy(cols.store(np.where(here, found, np.nan), facts, np.float64))
            x[:, j] = torch.where(torch.from_numpy(here), stored, x[:, j])
        return x

    def met(self, x: Tensor) -> np.ndarray:
        """Whether rows meet the rules, but for keys that are to be unique, (N,)."""
        values, ok = self._values(x), np.ones(len(x), dtype=bool)
        for rule in self.comparisons:
            ok &= rule.met(values)
            j = self._computed(rule)
            if j is not None:
                low, high = ranges_of(self.columns)[j]
                within = compared(values[j], ">=", low) & compared(values[j], "<=", high)
                ok &= np.isnan(values[j]) | within
        for places, known in self.seen:
            rows = np.stack([values[j] for j in places], 1)
            ok &= np.array([np.isnan(row).any() or tuple(row.tolist()) in known for row in rows], dtype=bool)
        return ok

    def _computed(self, rule: Comparison) -> int | None:
        """Return the place of the number that an equation with other columns gives."""
        j = rule.computed
        other = (rule.left.columns | rule.right.columns) - {j}
        return j if j is not None and other and self.columns[j]["type"] not in cols.CHOICE else None

    def first_of_key(self, x: Tensor, keys: list[set[tuple[float, ...]]]) -> np.ndarray:
        """Whether no row before has the keys of a row, (N,); `keys` holds those so far, and takes these up."""
        values, ok = self._values(x), np.ones(len(x), dtype=bool)
        each = [np.stack([values[j] for j in places], 1).tolist() for places in self.unique]
        for i in range(len(x)):
            own = [tuple(rows[i]) for rows in each]
            ok[i] = not any(key in known and not any(map(math.isnan, key)) for key, known in zip(own, keys))
            if ok[i]:
                for key, known in zip(own, keys):
                    known.add(key)
        return ok

    def _values(self, x: Tensor) -> dict[int, np.ndarray]:
        """Return the columns that rules speak of as they are written."""
        places = {j for rule in self.comparisons for j in rule.left.columns | rule.right.columns}
        places |= {j for key in (*self.unique, *(key for key, _ in self.seen)) for j in key}
        return {j: written(x[:, j].double().numpy(), self.columns[j]) for j in places}


def written(stored: np.ndarray, facts: Mapping[str, Any]) -> np.ndarray:
    """Return stored values in the column's own units as they are written: rounded, numbers of levels; NaN: missing."""
    known = ~np.isnan(stored)
    values = cols.restore(np.where(known, stored, 0.0), facts)
    if facts["type"] in cols.CHOICE:
        numbers = _numbers(facts)
        values = values if numbers is None else np.array(numbers)[values.astype(int)]
    elif facts["type"] == "date":
        values = np.round(values * 86400) / 86400 if has_time(facts["format"]) else np.round(values)
    elif facts.get("decimals") is not None or facts["type"] == "count":
        values = np.round(values, facts.get("decimals", 0))
    else:
        values = np.array([float(f"{v:.6g}") for v in values])
    return np.where(known, values, np.nan)


def ranges_of(columns: Sequence[Mapping[str, Any]]) -> dict[int, Range]:
    """Return the least and greatest value that samples of each column can have."""
    out: dict[int, Range] = {}
    for j, facts in enumerate(columns):
        if facts["type"] in cols.CHOICE:
            numbers = _numbers(facts) or range(len(facts["levels"]))
            out[j] = float(min(numbers)), float(max(numbers))
        elif facts.get("curve"):
            ends = written(np.array([facts["curve"]["low"], facts["curve"]["high"]]), facts)
            out[j] = float(ends[0]), float(ends[1])
        else:
            out[j] = (0.0 if facts["type"] in ("positive", "count") else -math.inf), math.inf
    return out


def _numbers(facts: Mapping[str, Any]) -> list[float] | None:
    """Return the levels of a choice as numbers, where all are."""
    found = [cols.number_of(level) for level in facts["levels"]]
    return None if None in found else [number or 0.0 for number in found]


# -- reading rules -----------------------------------------------------------------------------------------------------


def read_constraints(
    rules: Sequence[str],
    columns: Sequence[Mapping[str, Any]],
    n: int,
    training: Callable[[], Tensor] | None = None,
    table: str = "this table",
) -> Constraints:
    """Read rules for `n` rows of columns; `training` gives the training rows as stored, for combinations seen there.

    Raises:
        UserError: a rule is misspelt or speaks of what the columns have not, or no row can meet it.

    >>> columns = [{"name": "a", "type": "numeric", "mean": 0.0, "sd": 1.0, "decimals": 1}] * 2
    >>> columns[1] = columns[1] | {"name": "b"}
    >>> read_constraints(["a <= b"], columns, 5).met(torch.tensor([[1.0, 2.0], [2.0, 1.0]])).tolist()
    [True, False]
    """
    comparisons, unique, seen = list[Comparison](), list[tuple[int, ...]](), []
    ranges = ranges_of(columns)
    for rule in rules:
        kind, found = _Reader(rule, columns, table).rule()
        if kind == "unique":
            _check_keys(rule, [columns[j] for j in found], n)
            unique.append(found)
        elif kind == "seen":
            if training is None:
                raise UserError(f"the rule '{rule}' needs the run's training rows, which were not found")
            rows = training().double().numpy()
            known = np.stack([written(rows[:, j], columns[j]) for j in found], 1)
            seen.append((found, frozenset(tuple(row) for row in known.tolist())))
        else:
            for one in found:
                _check_possible(rule, one, columns, ranges)
            comparisons += found
    return Constraints(", ".join(rules), columns, tuple(comparisons), tuple(unique), tuple(seen))


def _check_possible(
    rule: str, one: Comparison, columns: Sequence[Mapping[str, Any]], ranges: Mapping[int, Range]
) -> None:
    """Refuse a rule that no row can meet, by the ranges of its columns; or that asks for a number of a density."""
    if not one.possible(ranges):
        (a, b), (c, d) = one.left.range(ranges), one.right.range(ranges)
        sides = f"{_brief(a)} to {_brief(b)} on the left and {_brief(c)} to {_brief(d)} on the right"
        raise UserError(f"no row can meet the rule '{rule}': values go from {sides}; correct it or leave it out")
    places = one.left.columns | one.right.columns
    real = [columns[j] for j in places if columns[j]["type"] in cols.REAL and not _is_whole(columns[j])]
    if one.sign == "==" and real and (one.computed is None or len(places) == 1):
        name = real[0]["name"]
        fix = f"ask for a value by where={name}=…" if len(places) == 1 else "write one column alone on a side"
        raise UserError(f"the rule '{rule}' has probability 0, as '{name}' is a real number; {fix}")


def _is_whole(facts: Mapping[str, Any]) -> bool:
    return bool((facts.get("curve") or {}).get("step"))


def _brief(value: float) -> str:
    return f"{value:.10g}"


def _check_keys(rule: str, columns: Sequence[Mapping[str, Any]], n: int) -> None:
    """Refuse keys of which there are fewer than rows asked for."""
    most = 1.0
    for facts in columns:
        if facts["type"] in cols.CHOICE:
            most *= len(facts["levels"])
        elif _is_whole(facts):
            low, high = ranges_of([facts])[0]
            most *= high - low + 1
        else:
            return
    if most < n:
        raise UserError(f"no {n} rows can meet the rule '{rule}': there are {most:.0f} different keys; ask for fewer")


class _Reader:
    """Reads one rule by recursive descent."""

    def __init__(self, rule: str, columns: Sequence[Mapping[str, Any]], table: str) -> None:
        self.rule_text, self.columns, self.table = rule, columns, table
        self.places = {str(facts["name"]): j for j, facts in enumerate(columns) if not facts.get("gap_of")}
        self.tokens: list[tuple[str, str]] = []
        at, self.next, self.depth = 0, 0, 0
        while rule[at:].strip():
            found = TOKEN.match(rule, at)
            if found is None:
                raise self.wrong(f"'{rule[at:].strip()[:10]}' cannot be read")
            kind = found.lastgroup or ""
            kinds = {"text2": "text", "quoted": "name"}
            sign = "==" if found[kind] == "=" and kind == "sign" else found[kind]
            self.tokens.append((kinds.get(kind, kind), sign))
            at = found.end()

    def wrong(self, why: str) -> UserError:
        return UserError(
            f"the rule '{self.rule_text}' is wrong: {why}; write a <= b, a + b == c, unique(id) or seen(city, zip)"
        )

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.next] if self.next < len(self.tokens) else ("end", "its end")

    def take(self, *signs: str) -> str | None:
        """Return the next sign if it is one of these, and go on behind it."""
        kind, text = self.peek()
        if kind != "sign" or text not in signs:
            return None
        self.next += 1
        return text

    def expect(self, sign: str) -> None:
        if self.take(sign) is None:
            raise self.wrong(f"'{sign}' is missing before {self.peek()[1]}")

    def rule(self) -> tuple[str, Any]:
        """Return "comparison" with comparisons, or "unique" or "seen" with places of columns."""
        calls = len(self.tokens) > 1 and self.tokens[0][0] == "name" and self.tokens[1] == ("sign", "(")
        if calls:
            name = self.tokens[0][1]
            if name not in ("unique", "seen"):
                raise self.wrong(f"there is no '{name}(…)'")
            self.next = 2
            places = [self.column()]
            while self.take(","):
                places.append(self.column())
            self.expect(")")
            self.end()
            return name, tuple(places)
        sides, signs = [self.sum()], list[str]()
        while sign := self.take(*COMPARISONS):
            signs.append(sign)
            sides.append(self.sum())
        self.end()
        if not signs:
            raise self.wrong("it compares nothing")
        return "comparison", [self.compared(a, s, b) for a, s, b in zip(sides, signs, sides[1:])]

    def end(self) -> None:
        if self.peek()[0] != "end":
            raise self.wrong(f"'{self.peek()[1]}' is not understood there")

    def column(self) -> int:
        kind, name = self.peek()
        if kind != "name":
            raise self.wrong(f"a column is missing before {name}")
        self.next += 1
        if name not in self.places:
            near = difflib.get_close_matches(name, self.places, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {few(list(self.places))}"
            raise UserError(f"the rule '{self.rule_text}' names '{name}', which {self.table} has not; {hint}")
        return self.places[name]

    def sum(self) -> Expression:
        made = self.product()
        while sign := self.take("+", "-"):
            made = Expression(sign, (self.number(made), self.number(self.product())))
        return made

    def product(self) -> Expression:
        made = self.factor()
        while sign := self.take("*", "/"):
            made = Expression(sign, (self.number(made), self.number(self.factor())))
        return made

    def factor(self) -> Expression:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.wrong("its brackets and signs are too deep")
        kind, text = self.peek()
        if self.take("-"):
            made = Expression("neg", (self.number(self.factor()),))
        elif self.take("("):
            made = self.sum()
            self.expect(")")
        elif kind == "number":
            self.next += 1
            made = Expression("number", value=float(text))
        elif kind == "text":
            self.next += 1
            made = Expression("text", text=text)
        else:
            made = Expression("column", column=self.column())
        self.depth -= 1
        return made

    def facts(self, one: Expression) -> Mapping[str, Any] | None:
        return self.columns[one.column] if one.op == "column" else None

    def number(self, one: Expression) -> Expression:
        """Return what is to be a number; a UserError where it is words."""
        facts = self.facts(one)
        if one.op == "text" or (facts is not None and facts["type"] in cols.CHOICE and _numbers(facts) is None):
            name = f"'{one.text}'" if facts is None else f"'{facts['name']}'"
            raise self.wrong(f"{name} is no number")
        return one

    def compared(self, left: Expression, sign: str, right: Expression) -> Comparison:
        """Return a comparison, with texts read as the column beside them is."""
        if left.op == "text" or right.op == "text":
            facts = self.facts(right if left.op == "text" else left)
            if facts is None:
                raise self.wrong("a text in quotes stands beside a column")
            left, right = (self.read(one, facts) if one.op == "text" else one for one in (left, right))
            self.check_order([facts], sign)
            return Comparison(left, sign, right)
        both = [self.facts(left), self.facts(right)]
        words = [f for f in both if f is not None and f["type"] in cols.CHOICE and _numbers(f) is None]
        if not words:
            return Comparison(left, sign, right)
        if len(words) < 2 or words[0]["levels"] != words[1]["levels"]:
            raise self.wrong(f"'{words[0]['name']}' holds words, which compare with words in quotes or the same levels")
        self.check_order(words, sign)
        return Comparison(left, sign, right)

    def check_order(self, facts: Sequence[Mapping[str, Any]], sign: str) -> None:
        for one in facts:
            if one["type"] in ("categorical", "boolean") and _numbers(one) is None and sign not in ("==", "!="):
                raise self.wrong(f"'{one['name']}' has no order; compare it by == or !=")

    def read(self, one: Expression, facts: Mapping[str, Any]) -> Expression:
        value = cols.value_of(one.text, facts)
        if value is None:
            known = f"one of {few(facts['levels'])}" if facts["type"] in cols.CHOICE else f"a {facts['type']}"
            raise self.wrong(f"'{facts['name']}' is {known}, not '{one.text}'")
        numbers = _numbers(facts) if facts["type"] in cols.CHOICE else None
        return Expression("number", value=value if numbers is None else numbers[int(value)])
