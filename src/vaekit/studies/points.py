"""A study's points, settings that are trained together, and its trials: a point with a seed."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vaekit.errors import UserError
from vaekit.recipes.base import RECIPES
from vaekit.recipes.settings import Nested
from vaekit.runs.data import default_source
from vaekit.studies.definition import Definition, Range, Search


@dataclass(frozen=True)
class Point:
    """What is trained: recipe, data and settings; `name` is a file's, `at` where it lies in the study, by axis."""

    name: str
    recipe: str
    data: str | None
    settings: Mapping[str, Any]
    at: Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """A point trained with one seed; its name is that of its run's folder."""

    point: Point
    seed: int

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.point.name}-{self.seed}"


ARM = "arm"
"""Name of the axis of a study's arms."""


def fixed_points(study: Definition) -> list[Point]:
    """Return the points that are known beforehand: arms and grid in the order they are written, or random draws.

    A search by TPE has none; the point in the middle of its space stands for them where settings are checked and times
    measured.
    """
    search = study.search
    if search is None:
        return _grid(study)
    if search.by == "random":
        return [searched_point(study, number, _drawn(search, number)) for number in range(search.trials)]
    return [searched_point(study, 0, {name: _middle(values) for name, values in search.space.items()})]


def _drawn(search: Search, number: int) -> dict[str, Any]:
    """Return the random draw of this number, always the same."""
    source = random.Random(f"point {number}")
    return {name: _draw(values, source) for name, values in search.space.items()}


def _draw(values: Range | list[Any], source: random.Random) -> Any:
    if not isinstance(values, Range):
        return source.choice(values)
    if values.whole and not values.log:
        return source.randint(int(values.low), int(values.high))
    low, high = (math.log(end) if values.log else end for end in (values.low, values.high))
    value = source.uniform(low, high)
    value = math.exp(value) if values.log else value
    return round(value) if values.whole else float(f"{value:.6g}")


def _middle(values: Range | list[Any]) -> Any:
    if not isinstance(values, Range):
        return values[0]
    middle = math.sqrt(values.low * values.high) if values.log else (values.low + values.high) / 2
    return round(middle) if values.whole else middle


def _grid(study: Definition) -> list[Point]:
    arms: dict[Any, Any] = dict(study.arms) or {None: None}
    points = []
    for (label, arm), values in itertools.product(arms.items(), itertools.product(*study.grid.values())):
        chosen = dict(zip(study.grid, values, strict=True))
        at = ({ARM: label} if label is not None else {}) | chosen
        recipe, data, own = (study.recipe, study.data, {}) if arm is None else (arm.recipe, arm.data, arm.settings)
        settings = {**study.settings, **own, **chosen}
        points.append(Point(slug(at), recipe or study.recipe, data or study.data, settings, at))
    named: dict[str, int] = {}
    for i, point in enumerate(points):
        count = named[point.name] = named.get(point.name, 0) + 1
        if count > 1:
            points[i] = Point(f"{point.name}~{count}", point.recipe, point.data, point.settings, point.at)
    return points


def searched_point(study: Definition, number: int, drawn: Mapping[str, Any]) -> Point:
    """Return the point of a search's trial."""
    return Point(f"{number:04d}", study.recipe, study.data, {**study.settings, **drawn}, dict(drawn))


def slug(at: Mapping[str, Any]) -> str:
    """Return a name for a point that is a file's on every system.

    >>> slug({"arm": "free bits", "objective.beta": 0.5})
    'free_bits.beta=0.5'
    """
    words = [str(value) if name == ARM else f"{name.rpartition('.')[2]}={_plain(value)}" for name, value in at.items()]
    return re.sub(r"[^\w=.,+~-]+", "_", ".".join(words)).strip("_.")[:80] or "point"


def shown(value: Any) -> str:
    """Return a setting's value as it is read.

    >>> shown(0.00012345), shown([512, 256]), shown("mlp")
    ('0.0001234', '512,256', 'mlp')
    """
    return f"{value:.4g}" if isinstance(value, float) else _plain(value)


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def trials_of(points: list[Point], seeds: list[int]) -> list[Trial]:
    """Return the trials, every point with the first seed before any with the second."""
    return [Trial(point, seed) for seed in seeds for point in points]


def nested(settings: Mapping[str, Any]) -> Nested:
    """Return settings by section, {"objective": {"beta": 4}}."""
    out: Nested = {}
    for name, value in settings.items():
        section, dot, rest = name.partition(".")
        if not dot:
            raise UserError(f"the setting '{name}' has no section; write section.name, e.g. objective.beta")
        out.setdefault(section, {})[rest] = value
    return out


def check_settings(study: Definition, points: list[Point]) -> None:
    """Raise a UserError, before anything is trained, for a recipe or setting that is not known."""
    for point in points:
        try:
            given = nested({name: value for name, value in point.settings.items() if not is_share(name, value)})
            RECIPES[point.recipe].part.settings(given)
        except UserError as error:
            raise UserError(f"the study '{study.name}', {point.name}: {error}") from None
        own = [name for name in ("train.seed", "train.device", "train.shard") if name in point.settings]
        if own:
            raise UserError(f"the study '{study.name}' sets {own[0]}, which the study itself decides; leave it out")


def is_share(name: str, value: Any) -> bool:
    """Return whether a setting is a share of the training examples, "25%", which has no number before data are read."""
    return name == "data.limit" and isinstance(value, str) and value.endswith("%")


def source_of(point: Point) -> str:
    """Return the name or path of a point's data."""
    return point.data or default_source(point.recipe)
