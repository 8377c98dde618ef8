"""Recipes: the only place that names variants; each puts shared parts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Generic, get_type_hints

from pydantic import Field, create_model

from vaekit.conditional import Wants
from vaekit.data.info import DataInfo
from vaekit.data.modality import MODALITIES
from vaekit.models.base import Model
from vaekit.objectives.base import Objective
from vaekit.recipes.settings import (
    EARLIER,
    L,
    M,
    ModelSettings,
    Nested,
    ObjectiveSettings,
    Settings,
    SettingsOf,
    check,
    merge,
    relevant,
    with_options,
)
from vaekit.registry import Registry
from vaekit.training.data_source import DataSource
from vaekit.training.stages import Stage

HEADLINE = ("elbo", "iw_bound", "bits_per_dim", "active_units", "mse")
"""The numbers that a reader sees first, where a recipe declares no others."""
WEIGHTED = ("iw_bound", "elbo", "bits_per_dim", "active_units", "mse")
"""Those of a recipe that maximises an importance-weighted bound."""
UNBOUNDED = ("mse", "ssim", "fid", "c2st_auroc", "linear_probe")
"""Those of a recipe that bounds no log p(x)."""
OF_CODES = ("elbo", "bits_per_dim", "codebook_perplexity", "codebook_used", "mse")
"""Those of a recipe whose codes are a codebook's."""


@dataclass(frozen=True)
class Built:
    """What a recipe makes: a model, and the stages that train it.

    `source` makes what training sees of the data, where it is not example by example with all labels: it is called with
    the data set and `seed`.
    """

    model: Model
    stages: tuple[Stage, ...]
    source: Callable[..., DataSource] | None = None

    @staticmethod
    def of(model: Model, objective: Objective) -> Built:
        """Return a model trained in one stage."""
        return Built(model, (Stage(objective),))


@dataclass(frozen=True)
class Recipe(Generic[M, L]):
    """A variant: its name, its settings with their defaults, and how it is put together.

    `takes` is the modality of the data it is for; "array" is for any whose examples are plain arrays. `wants` says
    which data its likelihood is of, where the settings do not name it. `on_tables` names the recipe that is trained in
    its place on a table. `headline` names the numbers of an evaluation that say how good the variant is, the first
    above all. `earlier` are settings of runs that were recorded before there were such settings.
    """

    name: str
    build: Callable[[SettingsOf[M, L], DataInfo], Built]
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needs_labels: bool = False
    takes: str = "array"
    wants: Wants | None = None
    on_tables: str | None = None
    headline: tuple[str, ...] = HEADLINE
    earlier: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def sections(self) -> tuple[type[ModelSettings], type[ObjectiveSettings]]:
        """The kinds of its model's and objective's settings, as its builder's annotation says."""
        fields = get_type_hints(self.build).get("settings", Settings).model_fields
        return fields["model"].annotation, fields["objective"].annotation

    def settings(self, given: Nested | None = None, under: Nested | None = None) -> SettingsOf[M, L]:
        """Return checked settings: what is given over the recipe's defaults, or over a run's recorded settings.

        The options of the parts that are chosen are among the model's. One of any other part is a UserError where it
        is given, and left out where it is recorded.
        """
        given, under = given or {}, under or {}
        told = merge(EARLIER, self.earlier)
        earlier = {section: values for section, values in told.items() if section in under}
        below = merge(self.defaults, earlier, under)
        own, objective = self.sections
        section = with_options(own, merge(below, given).get("model", {}))
        below["model"] = relevant(own, section, below.get("model", {}))
        above = merge(given, {"model": {}})
        above["model"] = relevant(own, section, above["model"], given=True)
        return check(_kind(section, objective, self.takes), merge(below, above))


@cache
def _kind(model: type[M], objective: type[L], takes: str) -> type[SettingsOf[M, L]]:
    """Return the class of all settings, made when first asked for: of forty recipes a command needs one."""
    more: dict[str, Any] = {"model": (model, model()), "objective": (objective, objective())}
    if takes != "array":
        section = MODALITIES[takes].part.settings
        more["data"] = (section, Field(default_factory=section))
    return create_model("Settings", __base__=SettingsOf, **more)


RECIPES: Registry[Recipe[Any, Any]] = Registry("recipe", "vaekit.recipes")


def recipe(
    name: str,
    *,
    reference: str,
    needs_labels: bool = False,
    takes: str = "array",
    on_tables: str | None = None,
    headline: tuple[str, ...] = HEADLINE,
    earlier: Mapping[str, Mapping[str, Any]] | None = None,
    **defaults: Mapping[str, Any],
) -> Callable[[Callable[[SettingsOf[M, L], DataInfo], Built]], Callable[[SettingsOf[M, L], DataInfo], Built]]:
    """Register the decorated builder (settings, data) → Built as the recipe `name`; its docstring is the summary.

    The builder's annotation says which settings it takes: `Settings`, or `SettingsOf[M, L]` with kinds of its own.
    `defaults` override by section. `takes` is the modality of its data, which brings the data's settings with it;
    `on_tables` the recipe for tables; `headline` the numbers to read first; `earlier` what runs were made with that do
    not record it.
    """

    def add(build: Callable[[SettingsOf[M, L], DataInfo], Built]) -> Callable[[SettingsOf[M, L], DataInfo], Built]:
        summary = (build.__doc__ or "").strip().split("\n")[0]
        made = Recipe(
            name, build, defaults, needs_labels, takes, on_tables=on_tables, headline=headline, earlier=earlier or {}
        )
        RECIPES.register(name, summary=summary, reference=reference)(made)
        return build

    return add
