"""The content of a report, as plain values."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vaekit.report.verdict import Verdict


@dataclass(frozen=True)
class Figure:
    """A picture: a PNG file or its bytes, its title, what it shows, and the section of the report that it is in.

    A chart is read, and keeps the size of its letters; what is no chart is looked at, and shrinks to a phone's width.
    """

    file: Path | bytes
    title: str
    caption: str = ""
    section: str = "Figures"
    chart: bool = True


@dataclass(frozen=True)
class Sound:
    """A WAV file to be played, its title, and what it is."""

    file: Path
    title: str
    caption: str = ""


@dataclass(frozen=True)
class Lines:
    """Examples that are read, not looked at: lines of text, their title, and what they are."""

    lines: Sequence[str]
    title: str
    caption: str = ""


@dataclass(frozen=True)
class Rows:
    """Rows of a table, their columns' names, their title, and what they are.

    `paired`: every second row is made of the one before it, and cells in which it differs are marked.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str
    caption: str = ""
    paired: bool = False


@dataclass(frozen=True)
class Decoder:
    """A decoder that runs inside the page.

    Attributes:
        program: the list of calls, plain JSON, from a code (and a label, one-hot) to greys from 0 to 255.
        weights: its constants, at the offsets that the program names.
        codes: those of the examples on the map, float16, little-endian, one after another.
        facts: what the page must know of latents, examples and picture; plain JSON.
    """

    program: Mapping[str, Any]
    weights: bytes = field(repr=False)
    codes: bytes = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)


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
        of: what it is a number of, by aspect (data, quantity, measure, …): only numbers of the same are compared.
        values: the value of each example, of numbers that are means over examples.
        title: what a reader sees in place of the name.
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
    of: Mapping[str, str] = field(default_factory=dict)
    values: Sequence[float] | None = field(default=None, repr=False)
    title: str = ""

    @classmethod
    def of_entry(cls, name: str, entry: Mapping[str, Any], **more: Any) -> Number:
        """Return a number as evaluation.json has it, `entry`, with `more` of what it is.

        >>> Number.of_entry("elbo", {"value": None, "unit": "nats", "n": 0, "refused": "no bound"}).note
        'no bound'
        """
        interval = entry.get("interval")
        more["note"] = entry.get("refused") or more.get("note", "")
        return cls(
            name,
            entry["value"],
            entry.get("stderr"),
            None if interval is None else (interval[0], interval[1]),
            unit=entry["unit"],
            n=entry["n"],
            **{"of": entry.get("number_of", {})} | more,
        )

    @property
    def shown(self) -> str:
        """Its title, or its name."""
        return self.title or self.name

    @property
    def arrow(self) -> str:
        """An arrow towards better, "" where neither direction is."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

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
class Difference:
    """By how much one number is above another, its standard error, and whether it is of the same examples, paired."""

    value: float
    stderr: float | None
    paired: bool


def difference(a: Number, b: Number) -> Difference | None:
    """Return a − b: paired where both are means over the same examples, else with √(s_a² + s_b²).

    None where one has no value, or they are numbers of different things.

    >>> of = {"data": "x"}
    >>> a, b = (Number("elbo", m, 9.0, of=of, values=[m - 9, m + 9 + e]) for m, e in ((2.0, 0.5), (1.0, 0.0)))
    >>> difference(a, b)
    Difference(value=1.0, stderr=0.25, paired=True)
    """
    if a.value is None or b.value is None or not (math.isfinite(a.value) and math.isfinite(b.value)):
        return None
    if a.unit != b.unit or differing([a, b]):
        return None
    if a.values is not None and b.values is not None and len(a.values) == len(b.values) > 1:
        each = [x - y for x, y in zip(a.values, b.values, strict=True)]
        return Difference(a.value - b.value, statistics.stdev(each) / math.sqrt(len(each)), True)
    stderr = None if a.error is None or b.error is None else math.hypot(a.error, b.error)
    return Difference(a.value - b.value, stderr, False)


def differing(numbers: Sequence[Number]) -> dict[str, list[str]]:
    """Return the aspects in which numbers are of different things, each with every number's."""
    aspects = dict.fromkeys(aspect for number in numbers for aspect in number.of)
    rows = {aspect: [number.of.get(aspect, "not recorded") for number in numbers] for aspect in aspects}
    return {aspect: row for aspect, row in rows.items() if len(set(row)) > 1}


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
        facts: short facts by name (data, sizes, parameters, epochs, seconds).
        headline: the few numbers to read first.
        tables: further numbers, by title.
        warnings: problems of the run.
        figures: pictures, in order.
        lines: examples as text or as rows of a table, in order.
        sounds: examples to be heard, in order.
        command: the exact command that repeats the run.
        environment: versions and machine.
        settings: every setting, nested by part.
        verdict: what to think of the run, which comes first.
        changed: the settings that are not the recipe's defaults, by dotted name; None: not known, all are shown.
        decoder: the decoder, for sliders and a map inside the page.
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
    lines: Sequence[Lines | Rows] = ()
    sounds: Sequence[Sound] = ()
    verdict: Verdict | None = None
    changed: Mapping[str, str] | None = None
    decoder: Decoder | None = None

    def numbers(self) -> dict[str, Number]:
        """All numbers by name, the headline first; a name that comes twice keeps its first."""
        every = [*self.headline, *(n for _, numbers in self.tables for n in numbers)]
        by_name: dict[str, Number] = {}
        for number in every:
            by_name.setdefault(number.name, number)
        return by_name


@dataclass(frozen=True)
class StudyReport:
    """Everything a study's page shows.

    Attributes:
        title, question: what was studied.
        facts: short facts by name.
        findings: sentences, and whether the data support a difference.
        caution: what the intervals say.
        note: what a reader should know beside the numbers.
        figures: pictures, in order.
        head, rows: the table of points, its columns' titles and its cells.
        meanings: what each number means, by its name.
        problems: sentences on trials that have no numbers, and on metrics left out.
        definition: the study as a YAML file.
        command: what repeats it.
        environment: versions and machine.
    """

    title: str
    question: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    findings: Sequence[tuple[str, bool]] = ()
    caution: str = ""
    note: str = ""
    figures: Sequence[Figure] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    meanings: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()
    definition: str = ""
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
