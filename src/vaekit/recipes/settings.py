"""The settings a recipe takes, by type; `--set path=value` is checked against them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from vaekit.data.settings import DataSettings
from vaekit.errors import UserError
from vaekit.schedules import schedule_field
from vaekit.training.settings import TrainSettings

ScheduleSetting = Annotated[float | str, AfterValidator(schedule_field)]


def _widths(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(int(word) for word in value.replace(",", " ").split())
    return (value,) if isinstance(value, int) else value


Widths = Annotated[tuple[PositiveInt, ...], BeforeValidator(_widths)]


class PartSettings(BaseModel):
    """Base of the settings' sections: unknown names are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSettings(PartSettings):
    """The parts: networks, posterior, prior, likelihood."""

    latent: PositiveInt = Field(default=20, description="latent dimensions")
    net: Literal["auto", "mlp", "conv", "resnet", "linear"] = Field(default="auto", description="networks")
    hidden: Widths | None = Field(default=None, description="hidden widths of the encoder; the decoder mirrors them")
    channels: Widths | None = Field(default=None, description="channels of the convolutional encoder's stages")
    act: Literal["relu", "silu", "gelu", "tanh", "elu"] = Field(default="silu", description="activation")
    skip: bool = Field(default=False, description="feed z to every decoder layer, against collapse")
    posterior: str = Field(default="diagonal-normal", description="family of q(z|x)")
    prior: str = Field(default="standard-normal", description="family of p(z)")
    likelihood: str = Field(default="auto", description="family of p(x|z); auto chooses by the data")
    scale: PositiveFloat | Literal["shared", "dimension", "pixel", "optimal"] | None = Field(
        default=None, description="σ of a Gaussian likelihood: a number, or how it is learned"
    )


class ObjectiveSettings(PartSettings):
    """What is minimised."""

    beta: ScheduleSetting = Field(default=1.0, description="weight of the KL, a number or schedule")
    free_bits: ScheduleSetting = Field(default=0.0, description="nats of KL that are free")
    free_per: Literal["dimension", "latent"] = Field(default="dimension", description="what the free bits belong to")
    k: PositiveInt = Field(default=1, description="posterior samples an example")


class Settings(PartSettings):
    """All settings of a run."""

    model: ModelSettings = Field(default_factory=ModelSettings)
    objective: ObjectiveSettings = Field(default_factory=ObjectiveSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    data: DataSettings = Field(default_factory=lambda: DataSettings.model_validate({}))


Nested = dict[str, dict[str, Any]]


def parse_assignments(assignments: Sequence[str]) -> Nested:
    """Read `section.name=value` texts; values are YAML.

    >>> parse_assignments(["objective.beta=4", "model.hidden=512,256"])
    {'objective': {'beta': 4}, 'model': {'hidden': '512,256'}}
    """
    out: Nested = {}
    for text in assignments:
        path, equals, value = text.partition("=")
        section, dot, name = path.strip().partition(".")
        if not (equals and dot and name):
            raise UserError(f"--set {text}: write section.name=value, e.g. --set objective.beta=4")
        try:
            out.setdefault(section, {})[name] = yaml.safe_load(value)
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


def check(kind: type[Settings], values: Nested) -> Settings:
    """Validate nested values; the first fault becomes one sentence that names the setting and the mend."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        path = [str(part) for part in fault["loc"] if not str(part).startswith(("constrained", "function", "literal"))]
        if fault["type"] == "extra_forbidden":
            raise UserError(_unknown(kind, path)) from None
        name = ".".join(path[:2])
        raise UserError(
            f"{name}={fault['input']!r} is not allowed: {_plain(fault['msg'])}; see 'vaekit show RECIPE'"
        ) from None


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _unknown(kind: type[Settings], path: list[str]) -> str:
    sections = {name: field.annotation for name, field in kind.model_fields.items()}
    if path[0] not in sections:
        near = difflib.get_close_matches(path[0], sections, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        return f"there are no settings '{path[0]}'; {hint}Sections: {', '.join(sections)}"
    section = sections[path[0]]
    names = list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []
    near = difflib.get_close_matches(path[1], names, n=1)
    if not near:
        elsewhere = [
            f"{s}.{path[1]}"
            for s, c in sections.items()
            if isinstance(c, type) and issubclass(c, BaseModel) and path[1] in c.model_fields
        ]
        near = elsewhere[:1]
    else:
        near = [f"{path[0]}.{near[0]}"]
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"there is no setting '{'.'.join(path[:2])}'; {hint}Known in {path[0]}: {', '.join(names)}"
