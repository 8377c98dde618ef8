"""The numbers of a study, by point and seed, as its table, figures and findings read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vaekit.metrics.base import meanings
from vaekit.report.content import Number
from vaekit.studies.definition import Definition
from vaekit.studies.points import ARM, Point, shown
from vaekit.studies.statistics import Comparison, Mean, compare, mean_over
from vaekit.studies.storage import Outcome

Values = Callable[[str], Mapping[str, Any]]
"""values(trial): the value of each test example, by number."""
FACTS = {"parameters": "", "seconds": "s", "steps": ""}
"""Facts of training that may be named among a study's numbers, with their units."""


@dataclass(frozen=True)
class Results:
    """What a study's trials gave."""

    study: Definition
    points: Sequence[Point]
    outcomes: Mapping[str, Outcome]
    values: Values

    @cached_property
    def _kept(self) -> dict[str, Mapping[str, Any]]:
        return {name: self.values(name) for name, one in self.outcomes.items() if one.status == "done"}

    @cached_property
    def _meanings(self) -> Mapping[str, tuple[str, bool | None]]:
        return meanings()

    @cached_property
    def numbers(self) -> list[str]:
        """Names of the numbers that are shown: the study's own choice, else all that some trial has."""
        every = dict.fromkeys(name for one in self.outcomes.values() for name in one.numbers)
        chosen = self.study.numbers or every
        return [name for name in chosen if name in every or (name in FACTS and self.done)]

    @property
    def done(self) -> list[Outcome]:
        """The trials that have numbers."""
        return [one for one in self.outcomes.values() if one.status == "done"]

    def lost(self, status: str) -> list[Outcome]:
        """The trials that have none: "failed" or "pruned"."""
        return [one for one in self.outcomes.values() if one.status == status]

    @cached_property
    def _by_point(self) -> dict[str, list[Outcome]]:
        out: dict[str, list[Outcome]] = {}
        for one in self.done:
            out.setdefault(one.point, []).append(one)
        return out

    def at(self, point: Point, name: str) -> dict[int, Number]:
        """Return a point's number of each seed."""
        return {one.seed: self._number(one, name) for one in self._by_point.get(point.name, ())}

    def mean(self, point: Point, name: str) -> Mean | None:
        """Return the mean of a point's number over seeds, None where no seed has one."""
        return mean_over(self.at(point, name))

    def compared(self, a: Point, b: Point, name: str) -> Comparison:
        """Return by how much the number of b is above that of a."""
        return compare(self.at(a, name), self.at(b, name))

    def better(self, name: str) -> bool | None:
        """Return whether higher is better; None where neither is."""
        return self._meanings.get(name, ("", None))[1]

    def meaning(self, name: str) -> str:
        """Return what a number means, in a sentence."""
        return self._meanings.get(name, ("", None))[0]

    def unit(self, name: str) -> str:
        """Return a number's unit."""
        found = (one.numbers[name]["unit"] for one in self.done if one.numbers.get(name, {}).get("unit"))
        return FACTS.get(name) or next(found, "")

    def words(self, name: str) -> str:
        """Return the words for a number: the study's own, with its name beside them if it is another; or its name."""
        own = self.study.numbers.get(name, "")
        return f"{own} ({name})" if own and own.lower() != name else own or name

    def the(self, name: str, with_unit: bool = False) -> str:
        """Return the words for a number in a sentence, with its unit if asked for."""
        own, unit = self.study.numbers.get(name, ""), self.unit(name) if with_unit else ""
        beside = ", ".join(filter(None, ("" if own.lower() == name or not own else name, unit)))
        return f"{f'the {own}' if own else name}{f' ({beside})' if beside else ''}"

    def _number(self, outcome: Outcome, name: str) -> Number:
        if name in FACTS:
            of = {"data": str(outcome.facts.get("data"))}
            return Number(name, float(outcome.facts[name]), unit=FACTS[name], of=of)
        entry = outcome.numbers.get(name)
        if entry is None:
            return Number(name, None, note=_left_out(outcome))
        values = self._kept.get(outcome.trial, {}).get(name)
        each = None if values is None else [float(value) for value in values]
        return Number.of_entry(name, entry, higher_is_better=self.better(name), values=each)

    @cached_property
    def axes(self) -> dict[str, list[Any]]:
        """The values along each axis of the study, the main axis first: the grid's first setting, else the arms."""
        names = [*self.study.grid, *([ARM] if self.study.arms else [])]
        out: dict[str, list[Any]] = {name: [] for name in names}
        for name, values in out.items():
            for point in self.points:
                values += [] if point.at[name] in values else [point.at[name]]
        return out

    def groups(self) -> dict[str, list[Point]]:
        """Return the points along the main axis, for each value of the others, by their words."""
        main = next(iter(self.axes), None)
        out: dict[str, list[Point]] = {}
        for point in self.points:
            others = {name: value for name, value in point.at.items() if name != main}
            out.setdefault(self.place(others), []).append(point)
        return out

    def place(self, at: Mapping[str, Any]) -> str:
        """Return words for where a point lies, e.g. "mlp, β = 4"."""
        return ", ".join(str(v) if name == ARM else f"{self.study.label(name)} = {shown(v)}" for name, v in at.items())


def _left_out(outcome: Outcome) -> str:
    return next(iter(outcome.left_out.values()), "")
