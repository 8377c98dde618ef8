"""The settings a recipe takes, by type; `--set path=value` is checked against them.

What a part takes is told by the part (`Entry.options`): the model's section is extended by the options of the parts
that are chosen, so that `--set model.prior=vamp --set model.components=50` works with every recipe.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, Union

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, ValidationError, create_model

from vaekit.data.settings import DataSettings, SettingsBase
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.nets.base import Activation
from vaekit.nets.build import NETS
from vaekit.posteriors.base import POSTERIORS
from vaekit.priors.base import PRIORS
from vaekit.registry import Entry, Option, Registry
from vaekit.schedules import ScheduleSetting
from vaekit.training.settings import TrainSettings

PARTS: tuple[Registry[Any], ...] = (NETS, POSTERIORS, PRIORS, LIKELIHOODS)


@dataclass(frozen=True)
class Choice:
    """Marks a setting that names a part; "auto" stands for one of `auto`, settled by the data. `only` allows no others.

    >>> [entry.name for entry in Choice(PRIORS).entries("vamp")]
    ['vamp']
    """

    registry: Registry[Any]
    auto: tuple[str, ...] = ()
    only: bool = False

    @property
    def names(self) -> Sequence[str]:
        """The parts that may be chosen."""
        return self.auto if self.only else [entry.name for entry in self.registry if "of" not in entry.facts]

    def entries(self, name: str) -> list[Entry[Any]]:
        """Return the parts that the setting's value stands for."""
        if self.only and name not in ("auto", *self.auto):
            raise UserError(f"use auto or {' or '.join(self.auto)}")
        entries = [self.registry[one] for one in (self.auto if name == "auto" and self.auto else (name,))]
        if not self.only and "of" in entries[0].facts:
            raise UserError(f"it is a {self.registry.kind} of {entries[0].facts['of']}; use another")
        return entries


def one_of(*values: Any) -> AfterValidator:
    """Return the check of a setting that takes these values; a single one says that its recipe has no use for it."""

    def check(value: Any) -> Any:
        if value not in values:
            raise ValueError(f"use one of {', '.join(values)}" if len(values) > 1 else "it is not used by this recipe")
        return value

    return AfterValidator(check)


class PartSettings(SettingsBase):
    """Base of the sections of a model's and an objective's settings: numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class ModelSettings(PartSettings):
    """The parts: networks, posterior, prior, likelihood. A choice with one value is not used by its recipe."""

    latent: PositiveInt = Field(default=20, description="latent dimensions")
    net: Annotated[str, Choice(NETS)] = Field(default="auto", description="networks")
    act: Activation = Field(default="silu", description="activation")
    skip: bool = Field(default=False, description="feed z to every decoder layer, against collapse")
    posterior: Annotated[str, Choice(POSTERIORS)] = Field(default="diagonal-normal", description="family of q(z|x)")
    prior: Annotated[str, Choice(PRIORS)] = Field(default="standard-normal", description="family of p(z)")
    likelihood: Annotated[
        str,
        Choice(
            LIKELIHOODS, ("gaussian", "bernoulli", "continuous-bernoulli", "discretised-logistic", "negative-binomial")
        ),
    ] = Field(default="auto", description="family of p(x|z); auto chooses by the data")

    small_greys: ClassVar[str] = "bernoulli"
    """The likelihood that "auto" takes for grey images of few pixels."""

    def options(self, entry: Entry[Any]) -> dict[str, Any]:
        """Return the options of a chosen part, by name; those left to the part (None) are left out."""
        values = {name: getattr(self, name) for name in entry.options}
        return {name: value for name, value in values.items() if value is not None}


DROP_CONDITION: Any = Field(
    default=0.0, ge=0, lt=1, description="share of examples whose condition training hides, all of it or a part"
)
"""The setting of recipes that can do without their condition, or a part of it."""


class ObjectiveSettings(PartSettings):
    """What is minimised."""

    beta: ScheduleSetting = Field(default=1.0, description="weight of the KL, a number or schedule")
    free_bits: ScheduleSetting = Field(default=0.0, description="nats of KL that are free")
    free_per: Literal["dimension", "latent"] = Field(default="dimension", description="what the free bits belong to")
    k: PositiveInt = Field(default=1, description="posterior samples an example")


M = TypeVar("M", bound=ModelSettings, covariant=True)
L = TypeVar("L", bound=ObjectiveSettings, covariant=True)
Section = TypeVar("Section", bound=ModelSettings)
Checked = TypeVar("Checked", bound=BaseModel)


class SettingsOf(PartSettings, Generic[M, L]):
    """All settings of a run, by the kinds of its model's and its objective's."""

    model: M
    objective: L
    train: TrainSettings = Field(default_factory=TrainSettings)
    data: DataSettings = Field(default_factory=lambda: DataSettings.model_validate({}))


Settings = SettingsOf[ModelSettings, ObjectiveSettings]


class Plain(yaml.SafeLoader):
    """YAML in which true, false, null and decimal numbers alone are no text, as in its version 1.2.

    Before, yes, no, on and off were true or false, 1_0 was 10, 010 was 8, 1:30 was 90 and 2024-01-31 a date.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # pyright: ignore[reportIncompatibleVariableOverride]


for _tag, _form, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
):
    Plain.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_form})$"), list(_first))

Nested = dict[str, dict[str, Any]]

EARLIER: Nested = {"train": {"lr_sigma_factor": 1.0}}
"""What runs were made with that recorded a section without this setting, where that is not its default."""


