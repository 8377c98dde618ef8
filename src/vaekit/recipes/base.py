"""Recipes: the only place that names variants; each puts shared parts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import Field, create_model

from vaekit.data.info import DataInfo
from vaekit.data.modality import MODALITIES
from vaekit.models.base import Model
from vaekit.objectives.base import Objective
from vaekit.recipes.settings import ModelSettings, Nested, ObjectiveSettings, Settings, check, merge
from vaekit.registry import Registry
from vaekit.training.stages import Stage


@dataclass(frozen=True)
class Built:
    """What a recipe makes: a model, and the stages that train it.

    `labelled` is how many labels training may see (semi-supervised); None: all that the data have.
    """

    model: Model
    stages: tuple[Stage, ...]
    labelled: int | None = None

    @staticmethod
    def of(model: Model, objective: Objective) -> Built:
        """Return a model trained in one stage."""
        return Built(model, (Stage(objective),))


@dataclass(frozen=True)
class Recipe:
    """A variant: its name, where it comes from, its settings with their defaults, and how it is put together.

    `takes` is the modality of the data it is for; "array" is for any whose examples are plain arrays.
    """

    name: str
    reference: str
    summary: str
    build: Callable[[Any, DataInfo], Built]
    sections: tuple[type[ModelSettings], type[ObjectiveSettings]] = (ModelSettings, ObjectiveSettings)
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needs_labels: bool = False
    takes: str = "array"

    @cached_property
    def kind(self) -> type[Settings]:
        """The class of its settings, made when first asked for: of forty recipes a command needs one."""
        model, objective = self.sections
        data = {} if self.takes == "array" else _data_section(self.takes)
        return create_model(
            "Settings", __base__=Settings, model=(model, model()), objective=(objective, objective()), **data
        )

    def settings(self, given: Nested | None = None) -> Settings:
        """Return checked settings: the recipe's defaults under what is given."""
        return check(self.kind, merge(self.defaults, given or {}))


RECIPES: Registry[Recipe] = Registry("recipe", "vaekit.recipes")


def recipe(
    name: str,
    *,
    reference: str,
    model_settings: type[ModelSettings] = ModelSettings,
    objective_settings: type[ObjectiveSettings] = ObjectiveSettings,
    needs_labels: bool = False,
    takes: str = "array",
    **defaults: Mapping[str, Any],
) -> Callable[[Callable[[Any, DataInfo], Built]], Callable[[Any, DataInfo], Built]]:
    """Register the decorated builder (settings, data) → Built as the recipe `name`; its docstring is the summary.

    Variants with settings of their own pass a subclass for that section; `defaults` override by section. `takes` is
    the modality of its data, which brings the data's settings with it.
    """

    def add(build: Callable[[Any, DataInfo], Built]) -> Callable[[Any, DataInfo], Built]:
        summary = (build.__doc__ or "").strip().split("\n")[0]
        sections = (model_settings, objective_settings)
        made = Recipe(name, reference, summary, build, sections, defaults, needs_labels, takes)
        RECIPES.register(name, summary=summary, reference=reference)(made)
        return build

    return add


def _data_section(takes: str) -> dict[str, Any]:
    section = MODALITIES[takes].part.settings
    return {"data": (section, Field(default_factory=section))}
