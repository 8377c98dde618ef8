"""Tables that are a study: arms trained with the same seeds, and one or a few numbers of each."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from vaekit.errors import UserError
from vaekit.published.base import Attempt, Measure, Measured
from vaekit.studies.points import ARM
from vaekit.studies.storage import STATE, Outcome
from vaekit.studies.study import study


def by_study(
    numbers: str | Mapping[str, str],
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    differences: Mapping[str, tuple[str, str]] | None = None,
    **definition: Any,
) -> Measure:
    """Return what measures a table by a study: a row an arm, offset + scale · number.

    `numbers` is one number, or several with the words that follow the arm's name in a row's, "VAE, MIG".
    `differences` are further rows, the first arm's value less the second's, seed by seed. A budget's terms are the
    study's keys; its settings are laid over the definition's, and over each arm's.
    """
    words = {numbers: ""} if isinstance(numbers, str) else numbers

    def measure(at: Attempt) -> Iterator[tuple[str, Measured]]:
        terms = dict(at.terms)
        more = terms.pop("settings", {})
        arms = {
            label: arm | {"settings": {**arm.get("settings", {}), **more}} for label, arm in definition["arms"].items()
        }
        made = {"seeds": [0], "name": "table", **definition, **terms, "arms": arms}
        done = study(made, at.data, out=at.folder, resume=True, device=at.device, jobs=at.jobs)
        for why in done.failed.values():
            shutil.rmtree(at.folder / STATE)  # tried again next time; runs that are there are only evaluated again
            raise UserError(why)
        found: dict[str, Measured] = {}
        for number, word in words.items():
            for label in arms:
                trials = sorted(
                    (one for one in done.outcomes.values() if one.at[ARM] == label), key=lambda one: one.seed
                )
                row = f"{label}, {word}" if word else label
                found[row] = _measured(trials, number, scale, offset)
        for row, (a, b) in (differences or {}).items():
            found[row] = Measured(tuple(x - y for x, y in zip(found[a].each, found[b].each, strict=True)))
        yield from found.items()

    return measure


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
