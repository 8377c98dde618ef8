"""What a study is: a base, the settings that vary, seeds and metrics, as one small YAML file declares them."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from vaekit.errors import UserError


def _as_mapping(value: Any) -> Any:
    return dict.fromkeys(value, "") if isinstance(value, list) else value


def _seeds(value: Any) -> Any:
    return list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value


class Part(BaseModel):
    """Base of a study's sections: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Arm(Part):
    """One variant of a study that is more than a setting's value: what it changes of the base."""

    recipe: str | None = None
    data: str | None = None
    settings: dict[str, Any] = {}


class Range(Part):
    """An interval of numbers that a search draws from."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @model_validator(mode="after")
    def _order(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, not {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range begins above 0, not at {self.low:g}")
        return self


class Search(Part):
    """Points drawn from a space: at random, or where earlier ones were good (TPE)."""

    space: dict[str, Range | list[Any]] = Field(min_length=1)
    trials: PositiveInt = 20
    by: Literal["random", "tpe"] = "tpe"
    goals: dict[str, Literal["maximise", "minimise"]] = Field(default={"elbo": "maximise"}, min_length=1)
    prune: bool = False

    @model_validator(mode="after")
    def _prunes_by_the_elbo(self) -> Search:
        if self.prune and self.goals != {"elbo": "maximise"}:
            raise ValueError("prune compares held-out ELBOs during training, so the only goal must be elbo: maximise")
        if self.prune and self.by != "tpe":
            raise ValueError("prune needs by: tpe")
        return self


class Definition(Part):
    """A study. Points are the arms crossed with the grid, or what the search draws; each is trained with every seed.

    Attributes:
        name: its name.
        question: what it asks, one sentence.
        recipe, data, settings: the base of every point; settings by their names, "objective.beta".
        arms: variants by name, where one setting's value is not all that differs.
        grid: values by setting.
        search: a space to draw points from, in place of the grid.
        metrics: metrics or groups of them, as 'vaekit evaluate --metrics' takes them, or FILE.py:FUNCTION.
        numbers: the numbers that the table, the figures and the findings show, with the words for them; all by default.
        labels: words for settings, e.g. {"objective.beta": "β"}.
        planes: pairs of numbers to draw against each other.
        baseline: the arm that others are compared with; default the first.
        seeds: how many, or which.
        resplit: whether every seed has a split of its own (data.seed), and with it other shown labels.
        k: importance samples of an example. limit: test examples that are evaluated.
        options: settings of single metrics.
        note: what a reader should know beside the numbers.
    """

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")
    question: str = ""
    recipe: str = "vae"
    data: str | None = None
    settings: dict[str, Any] = {}
    arms: dict[str, Arm] = {}
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    search: Search | None = None
    metrics: list[str] = Field(default=["elbo"], min_length=1)
    numbers: Annotated[dict[str, str], BeforeValidator(_as_mapping)] = {}
    labels: dict[str, str] = {}
    planes: list[tuple[str, str]] = []
    baseline: str | None = None
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_seeds), Field(min_length=1)] = [0, 1, 2]
    resplit: bool = False
    k: PositiveInt = 100
    limit: PositiveInt = 1000
    options: dict[str, Any] = {}
    note: str = ""

    @model_validator(mode="after")
    def _varies(self) -> Definition:
        if self.search is not None and (self.grid or self.arms):
            raise ValueError("a study has a search, or a grid and arms, not both")
        if self.search is None and not self.grid and not self.arms:
            raise ValueError("nothing varies: give a grid, arms or a search")
        if self.baseline is not None and self.baseline not in self.arms:
            raise ValueError(f"the baseline '{self.baseline}' is none of the arms {', '.join(self.arms)}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"the seeds {self.seeds} repeat")
        for setting, values in self.grid.items():
            if len({str(value) for value in values}) < len(values):
                raise ValueError(f"the values of {setting} repeat")
        return self

    def label(self, setting: str) -> str:
        """Return the words for a setting: its label, or its own name without the section."""
        return self.labels.get(setting, setting.rpartition(".")[2])

    @property
    def key(self) -> str:
        """Name and digest of what decides the numbers: by it a storage keeps studies apart."""
        own = self.model_dump(mode="json", include=DECIDES)
        digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.name} {digest}"


DECIDES = {"recipe", "data", "settings", "arms", "grid", "search", "metrics", "seeds", "resplit", "k", "limit"}
DECIDES |= {"options"}
"""Parts of a definition that a study that goes on must have as it began with them; the others are words."""


def known() -> dict[str, str]:
    """Return the built-in studies' questions by name.

    >>> known()["beta"]
    'How does β trade rate against distortion, and does it separate the factors?'
    """
    folder = files("vaekit.studies").joinpath("known")
    names = sorted(one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml"))
    return {name: definition(name).question for name in names}


def definition(what: str | Path | Mapping[str, Any] | Definition) -> Definition:
    """Return a study's definition: a built-in one by name, one in a YAML file, or one of plain values.

    Raises:
        UserError: there is no such study or file, or a key or value of it is wrong; the sentence names both.

    >>> definition({"name": "width", "grid": {"model.hidden": [64, 128]}}).seeds
    [0, 1, 2]
    """
    if isinstance(what, Definition):
        return what
    if isinstance(what, Mapping):
        return _checked(what, "the study")
    text = str(what)
    if text.endswith((".yaml", ".yml")):
        path = Path(text)
        if not path.is_file():
            raise UserError(f"there is no file {text}; a study is a YAML file, or one of {', '.join(names())}")
        return _of_file(path)
    if text not in names():
        near = difflib.get_close_matches(text, names(), n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UserError(f"there is no study '{text}'; {hint}Known: {', '.join(names())}, or a FILE.yaml of your own")
    return _checked(yaml.safe_load(_source(text).read_text("utf-8")), f"the study '{text}'")


def names() -> list[str]:
    """Return the names of the built-in studies."""
    folder = files("vaekit.studies").joinpath("known")
    return sorted(one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml"))


def _source(name: str) -> Any:
    return files("vaekit.studies").joinpath("known", f"{name}.yaml")


def _of_file(path: Path) -> Definition:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        raise UserError(f"{path}{line}: this is not YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(values, Mapping):
        raise UserError(f"{path}: a study is a mapping of keys to values, e.g. 'recipe: vae'; see docs/studies.md")
    made = _checked({"name": path.stem.replace(" ", "-")} | dict(values), str(path))
    # Files of metrics are named from where the study's file is, whatever the working folder.
    return made.model_copy(update={"metrics": [_located(one, path.parent) for one in made.metrics]})


def _located(metric: str, folder: Path) -> str:
    return str((folder / metric).resolve()) if ".py:" in metric else metric


def _checked(values: Mapping[str, Any], where: str) -> Definition:
    """Validate a study's values; the first fault becomes one sentence that names file and key."""
    try:
        return Definition.model_validate(dict(values))
    except ValidationError as error:
        faults = error.errors()
        fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
        path = [str(part) for part in fault["loc"] if not str(part).startswith(("list[", "Range", "function-"))]
        if fault["type"] == "extra_forbidden":
            raise UserError(f"{where}: {_unknown(path)}") from None
        why = fault["msg"].removeprefix("Value error, ")
        at = f"{'.'.join(path)}: " if path else ""
        raise UserError(f"{where}: {at}{why[:1].lower()}{why[1:]}") from None


def _unknown(path: list[str]) -> str:
    """Return what is said of a key that is none of its section's, with the near one."""
    kinds: dict[str, type[BaseModel]] = {"arms": Arm, "search": Range if "space" in path[:-1] else Search}
    kind = kinds.get(path[0], Definition) if len(path) > 1 else Definition
    fields = list(kind.model_fields)
    near = difflib.get_close_matches(path[-1], fields, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"there is no key '{'.'.join(path)}'; {hint}Known: {', '.join(fields)}"


def by_tpe(study: Definition) -> bool:
    """Return whether a study's points are drawn one after another, by what the earlier ones gave."""
    return study.search is not None and study.search.by == "tpe"


def differing(before: Definition, now: Definition) -> list[str]:
    """Return the keys in which two definitions would give other numbers."""
    return [key for key in sorted(DECIDES) if getattr(before, key) != getattr(now, key)]
