"""The content of a report, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A picture: a PNG file or its bytes, its title, and what it shows."""

    file: Path | bytes
    title: str
    caption: str = ""


@dataclass(frozen=True)
class Lines:
    """Examples that are read, not looked at: lines of text, their title, and what they are."""

    lines: Sequence[str]
    title: str
    caption: str = ""


@dataclass(frozen=True)
class Number:
    """One reported number, or the reason it is refused.

    Attributes:
        name: as in the evaluation, e.g. `iw_bound`.
        value: None when there is none; `note` then says why.
        stderr: the standard error of `value`; 0 for a number that is exact.
        interval: a 95% interval (low, high), where that is what is known.
        unit: e.g. "nats/example".
        n: how many examples it comes from.
        meaning: one sentence for a reader who has not met it.
        note: a remark, e.g. the reason for a refusal.
        higher_is_better: None where neither direction is better.
    """

    name: str
    value: float | None
    stderr: float | None = None
    interval: tuple[float, float] | None = None
    unit: str = ""
    n: int | None = None
    meaning: str = ""
    note: str = ""
    higher_is_better: bool | None = None

    @property
    def error(self) -> float | None:
        """The standard error; from a 95% interval its half width / 1.96.

        >>> Number("elbo", -1.0, interval=(-1.196, -0.804)).error
        0.1
        """
        if self.stderr is not None and math.isfinite(self.stderr):
            return self.stderr
        if self.interval is not None:
            return round((self.interval[1] - self.interval[0]) / 2 / 1.96, 12)
        return None


@dataclass(frozen=True)
class Warning_:  # noqa: N801  (Warning is Python's own)
    """Something the reader should know about the run, and what to try."""

    title: str
    detail: str
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunReport:
    """Everything a run's page shows.

    Attributes:
        title: e.g. "vae on mnist".
        recipe: the recipe's name.
        reference: where the variant comes from.
        summary: what was trained on what, in a sentence or two.
        facts: short facts by name (data, sizes, parameters, epochs, seconds). `data` and `measure` are used by
        `compare`.
        headline: the few numbers to read first.
        tables: further numbers, by title.
        warnings: problems of the run.
        figures: pictures, in order.
        lines: examples as text, in order.
        command: the exact command that repeats the run.
        environment: versions and machine.
        settings: every setting, nested by part.
    """

    title: str
    recipe: str = ""
    reference: str = ""
    summary: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    headline: Sequence[Number] = ()
    tables: Sequence[tuple[str, Sequence[Number]]] = ()
    warnings: Sequence[Warning_] = ()
    figures: Sequence[Figure] = ()
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[Lines] = ()

    def numbers(self) -> dict[str, Number]:
        """All numbers by name, the headline first; a name that comes twice keeps its first."""
        every = [*self.headline, *(n for _, numbers in self.tables for n in numbers)]
        by_name: dict[str, Number] = {}
        for number in every:
            by_name.setdefault(number.name, number)
        return by_name