def parse_assignments(assignments: Sequence[str]) -> Nested:
    """Read `section.name=value` texts; values are YAML, of which yes and no are words (see `Plain`).

    >>> parse_assignments(["objective.beta=4", "model.hidden=512,256", "data.stream=yes"])
    {'objective': {'beta': 4}, 'model': {'hidden': '512,256'}, 'data': {'stream': 'yes'}}
    """
    out: Nested = {}
    for text in assignments:
        path, equals, value = text.partition("=")
        section, dot, name = path.strip().partition(".")
        if not (equals and dot and name):
            raise UserError(f"--set {text}: write section.name=value, e.g. --set objective.beta=4")
        try:
            out.setdefault(section, {})[name] = yaml.load(value, Plain)
        except yaml.YAMLError:
            out.setdefault(section, {})[name] = value
    return out


def merge(*layers: Mapping[str, Mapping[str, Any]]) -> Nested:
    """Return nested settings, later layers over earlier ones."""
    out: Nested = {}
    for layer in layers:
        for section, values in layer.items():
            out.setdefault(section, {}).update(values)
    return out


def choices(section: type[BaseModel]) -> dict[str, Choice]:
    """Return the settings of a section that name a part."""
    fields = section.model_fields.items()
    return {name: mark for name, field in fields for mark in field.metadata if isinstance(mark, Choice)}


def with_options(section: type[Section], values: Mapping[str, Any]) -> type[Section]:
    """Return the section with the options of the parts that `values` choose beside its own settings.

    >>> sorted(with_options(ModelSettings, {"prior": "vamp"}).model_fields.keys() - ModelSettings.model_fields.keys())
    ['channels', 'components', 'dispersion', 'hidden', 'scale']
    """
    named = {name: values.get(name, section.model_fields[name].default) for name in choices(section)}
    return _extended(section, tuple((n, value) for n, value in named.items() if isinstance(value, str)))


@cache
def _extended(section: type[Section], named: tuple[tuple[str, str], ...]) -> type[Section]:
    options: dict[str, list[Option]] = {}
    for setting, value in named:
        try:
            entries = choices(section)[setting].entries(value)
        except UserError as error:
            raise UserError(f"model.{setting}={value}: {error}") from None
        for entry in entries:
            for name, option in entry.options.items():
                if name not in section.model_fields:
                    options.setdefault(name, []).append(option)
    return create_model(section.__name__, __base__=section, **{name: _field(each) for name, each in options.items()})


def _field(options: Sequence[Option]) -> Any:
    """Return the field of an option that these parts have; None leaves it to the part where their defaults differ."""
    kind = Union[tuple(option.type for option in options)]  # noqa: UP007
    default, text = options[0].default, options[0].description
    if all(option.default == default for option in options):
        return kind, Field(default=default, description=text)
    return kind | None, Field(default=None, description=text)


def relevant(
    own: type[BaseModel], section: type[BaseModel], values: Mapping[str, Any], *, given: bool = False
) -> dict[str, Any]:
    """Return the values of a section, `own` with its parts' options, that say something.

    An option at None is left to its part. Unless it was `given`, an option of a part that is not chosen is dropped: it
    is a recipe's default for another part, or was recorded with a run that had no use for it.
    """

    def says(name: str, value: Any) -> bool:
        if name in section.model_fields:
            return name in own.model_fields or value is not None
        return (given and value is not None) or name not in _options()

    return {name: value for name, value in values.items() if says(name, value)}


@cache
def _options() -> frozenset[str]:
    """Return the names of all parts' options."""
    return frozenset(name for registry in PARTS for entry in registry for name in entry.options)


def _owners(section: type[BaseModel]) -> dict[str, tuple[str, list[str]]]:
    """Return {option: (setting, names of the parts that have it)} over the parts that a section lets one choose."""
    out: dict[str, tuple[str, list[str]]] = {}
    for setting, choice in choices(section).items():
        for part in choice.names:
            for name in choice.registry[part].options:
                out.setdefault(name, (setting, []))[1].append(part)
    return out


def check(kind: type[Checked], values: Nested) -> Checked:
    """Validate nested values; the first fault becomes one sentence that names the setting and the fix."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        path = [str(part) for part in fault["loc"]][:2]
        if fault["type"] == "extra_forbidden":
            raise UserError(_unknown(kind, path, values)) from None
        fact, why = f"{'.'.join(path)}={fault['input']!r}", fault["msg"].removeprefix("Value error, ")
        raise UserError(f"{fact} is not allowed: {why[:1].lower()}{why[1:]}; see 'vaekit show RECIPE'") from None


def _unknown(kind: type[BaseModel], path: Sequence[str], values: Nested) -> str:
    sections: dict[str, Any] = {name: field.annotation for name, field in kind.model_fields.items()}
    if len(path) < 2:
        near = difflib.get_close_matches(path[0], sections, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        return f"there are no settings '{path[0]}'; {hint}Sections: {', '.join(sections)}"
    section, name = path
    fields = sections[section].model_fields
    owners = _owners(sections[section])
    if name in owners:
        setting, parts = owners[name]
        parts_ = f"{choices(sections[section])[setting].registry.kind}{'s' if len(parts) > 1 else ''} {_listed(parts)}"
        chosen = values[section].get(setting, fields[setting].default)
        return f"{section}.{name} is an option of the {parts_}, not of {chosen}; set {section}.{setting}"
    others = [f"{other}.{name}" for other in sections if name in sections[other].model_fields]
    near = [f"{section}.{one}" for one in difflib.get_close_matches(name, [*fields, *owners], n=1)] or others
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"there is no setting '{section}.{name}'; {hint}Known in {section}: {', '.join(fields)}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
