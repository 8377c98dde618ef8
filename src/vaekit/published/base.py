"""What a published table is: figures with their sources, a protocol, budgets, and the few lines that measure ours."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from vaekit.errors import UserError
from vaekit.registry import Registry
from vaekit.studies.statistics import half_width

BUDGETS = ("smoke", "hour", "full")
"""`smoke` takes at most five CPU minutes, `hour` about one hour, `full` is the published protocol."""
TAGS = {
    "C": "read in the paper or its authors' code",
    "S": "as another paper or repository quotes it",
    "R": "another's rerun",
    "H": "measured here with other software",
    "T": "a theorem, computed from the same data",
    "M": "unconfirmed",
}
"""How well a figure is known. An unconfirmed one is shown and never held to."""


@dataclass(frozen=True)
class Figure:
    """A published figure: its value, how well it is known, and its own ± where it has one. No value: ours alone."""

    value: float | None = None
    tag: str = ""
    spread: float | None = None


OURS = Figure()
"""A row that nobody else has published."""


@dataclass(frozen=True)
class Budget:
    """How much of the protocol is run.

    Attributes:
        terms: what the definition is told, seeds among it.
        differs: what is then not as the protocol has it, a sentence.
        gates: rows that can be held to at this budget; "all" are those whose figure is confirmed.
    """

    terms: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    differs: str = ""
    gates: Sequence[str] | Literal["all"] = ()


@dataclass(frozen=True)
class Measured:
    """Our figure: its value for each seed (split, mask), its standard error over test examples, and the reference
    where that is computed from the same data.

    >>> Measured((1.0, 2.0, 3.0)).value, Measured((1.0, 2.0, 3.0)).half
    (2.0, 2.484...)
    """

    each: tuple[float, ...]
    stderr: float | None = None
    theirs: float | None = None

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return statistics.fmean(self.each)

    @property
    def half(self) -> float | None:
        """Half the 95% interval over seeds, None of a single one."""
        return half_width(self.each)


@dataclass(frozen=True)
class Attempt:
    """One table measured at one budget: `data` in place of the table's own, `folder` for runs, device and jobs."""

    terms: Mapping[str, Any]
    data: str
    folder: Path
    device: str = "auto"
    jobs: int = 1

    @property
    def seeds(self) -> list[int]:
        """The training seeds."""
        return list(self.terms.get("seeds", [0]))


Measure = Callable[[Attempt], Iterator[tuple[str, Measured]]]
"""Yields our figure of each row."""


@dataclass(frozen=True)
class Table:
    """A published table.

    Attributes:
        name, title: as it is asked for, and what it is.
        source: whose figures these are, and where they were read.
        protocol: how they were measured, as exactly as it is known.
        data: the data it is of: a known set, or a path.
        unit: the figures' unit.
        rows: their figures by row.
        budgets: by name.
        measure: what measures ours.
        tolerance: how much worse than theirs ours may be.
        lower: whether lower is better.
        exact: whether better than theirs by more than the tolerance is a fault too.
    """

    name: str
    title: str
    source: str
    protocol: str
    data: str
    unit: str
    rows: Mapping[str, Figure]
    budgets: Mapping[str, Budget]
    measure: Measure = field(repr=False)
    tolerance: float = 0.0
    lower: bool = True
    exact: bool = False

    def budget(self, name: str) -> Budget:
        """Return a budget by name, or say which there are."""
        if name not in self.budgets:
            raise UserError(f"{self.name} has no budget '{name}'; use {' or '.join(self.budgets)}")
        return self.budgets[name]

    def reference(self, row: str, ours: Measured | None) -> float | None:
        """Return the figure that a row is compared with."""
        return self.rows[row].value if ours is None or ours.theirs is None else ours.theirs

    def verdict(self, row: str, ours: Measured, budget: str) -> Verdict:
        """Return what the difference amounts to."""
        theirs, gates = self.reference(row, ours), self.budgets[budget].gates
        if theirs is None:
            return "ours alone"
        if self.rows[row].tag == "M":
            return "unconfirmed"
        if gates != "all" and row not in gates:
            return "not held to"
        worse = ours.value - theirs if self.lower else theirs - ours.value
        return "reached" if worse <= self.tolerance and not (self.exact and -worse > self.tolerance) else "missed"


Verdict = Literal["ours alone", "unconfirmed", "not held to", "reached", "missed"]

TABLES: Registry[Table] = Registry("table", package="vaekit.published.tables")


def published(name: str, **facts: Any) -> Callable[[Measure], Table]:
    """Return what registers a table with the function that measures it; `facts` are the table's fields."""

    def add(measure: Measure) -> Table:
        table = Table(name=name, measure=measure, **facts)
        strange = [b for b in table.budgets if b not in BUDGETS] + [
            row for b in table.budgets.values() if b.gates != "all" for row in b.gates if row not in table.rows
        ]
        if strange:
            raise ValueError(f"the table '{name}' has no budget or row {', '.join(strange)}")
        return TABLES.register(name, summary=table.title, reference=table.source)(table)

    return add
