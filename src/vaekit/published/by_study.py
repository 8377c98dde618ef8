"""Tables that are a study: arms trained with the same seeds, and one or a few numbers of each."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vaekit.errors import UserError
from vaekit.published.base import Attempt, Measured
from vaekit.studies.definition import Definition, definition
from vaekit.studies.points import ARM
from vaekit.studies.storage import STATE, Outcome
from vaekit.studies.study import study


@dataclass(frozen=True)
class ByStudy:
    """What measures a table by a study; see `by_study`."""

    words: Mapping[str, str]
    scale: float
    offset: float
    differences: Mapping[str, tuple[str, str]]
    keys: Mapping[str, Any]

    def study(self, terms: Mapping[str, Any]) -> Definition:
        """Return the study at a budget's terms."""
        more = terms.get("settings", {})
        arms = {
            label: arm | {"settings": {**arm.get("settings", {}), **more}} for label, arm in self.keys["arms"].items()
        }
        own = {key: value for key, value in terms.items() if key != "settings"}
        return definition({"seeds": [0], "name": "table", **self.keys, **own, "arms": arms})

    def row(self, arm: str, number: str) -> str:
        """Return the row of an arm's number."""
        return f"{arm}, {self.words[number]}" if self.words[number] else arm

    def __call__(self, at: Attempt) -> Iterator[tuple[str, Measured]]:
        """Run the study, or what is left of it, and yield the rows."""
        made = self.study(at.terms)
        done = study(made, at.data, out=at.folder, resume=True, device=at.device, jobs=at.jobs)
        for why in done.failed.values():
            shutil.rmtree(at.folder / STATE)  # tried again next time; runs that are there are only evaluated again
            raise UserError(why)
        found: dict[str, Measured] = {}
        for number in self.words:
            for arm in made.arms:
                trials = [one for one in done.outcomes.values() if one.at[ARM] == arm]
                trials.sort(key=lambda one: one.seed)
                found[self.row(arm, number)] = _measured(trials, number, self.scale, self.offset)
        for row, (a, b) in self.differences.items():
            found[row] = Measured(tuple(x - y for x, y in zip(found[a].each, found[b].each, strict=True)))
        yield from found.items()


def by_study(
    numbers: str | Mapping[str, str],
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    differences: Mapping[str, tuple[str, str]] | None = None,
    **keys: Any,
) -> ByStudy:
    """Return what measures a table by a study: a row an arm, offset + scale · number.

    `numbers` is one number, or several with the words that follow the arm's name in a row's, "VAE, MIG".
    `differences` are further rows, the first arm's value less the second's, seed by seed. `keys` are the study's, arms
    among them. A budget's terms are keys of the study too; its settings are laid over each arm's.
    """
    words = {numbers: ""} if isinstance(numbers, str) else numbers
    return ByStudy(words, scale, offset, differences or {}, keys)


def _measured(trials: list[Outcome], number: str, scale: float, offset: float) -> Measured:
    each, errors = [], []
    for one in trials:
        entry = one.numbers.get(number, {})
        if entry.get("value") is None:
            raise UserError(f"{one.point} has no {number}: {entry.get('refused') or one.left_out}")
        each.append(offset + scale * entry["value"])
        errors += [abs(scale) * entry["stderr"]] if entry.get("stderr") else []
    # The test examples are the same for every seed, so their error does not shrink with the seeds.
    return Measured(tuple(each), statistics.fmean(errors) if errors else None)
