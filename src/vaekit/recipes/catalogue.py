"""What there is: recipes, data sets, parts, and a recipe's settings, as plain values."""

from __future__ import annotations

from inspect import signature
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from vaekit.data.datasets import DATASETS, available
from vaekit.metrics.base import METRICS
from vaekit.objectives.base import OBJECTIVES
from vaekit.recipes.base import RECIPES
from vaekit.recipes.settings import PARTS
from vaekit.registry import Entry, Option, Registry

KINDS: dict[str, Registry[Any]] = {registry.kind: registry for registry in (*PARTS, OBJECTIVES, METRICS)}


FAMILIES = {
    "The basics": ("vae", "beta-vae", "capacity-vae", "sigma-vae", "cvae", "linear-vae", "ae"),
    "Tighter bounds and better inference": (
        *("iwae", "dreg", "miwae", "ciwae", "flow-vae", "semi-amortised-vae", "thermodynamic-vae"),
    ),
    "Priors": ("vamp-vae", "gmm-vae", "spherical-vae", "identifiable-vae", "two-stage-vae"),
    "Disentangling, and matching the aggregate posterior": (
        *("factor-vae", "beta-tc-vae", "dip-vae", "info-vae"),
        *("wae-mmd", "wae-gan", "adversarial-ae", "vae-gan"),
    ),
    "Discrete codes": ("categorical-vae", "joint-vae", "vq-vae", "vq-vae-2", "fsq"),
    "Discrete latents without a relaxation": ("vimco", "reinforce", "rebar", "wake-sleep"),
    "A rate that is asked for": ("rate-vae", "geco-vae", "delta-vae"),
    "Hierarchies and pixels": ("hierarchical-vae", "ladder-vae", "very-deep-vae", "pixel-vae"),
    "Few labels": ("semi-supervised-vae",),
    "Other data": (
        *("series-vae", "state-space-vae", "variational-rnn"),
        *("sequence-vae", "molecule-vae", "music-vae", "graph-vae"),
        *("tabular-vae", "tabular-cvae"),
    ),
    "Several modalities": ("multimodal-vae",),
}
"""Recipes as a reader meets them; one that is in none of these stands at the end."""


def families() -> dict[str, list[str]]:
    """Return the recipes' names by family, every recipe once.

    >>> families()["Few labels"]
    ['semi-supervised-vae']
    """
    known = {name for names in FAMILIES.values() for name in names}
    every = {title: [name for name in names if name in RECIPES.names] for title, names in FAMILIES.items()}
    rest = [name for name in RECIPES.names if name not in known]
    return every | ({"More": rest} if rest else {})


def recipes() -> dict[str, dict[str, str]]:
    """Return every recipe's summary and reference, by name."""
    return {entry.name: {"summary": entry.summary, "reference": entry.reference} for entry in RECIPES}


def datasets() -> dict[str, dict[str, Any]]:
    """Return every known data set by name: summary, reference, the package that bundles it, where it was found."""
    return {
        entry.name: {
            "summary": entry.summary,
            "reference": entry.reference,
            "modality": entry.facts.get("modality", "array"),
            "package": entry.facts.get("bundled"),
            "found": available(entry),
            "fetched": any(file.mirrors for file in entry.facts.get("files", ())),
        }
        for entry in DATASETS
    }


def show(name: str) -> dict[str, Any]:
    """Return a recipe's facts, and its settings by section with defaults and descriptions."""
    entry = RECIPES[name]
    settings = entry.part.settings()
    sections: dict[str, list[dict[str, Any]]] = {}
    for section in type(settings).model_fields:
        values: BaseModel = getattr(settings, section)
        plain = values.model_dump(mode="json")
        sections[section] = [
            {"name": field, "default": plain[field], "description": facts.description or ""}
            for field, facts in type(values).model_fields.items()
        ]
    return {"name": entry.name, "summary": entry.summary, "reference": entry.reference, "settings": sections}


def parts(kind: str | None = None) -> dict[str, dict[str, Any]]:
    """Return every part of a kind, or of all: {kind: {name: summary, reference, options}}.

    An option has a name, a type, a default and a description. Those of an objective are its constructor's; which of
    them are settings is for a recipe to say.

    >>> parts("prior")["prior"]["vamp"]["options"]
    [{'name': 'components', 'type': 'int', 'default': 200, 'description': 'pseudo-inputs of the prior'}]
    """
    kinds = KINDS if kind is None else {kind: KINDS[kind]}
    return {one: {entry.name: _part(registry, entry) for entry in registry} for one, registry in kinds.items()}


def _part(registry: Registry[Any], entry: Entry[Any]) -> dict[str, Any]:
    options = _defaulted(entry.part) if registry is OBJECTIVES else entry.options
    listed = [
        {"name": name, "type": _words(one.type), "default": one.default, "description": one.description}
        for name, one in options.items()
    ]
    return {"summary": entry.summary, "reference": entry.reference, "options": listed}


def _defaulted(part: Any) -> dict[str, Option]:
    """Return the parameters of a constructor that have a default."""
    types, parameters = get_type_hints(part.__init__), signature(part).parameters
    return {name: Option(types[name], one.default) for name, one in parameters.items() if one.default is not one.empty}


def _words(kind: Any) -> str:
    """Return a type as it is written.

    >>> _words(float | Literal["shared", "pixel"]), _words(tuple[int, ...]), _words(Annotated[int, "> 0"] | None)
    ('float | shared | pixel', 'int, …', 'int | None')
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, UnionType):
        return " | ".join(map(_words, arguments))
    if origin is Annotated:
        return _words(arguments[0])
    if origin is not None:
        return f"{_words(arguments[0])}, …"
    return "None" if kind is type(None) else kind.__name__
